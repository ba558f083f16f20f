"""The look and the layout of every figure: sizes, fonts, colours; a page with title, images, charts, notes. No torch.

Colours have a meaning and are never used alone: each comes with a marker or a label. Models have theirs from config
(`styles` of a spec). Matplotlib is imported when a figure is drawn.

Lengths are inches: x from the page's left edge, y downwards from its top. A pixel of an image is printed as a square of
whole dots (`DPI` an inch), so that images stay crisp.
"""

import json
import string
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vaeglow.files import atomic_path
from vaeglow.reporting import traced
from vaeglow.results import Result

if TYPE_CHECKING:
    import matplotlib

Axes: TypeAlias = "matplotlib.axes.Axes"
Figure: TypeAlias = "matplotlib.figure.Figure"
Label = tuple[str, str]  # what is shown; in small letters, the condition
DPI = 256  # a power of two: inches times DPI gives whole pixels back, exactly
WIDTH, MARGIN = 6.9, 0.15  # inches: a page's text, two columns wide; its margin
INK, GREY, PAPER = "#1a1a1a", "#737373", "#ffffff"
# Okabe & Ito (2008), told apart with any colour vision.
PALETTE = BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
FIELDS = "cividis"  # colours of a map of numbers: even steps to the eye, the same with any colour vision
TITLE, LABEL, DETAIL, FOOTER = 10.0, 8.0, 7.0, 6.0  # points; nothing in print is smaller than the footer
RC: dict[str, Any] = {
    **dict.fromkeys(("figure.dpi", "savefig.dpi"), DPI),
    **dict.fromkeys(("figure.facecolor", "savefig.facecolor"), PAPER),
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    **dict.fromkeys(("font.size", "axes.titlesize"), LABEL),
    **dict.fromkeys(("axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), DETAIL),
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), GREY),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    **{"axes.titlelocation": "left", "axes.linewidth": 0.6, "grid.color": "#e6e6e6", "grid.linewidth": 0.5},
    **{"lines.linewidth": 1.2, "lines.markersize": 4.5, "errorbar.capsize": 2.0},
    "pdf.fonttype": 42,  # text stays text
}
# Without dates and versions the same figure is the same file. A PNG also holds its evidence (`traced`).
METADATA = {".png": dict.fromkeys(["Software"]), ".pdf": dict.fromkeys(["Creator", "Producer", "CreationDate"])}
GAP = 1  # pixels of paper between images, before enlargement
MANY = 30  # points of a curve; more are drawn without markers, which would hide it
TALLEST = 40  # inches, more than any page needs: `save` crops it
BETWEEN, APART, SPLIT = 0.11, 0.25, 0.08  # inches between rows, between panels, and between blocks of a panel
LARGEST_IMAGE, LABELS = 0.8, 1.5  # inches: an image's side; the labels of a sheet


def styled() -> AbstractContextManager[None]:
    """The style, for the length of a `with` block."""
    import matplotlib

    return matplotlib.rc_context(RC)


def wrap(text: str, inches: float, points: float) -> str:
    """`text` in lines that fit a width (by the font's mean letter); its own line breaks stay."""
    letters = max(8, int(inches * 72 / (0.56 * points)))
    return "\n".join(textwrap.fill(line, letters, break_long_words=False) for line in text.splitlines())


def height_of(text: str, inches: float, points: float) -> float:
    """The height of a wrapped text, in inches."""
    return 1.25 * points / 72 * len(wrap(text, inches, points).splitlines())


def save(figure: Figure, *paths: Path) -> None:
    """Write the figure, with a margin, each file completely or not at all, the format by its suffix (.png or .pdf).

    Raises:
        UserError: no room or permission to write.
    """
    evidence = {traced.FIGURE_KEY: figure.get_label()} if figure.get_label() else {}
    with styled():
        figure.draw_without_rendering()
        box = figure.get_tightbbox().padded(MARGIN)
        box.set_points(np.round(box.get_points() * DPI) / DPI)  # a dot of the figure is a dot of the file
        for path in paths:
            metadata = METADATA[path.suffix] | (evidence if path.suffix == ".png" else {})
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=path.suffix[1:], metadata=metadata, bbox_inches=box)


