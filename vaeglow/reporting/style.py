"""The look and the layout of every figure: sizes, fonts, colours; a page with title, images, charts, notes. No torch.

Colours have a meaning and are never used alone: each comes with a marker or a label. Models have theirs from config
(`styles` of a spec). Matplotlib is imported when a figure is drawn.

Lengths are inches: x from the page's left edge, y downwards from its top. A pixel of an image is printed as a square of
whole dots (`DPI` an inch), so that images stay crisp.
"""

import json
import re
import string
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vaeglow.files import atomic_path
from vaeglow.reporting import traced
from vaeglow.reporting.frame import Array, Words
from vaeglow.results import Result

if TYPE_CHECKING:
    import matplotlib

Axes: TypeAlias = "matplotlib.axes.Axes"
Figure: TypeAlias = "matplotlib.figure.Figure"
Label = tuple[str, str]  # what is shown; in small letters, the condition
Panels = Sequence[tuple[Label, Sequence[tuple[str, Array]]]]  # of each a caption, and headings with their images
DPI = 256  # a power of two: inches times DPI gives whole pixels back, exactly
WIDTH = 6.9  # inches: a page's text, two columns wide
MARGIN = 0.15  # inches
INK = "#1a1a1a"
GREY = "#737373"
PAPER = "#ffffff"
# Okabe & Ito (2008), told apart with any colour vision.
BLUE = "#0072b2"
VERMILION = "#d55e00"
GREEN = "#009e73"
ORANGE = "#e69f00"
SKY = "#56b4e9"
PALETTE = (BLUE, VERMILION, GREEN, "#cc79a7", ORANGE, SKY)
FIELDS = "cividis"  # colours of a map of numbers: even steps to the eye, the same with any colour vision
# Points; nothing in print is smaller than the footer.
TITLE = 10.0
LABEL = 8.0
DETAIL = 7.0
FOOTER = 6.0
RC = {
    "savefig.dpi": DPI,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": LABEL,
    "axes.titlesize": LABEL,
    "axes.labelsize": DETAIL,
    "xtick.labelsize": DETAIL,
    "ytick.labelsize": DETAIL,
    "legend.fontsize": DETAIL,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2.0,
    "pdf.fonttype": 42,  # text stays text
}
GAP = 1  # pixels of paper between images, before enlargement
MANY = 30  # points of a curve; more are drawn without markers, which would hide it
TALLEST = 40  # inches, more than any page needs: `save` crops it
BETWEEN = 0.11  # inches between rows
APART = 0.25  # inches between panels
SPLIT = 0.08  # inches between blocks of a panel
LARGEST_IMAGE = 0.8  # inches: an image's side
LABELS = 1.5  # inches: the labels of a sheet
LETTER = 0.56  # the width of a mean letter, in units of its size


def styled() -> AbstractContextManager[None]:
    """The style, for the length of a `with` block."""
    import matplotlib

    return matplotlib.rc_context(RC)


def wrap(text: str, inches: float, points: float) -> str:
    """`text` in lines that fit a width (by the font's mean letter); its own line breaks stay."""
    letters = max(8, int(inches * 72 / (LETTER * points)))
    return "\n".join([textwrap.fill(line, letters, break_long_words=False) for line in text.splitlines()])


def height_of(text: str, inches: float, points: float) -> float:
    """The height of a wrapped text, in inches."""
    return 1.25 * points / 72 * len(wrap(text, inches, points).splitlines())


def save(figure: Figure, *paths: Path) -> None:
    """Write the figure, with a margin, each file completely or not at all, the format by its suffix (.png or .pdf).

    Raises:
        UserError: no room or permission to write.
    """
    # Without dates and versions the same figure is the same file. A PNG also holds its evidence (`traced`).
    metadata = {
        ".png": {"Software": None, traced.FIGURE_KEY: figure.get_label()},
        ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    }
    with styled():
        figure.draw_without_rendering()
        box = figure.get_tightbbox().padded(MARGIN)
        box.set_points(np.round(box.get_points() * DPI) / DPI)  # a dot of the figure is a dot of the file
        for path in paths:
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=path.suffix[1:], metadata=metadata[path.suffix], bbox_inches=box)


