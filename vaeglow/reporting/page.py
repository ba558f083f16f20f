"""A page with a figure: title and legend, then images and charts from the top down, then notes and footer. No torch.

Lengths are inches: x from the page's left edge, y downwards from below the legend. A pixel of an image is printed as a
square of whole dots (`style.DPI` an inch), so that images stay crisp.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaeglow.reporting import style, traced
from vaeglow.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 1  # pixels of paper between images, before enlargement
# Inches.
MARGIN, BETWEEN, APART, SPLIT = 0.15, 0.11, 0.25, 0.08  # around all; between rows, panels, and blocks of a panel
LARGEST_IMAGE, NARROWEST, LABELS = 0.8, 4.0, 1.5  # an image's side; a page; the labels of a sheet
Label = tuple[str, str]  # what is shown; in small, under what condition
Box = tuple[float, float, float, float]  # x, y, width, height


class Page:
    """A figure that grows downwards.

    Args:
        title: heading.

    Attributes:
        figure: what is drawn on.
        bottom: where the next thing may start.
        notes: what is written below, a paragraph each.
    """

    def __init__(self, title: str) -> None:
        from matplotlib.figure import Figure
        from matplotlib.transforms import Affine2D

        self.figure, self.bottom, self.notes = Figure(dpi=style.DPI), 0.0, list[str]()
        self._title, self._right = title, NARROWEST - MARGIN
        self._boxes: list[tuple[Axes, Box]] = []
        self._charts: tuple[list[Axes], float, float] = [], 0.0, 0.0  # with their top and height
        self._transform = Affine2D()  # from the page's inches to the figure's, set when its height is known

    def text(self, x: float, y: float, text: str, size: float = style.DETAIL, inches: float = 99, **look: Any) -> float:
        """Write lines wrapped to `inches`, the first one's top at y; returns their height."""
        lines, transform = style.wrap(text, inches, size), self._transform + self.figure.dpi_scale_trans
        self.figure.text(x, y, lines, size=size, **{"va": "top", "linespacing": 1.25, "transform": transform, **look})
        return style.height_of(text, inches, size)

    def place(self, x: float, y: float, width: float, height: float, beside: float = 0.0) -> Axes:
        """Axes of that size, to the dot, their upper left corner at (x, y), with room for text at their right."""
        axes = self.figure.add_axes((0, 0, 1, 1), label=str(len(self._boxes)))
        self._boxes.append((axes, (dots(x), dots(y), dots(width), dots(height))))
        self._right = max(self._right, x + width + beside)
        return axes

    def images(self, x: float, y: float, images: np.ndarray, side: float) -> Box:
        """Print images, uint8 [lines, columns, C, H, W], each at most `side` wide; returns the place they take."""
        width, height = size_of(images, side)
        axes = self.place(x, y, width, height)
        axes.imshow(image_grid(images), interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        return x, y, width, height

    def sheet(self, rows: Sequence[tuple[Label, np.ndarray]]) -> None:
        """Rows of images, uint8 [lines, columns, C, H, W] each, one below the other, a label at the left of each."""
        inside = LABELS - 0.1
        for (name, detail), images in rows:
            side = (style.WIDTH - 2 * MARGIN - LABELS) / images.shape[1]
            heading, grid = style.height_of(name, inside, style.LABEL), size_of(images, side)[1]
            text = heading + style.height_of(detail, inside, style.DETAIL)
            height = max(text, grid)
            self.images(MARGIN + LABELS, self.bottom + (height - grid) / 2, images, side)
            top = self.bottom + (height - text) / 2
            self.text(MARGIN, top, name, style.LABEL, inside)
            self.text(MARGIN, top + heading, detail, inches=inside, color=style.GREY)
            self.bottom += height + BETWEEN

    def panels(self, panels: Sequence[tuple[Label, Sequence[tuple[str, np.ndarray]]]]) -> Box:
        """Panels side by side, as large as fits, images of one size on paper; captions below.

        Args:
            panels: of each the caption, and its blocks from left to right: heading, and images as in `sheet`.

        Returns:
            The place of the last block.
        """
        room = (style.WIDTH - 2 * MARGIN - APART * (len(panels) - 1)) / len(panels)
        side = min(
            (room - SPLIT * (len(blocks) - 1)) / sum(images.shape[1] for _, images in blocks) for _, blocks in panels
        )
        largest = max(images.shape[-1] for _, blocks in panels for _, images in blocks)
        side = enlargement(side, largest) * largest / style.DPI  # the others follow those of the most pixels
        sizes = [(text, *size_of(images, side)) for _, blocks in panels for text, images in blocks]
        x, top = MARGIN, self.bottom + 0.03 + max(style.height_of(*size[:2], style.DETAIL) for size in sizes)
        below = top + max(height for *_, height in sizes) + BETWEEN / 2
        for name, ((_, detail), blocks) in zip(lettered([name for (name, _), _ in panels]), panels, strict=True):
            left = x
            for heading, images in blocks:
                box = self.images(x, top, images, side)
                self.text(x + box[2] / 2, top - 0.03, heading, inches=box[2], ha="center", va="bottom")
                x += box[2] + SPLIT
            wide, middle = x - SPLIT - left, (left + x - SPLIT) / 2
            y = below + self.text(middle, below, name, style.LABEL, wide, ha="center")
            y += self.text(middle, y, detail, inches=wide, ha="center", color=style.GREY)
            self.bottom = max(self.bottom, y + BETWEEN)
            x += APART - SPLIT
        return box

    def charts(self, titles: Sequence[str], columns: int, height: float, **subplots: Any) -> list[Axes]:
        """Charts, line by line; called once a page. What is drawn on them with a `label` stands in the legend.

        Args:
            titles: of each; several are lettered.
            columns: charts a line.
            height: of all of them with their labels.
            **subplots: for `Figure.subplots`.
        """
        self.figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.05, wspace=0.03, hspace=0.06)
        grid = self.figure.subplots(-(-len(titles) // columns), columns, squeeze=False, **subplots)
        for axes, title in itertools.zip_longest(grid.flat, lettered(titles)):
            axes.set(title=title or "", visible=title is not None)
        self._charts = list(grid.flat[: len(titles)]), self.bottom, height
        self._right = max(self._right, style.WIDTH - MARGIN)
        self.bottom += height
        return self._charts[0]

    def finish(self, about: str, results: Sequence[Result]) -> Figure:
        """Write title, legend, notes and footer, and fix the page's size.

        Args:
            about: what the figure is of.
            results: what it was drawn from: the footer has their commits, the figure's file their names and hashes.
        """
        commits = (one.commit.partition("+") for one in results if "provenance" in one.content)
        made = ", ".join(dict.fromkeys(digits[:10] + plus + dirty for digits, plus, dirty in commits))
        inside, y = self._right - MARGIN, self.bottom + 0.03
        for note in self.notes:
            y += self.text(MARGIN, y, note, inches=inside)
        footer = f"{about} \u00b7 commit {made}"
        y += 0.03 + self.text(MARGIN, y + 0.03, footer, style.FOOTER, inside, color=style.GREY)
        head = -dots(style.height_of(self._title, inside, style.TITLE) + self._legend(inside) + 0.08)
        self.text(MARGIN, head, self._title, style.TITLE, inside)
        width, height = dots(self._right + MARGIN), dots(MARGIN - head + y + MARGIN / 2)
        foot = height - MARGIN + head  # where y = 0 lies, upwards from the figure's foot
        self.figure.set_size_inches(width, height)
        self._transform.scale(1, -1).translate(0, foot)
        for axes, (left, top, wide, high) in self._boxes:
            axes.set_position((left / width, (foot - top - high) / height, wide / width, high / height))
        if self._charts[0]:
            _, top, high = self._charts
            box = (MARGIN / width, (foot - top - high) / height, 1 - 2 * MARGIN / width, high / height)
            self.figure.get_layout_engine().set(rect=box)
        return traced.attach(self.figure, list(dict.fromkeys(one.path for one in results)))

    def _legend(self, inches: float) -> float:
        """One legend for all charts that have none of their own; returns its height."""
        entries: dict[str, Any] = {}
        for axes in self._charts[0]:
            found = [] if axes.get_legend() else list(zip(*axes.get_legend_handles_labels(), strict=True))
            for handle, label in sorted(found, key=lambda one: not isinstance(one[0], tuple)):  # error bars first
                entries.setdefault(label, handle)
        if not entries:
            return 0.0
        widest = max(map(len, entries)) * 0.56 * style.DETAIL / 72 + 0.45
        columns = max(1, min(len(entries), int(inches / widest)))
        height = 1.7 * style.DETAIL / 72 * -(-len(entries) // columns) + 0.06
        place = {"bbox_to_anchor": (MARGIN, -height), "bbox_transform": self._transform + self.figure.dpi_scale_trans}
        look = {"loc": "upper left", "ncols": columns, "borderpad": 0, "borderaxespad": 0, **place}
        self.figure.legend(entries.values(), entries.keys(), **look).set_in_layout(False)
        return height


def image_grid(images: np.ndarray) -> np.ndarray:
    """Lay images out, `GAP` white pixels apart.

    Args:
        images: uint8 [lines, columns, C, H, W], C 1 (grey) or 3.

    Returns:
        uint8 [lines * (H + GAP) - GAP, columns * (W + GAP) - GAP, 3].
    """
    lines, columns, _, height, width = images.shape
    cells = np.full((lines, height + GAP, columns, width + GAP, 3), 255, np.uint8)
    cells[:, :height, :, :width] = images.transpose(0, 3, 1, 4, 2)  # one channel is repeated in all three
    return cells.reshape(lines * (height + GAP), columns * (width + GAP), 3)[:-GAP, :-GAP]


def size_of(images: np.ndarray, side: float) -> tuple[float, float]:
    """Width and height of images [lines, columns, C, H, W], each at most `side` wide."""
    lines, columns, _, height, width = images.shape
    zoom = enlargement(side, width)
    return (columns * (width + GAP) - GAP) * zoom / style.DPI, (lines * (height + GAP) - GAP) * zoom / style.DPI


def enlargement(side: float, pixels: int) -> int:
    """How many whole dots wide each of an image's pixels is, so that it is at most `side` inches wide; at least one."""
    return max(1, int(min(side, LARGEST_IMAGE) * style.DPI / pixels + 1e-6))


def dots(inches: float) -> float:
    """A length rounded to whole dots."""
    return round(inches * style.DPI) / style.DPI


def lettered(names: Sequence[str]) -> list[str]:
    """`(a) ...`, `(b) ...` where there are several."""
    if len(names) < 2:
        return list(names)
    return [f"({letter}) {name}".rstrip() for letter, name in zip(string.ascii_letters, names, strict=False)]