class Page:
    """A figure that grows downwards: the next element starts at `bottom`, the paragraphs of `notes` are the last."""

    def __init__(self, title: str) -> None:
        from matplotlib import figure

        self.figure, self.notes = figure.Figure((WIDTH, TALLEST), DPI), list[str]()
        self.bottom = BETWEEN + self.text(0, 0, title, TITLE)

    def text(self, x: float, y: float, text: str, size: float = DETAIL, inches: float = WIDTH, **look: Any) -> float:
        """Write lines wrapped to `inches`, the first one's top at y; returns their height."""
        place, lines = (x / WIDTH, 1 - y / TALLEST), wrap(text, inches, size)
        self.figure.text(*place, lines, **{"size": size, "va": "top", "linespacing": 1.25, **look})
        return height_of(text, inches, size)

    def place(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes of that size, their upper left corner at (x, y), to the dot."""
        left, foot = (round(inches * DPI) / DPI for inches in (x, TALLEST - y - height))
        return self.figure.add_axes((left / WIDTH, foot / TALLEST, width / WIDTH, height / TALLEST))

    def images(self, x: float, y: float, images: np.ndarray, side: float) -> tuple[float, float]:
        """Print images, uint8 [lines, columns, C, H, W], each at most `side` wide; returns their width and height."""
        grid, zoom = image_grid(images), enlargement(side, images.shape[-1])
        height, width = (zoom * pixels / DPI for pixels in grid.shape[:2])
        axes = self.place(x, y, width, height)
        axes.imshow(grid, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        return width, height

    def sheet(self, rows: Sequence[tuple[Label, np.ndarray]]) -> None:
        """Rows of images, uint8 [lines, columns, C, H, W] each, one below the other, a label at the left of each."""
        for (name, detail), images in rows:
            _, height = self.images(LABELS, self.bottom, images, (WIDTH - LABELS) / images.shape[1])
            text = self.text(0, self.bottom, name, LABEL, LABELS - 0.1)
            text += self.text(0, self.bottom + text, detail, inches=LABELS - 0.1, color=GREY)
            self.bottom += max(height, text) + BETWEEN

    def panels(self, panels: Sequence[tuple[Label, Sequence[tuple[str, np.ndarray]]]]) -> None:
        """Panels side by side, as large as fits, images of one size on paper; captions below.

        Args:
            panels: of each the caption, and its blocks from left to right: heading, and images as in `sheet`.
        """
        room = (WIDTH + APART) / len(panels) - APART
        side = min(
            (room - SPLIT * (len(blocks) - 1)) / sum(images.shape[1] for _, images in blocks) for _, blocks in panels
        )
        largest = max(images.shape[-1] for _, blocks in panels for _, images in blocks)
        side = enlargement(side, largest) * largest / DPI  # the others follow those of the most pixels
        headings = [(text, side * images.shape[1]) for _, blocks in panels for text, images in blocks]
        x, top = 0.0, self.bottom + max(height_of(*heading, DETAIL) for heading in headings)
        for name, ((_, detail), blocks) in zip(lettered([name for (name, _), _ in panels]), panels, strict=True):
            left, foot = x, top
            for heading, images in blocks:
                width, height = self.images(x, top, images, side)
                self.text(x, top - 0.03, heading, inches=side * images.shape[1], va="bottom")
                x, foot = x + width + SPLIT, max(foot, top + height + BETWEEN / 2)
            foot += self.text(left, foot, name, LABEL, x - left)
            foot += self.text(left, foot, detail, inches=x - left, color=GREY)
            self.bottom, x = max(self.bottom, foot + BETWEEN), x + APART - SPLIT

    def charts(self, titles: Sequence[str], columns: int, height: float, **subplots: Any) -> list[Axes]:
        """Charts, line by line; called once a page. Artists with a `label` appear in the legend.

        Args:
            titles: of each; several are lettered.
            columns: charts a line.
            height: of all of them with their labels.
            **subplots: for `Figure.subplots`.
        """
        self.bottom += height
        place = (0, 1 - self.bottom / TALLEST, 1, height / TALLEST)
        self.figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.07, wspace=0.03, hspace=0, rect=place)
        grid = self.figure.subplots(-(-len(titles) // columns), columns, squeeze=False, **subplots).ravel()
        for axes, title in zip(grid, lettered(titles), strict=False):
            axes.set_title(title)
        for axes in grid[len(titles) :]:
            axes.remove()
        return list(grid[: len(titles)])

    def finish(self, about: str, results: Sequence[Result]) -> Figure:
        """Write legend, notes and footer.

        Args:
            about: what the figure is of.
            results: its evidence: the footer has their commits, the figure's file their names and hashes.
        """
        entries: dict[str, Any] = {}
        for axes in self.figure.axes:  # one legend for all charts that have none of their own
            found = [] if axes.get_legend() else list(zip(*axes.get_legend_handles_labels(), strict=True))
            for handle, label in sorted(found, key=lambda one: not isinstance(one[0], tuple)):  # error bars first
                entries.setdefault(label, handle)
        if entries:
            columns = int(WIDTH / (max(map(len, entries)) * 0.56 * DETAIL / 72 + 0.45))
            look = {"ncols": min(len(entries), max(1, columns)), "borderpad": 0, "borderaxespad": 0}
            look |= {"loc": "upper left", "bbox_to_anchor": (0, 1 - (self.bottom + 0.04) / TALLEST)}
            legend = self.figure.legend(entries.values(), entries, **look)
            self.bottom += legend.get_window_extent().height / DPI + BETWEEN
        for note in self.notes:
            self.bottom += self.text(0, self.bottom, note)
        commits = (one.commit.partition("+") for one in results if "provenance" in one.content)
        made = ", ".join(dict.fromkeys(digits[:10] + plus + dirty for digits, plus, dirty in commits))
        self.text(0, self.bottom + 0.03, f"{about} \u00b7 commit {made}", FOOTER, color=GREY)
        self.figure.set_label(json.dumps(traced.evidence(one.path for one in results)))  # a label is not shown
        return self.figure


def image_grid(images: np.ndarray) -> np.ndarray:
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
    return max(1, int(min(side, LARGEST_IMAGE) * DPI / pixels + 1e-6))


def lettered(names: Sequence[str]) -> list[str]:
    """`(a) ...`, `(b) ...` where there are several."""
    letters = string.ascii_letters if len(names) > 1 else ""
    return [f"({letter}) {name}".rstrip() for letter, name in zip(letters, names, strict=False)] or list(names)