class Page:
    """A figure that grows downwards: the next element starts at `bottom`, the paragraphs of `notes` are the last."""

    def __init__(self, title: str) -> None:
        from matplotlib import figure

        self.figure = figure.Figure((WIDTH, TALLEST), DPI)
        self.notes = []
        self.bottom = BETWEEN + self.text(0, 0, title, TITLE)

    def text(self, x: float, y: float, text: str, size: float = DETAIL, inches: float = WIDTH, **look: Any) -> float:
        """Write lines wrapped to `inches`, the first one's top at y; returns their height."""
        look = {"size": size, "va": "top", "linespacing": 1.25, **look}
        self.figure.text(x / WIDTH, 1 - y / TALLEST, wrap(text, inches, size), **look)
        return height_of(text, inches, size)

    def labelled(self, x: float, y: float, label: Label, inches: float) -> float:
        """Write a label; returns its height."""
        name, detail = label
        height = self.text(x, y, name, LABEL, inches)
        return height + self.text(x, y + height, detail, inches=inches, color=GREY)

    def place(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes of that size, their upper left corner at (x, y), to the dot."""
        left = round(x * DPI) / DPI
        foot = round((TALLEST - y - height) * DPI) / DPI
        return self.figure.add_axes((left / WIDTH, foot / TALLEST, width / WIDTH, height / TALLEST))

    def images(self, x: float, y: float, images: Array, side: float) -> tuple[float, float]:
        """Print images, uint8 [lines, columns, C, H, W], each at most `side` wide; returns their width and height."""
        grid = image_grid(images)
        zoom = enlargement(side, images.shape[-1])
        height = zoom * grid.shape[0] / DPI
        width = zoom * grid.shape[1] / DPI
        axes = self.place(x, y, width, height)
        axes.imshow(grid, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        return width, height

    def sheet(self, rows: Sequence[tuple[Label, Array]]) -> None:
        """Rows of images, uint8 [lines, columns, C, H, W] each, one below the other, a label at the left of each."""
        for label, images in rows:
            _, height = self.images(LABELS, self.bottom, images, (WIDTH - LABELS) / images.shape[1])
            self.bottom += max(height, self.labelled(0, self.bottom, label, LABELS - 0.1)) + BETWEEN

    def panels(self, panels: Panels) -> None:
        """Panels side by side, as large as fits, images of one size on paper; captions below.

        Args:
            panels: of each the caption, and its blocks from left to right: heading, and images as in `sheet`.
        """
        side = image_side(panels)
        top = self.bottom + max(
            [height_of(text, side * images.shape[1], DETAIL) for _, blocks in panels for text, images in blocks]
        )
        x = 0.0
        for name, ((_, detail), blocks) in zip(lettered([name for (name, _), _ in panels]), panels, strict=True):
            left = x
            foot = top
            for heading, images in blocks:
                width, height = self.images(x, top, images, side)
                self.text(x, top - 0.03, heading, inches=side * images.shape[1], va="bottom")
                x = x + width + SPLIT
                foot = max(foot, top + height + BETWEEN / 2)
            foot += self.labelled(left, foot, (name, detail), x - left)
            self.bottom = max(self.bottom, foot + BETWEEN)
            x = x + APART - SPLIT

    def charts(self, titles: Words, columns: int, height: float, **subplots: Any) -> list[Axes]:
        """Charts, line by line; called once a page. Artists with a `label` appear in the legend.

        Args:
            titles: of each; several are lettered.
            columns: charts a line.
            height: of all of them with their labels.
            **subplots: for `Figure.subplots`.
        """
        self.bottom += height
        self.figure.set_layout_engine(
            "constrained",
            w_pad=0.03,
            h_pad=0.07,
            wspace=0.03,
            hspace=0,
            rect=(0, 1 - self.bottom / TALLEST, 1, height / TALLEST),
        )
        charts = list(self.figure.subplots(-(-len(titles) // columns), columns, squeeze=False, **subplots).flat)
        for axes, title in zip(charts, lettered(titles), strict=False):
            axes.set_title(title)
        for axes in charts[len(titles) :]:
            axes.remove()
        return charts[: len(titles)]

    def legend(self) -> None:
        """Write one legend for all charts that have none of their own."""
        handles = {}
        for axes in self.figure.axes:
            if axes.get_legend():
                continue
            entries = zip(*axes.get_legend_handles_labels(), strict=True)
            for handle, label in sorted(entries, key=lambda entry: not isinstance(entry[0], tuple)):  # error bars first
                handles.setdefault(label, handle)
        if not handles:
            return
        widest = max(map(len, handles)) * LETTER * DETAIL / 72 + 0.45
        legend = self.figure.legend(
            handles.values(),
            handles,
            ncols=min(len(handles), max(1, int(WIDTH / widest))),
            loc="upper left",
            bbox_to_anchor=(0, 1 - (self.bottom + 0.04) / TALLEST),
            borderpad=0,
            borderaxespad=0,
        )
        self.bottom += legend.get_window_extent().height / DPI + BETWEEN

    def finish(self, about: str, results: Sequence[Result]) -> Figure:
        """Write legend, notes and footer.

        Args:
            about: what the figure is of.
            results: its evidence: the footer has their commits, the figure's file their names and hashes.
        """
        self.legend()
        for note in self.notes:
            self.bottom += self.text(0, self.bottom, note)
        made = traced.distinct((result.commit for result in results if "provenance" in result.content), ", ")
        made = re.sub(r"(?<=\w{10})\w+", "", made)  # the first digits
        self.text(0, self.bottom + 0.03, f"{about} \u00b7 commit {made}", FOOTER, color=GREY)
        self.figure.set_label(json.dumps(traced.evidence(results)))  # a label is not shown
        return self.figure


def image_side(panels: Panels) -> float:
    """The side of an image, in inches, at which the blocks of all panels fit side by side."""
    room = (WIDTH + APART) / len(panels) - APART
    sides = []
    for _, blocks in panels:
        sides.append((room - SPLIT * (len(blocks) - 1)) / sum(images.shape[1] for _, images in blocks))
    pixels = max(images.shape[-1] for _, blocks in panels for _, images in blocks)
    return enlargement(min(sides), pixels) * pixels / DPI  # the others follow those of the most pixels


def image_grid(images: Array) -> Array:
    """Arrange images in a grid, `GAP` white pixels apart.

    Args:
        images: uint8 [lines, columns, C, H, W], C 1 (grey) or 3.

    Returns:
        uint8 [lines * (H + GAP) - GAP, columns * (W + GAP) - GAP, 3].
    """
    lines, columns, _, height, width = images.shape
    cells = np.full((lines, height + GAP, columns, width + GAP, 3), 255, np.uint8)
    cells[:, :height, :, :width] = images.transpose(0, 3, 1, 4, 2)  # one channel is repeated in all three
    return cells.reshape(lines * (height + GAP), columns * (width + GAP), 3)[:-GAP, :-GAP]


def enlargement(side: float, pixels: int) -> int:
    """How many whole dots wide each of an image's pixels is, so that it is at most `side` inches wide; at least one."""
    return max(1, int((min(side, LARGEST_IMAGE) * DPI / pixels) + 1e-6))


def lettered(names: Words) -> Words:
    """`(a) ...`, `(b) ...` where there are several."""
    if len(names) < 2:
        return list(names)
    return [f"({letter}) {name}".rstrip() for letter, name in zip(string.ascii_letters, names, strict=False)]
