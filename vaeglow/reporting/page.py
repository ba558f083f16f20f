"""A page with a figure: title, images and charts from the top down, legend, notes and footer. No torch.

Lengths are inches: x from the page's left edge, y downwards from its top. A pixel of an image is printed as a square of
whole dots (`style.DPI` an inch), so that images stay crisp.
"""

from __future__ import annotations

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
TALLEST = 40  # inches, more than any page needs: `style.save` crops it
BETWEEN, APART, SPLIT = 0.11, 0.25, 0.08  # inches between rows, between panels, and between blocks of a panel
LARGEST_IMAGE, LABELS = 0.8, 1.5  # inches: an image's side; the labels of a sheet
Label = tuple[str, str]  # what is shown; in small letters, the condition


class Page:
    """A figure that grows downwards.

    Args:
        title: heading.

    Attributes:
        figure: what is drawn on.
        bottom: top of the next element.
        notes: paragraphs at the bottom.
    """

    def __init__(self, title: str) -> None:
        from matplotlib.figure import Figure

        self.figure, self.notes = Figure((style.WIDTH, TALLEST), style.DPI), list[str]()
        self.bottom = BETWEEN + self.text(0, 0, title, style.TITLE)

    def text(
        self, x: float, y: float, text: str, size: float = style.DETAIL, inches: float = style.WIDTH, **look: Any
    ) -> float:
        """Write lines wrapped to `inches`, the first one's top at y; returns their height."""
        place, lines = (x / style.WIDTH, 1 - y / TALLEST), style.wrap(text, inches, size)
        self.figure.text(*place, lines, **{"size": size, "va": "top", "linespacing": 1.25, **look})
        return style.height_of(text, inches, size)

    def place(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes of that size, their upper left corner at (x, y), to the dot."""
        left, foot = (round(inches * style.DPI) / style.DPI for inches in (x, TALLEST - y - height))
        return self.figure.add_axes((left / style.WIDTH, foot / TALLEST, width / style.WIDTH, height / TALLEST))

    def images(self, x: float, y: float, images: np.ndarray, side: float) -> tuple[float, float]:
        """Print images, uint8 [lines, columns, C, H, W], each at most `side` wide; returns their width and height."""
        grid, zoom = image_grid(images), enlargement(side, images.shape[-1])
        height, width = (zoom * pixels / style.DPI for pixels in grid.shape[:2])
        axes = self.place(x, y, width, height)
        axes.imshow(grid, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        return width, height

    def sheet(self, rows: Sequence[tuple[Label, np.ndarray]]) -> None:
        """Rows of images, uint8 [lines, columns, C, H, W] each, one below the other, a label at the left of each."""
        for (name, detail), images in rows:
            _, height = self.images(LABELS, self.bottom, images, (style.WIDTH - LABELS) / images.shape[1])
            text = self.text(0, self.bottom, name, style.LABEL, LABELS - 0.1)
            text += self.text(0, self.bottom + text, detail, inches=LABELS - 0.1, color=style.GREY)
            self.bottom += max(height, text) + BETWEEN

    def panels(self, panels: Sequence[tuple[Label, Sequence[tuple[str, np.ndarray]]]]) -> None:
        """Panels side by side, as large as fits, images of one size on paper; captions below.

        Args:
            panels: of each the caption, and its blocks from left to right: heading, and images as in `sheet`.
        """
        room = (style.WIDTH + APART) / len(panels) - APART
        side = min(
            (room - SPLIT * (len(blocks) - 1)) / sum(images.shape[1] for _, images in blocks) for _, blocks in panels
        )
        largest = max(images.shape[-1] for _, blocks in panels for _, images in blocks)
        side = enlargement(side, largest) * largest / style.DPI  # the others follow those of the most pixels
        headings = [(text, side * images.shape[1]) for _, blocks in panels for text, images in blocks]
        x, top = 0.0, self.bottom + max(style.height_of(*heading, style.DETAIL) for heading in headings)
        for name, ((_, detail), blocks) in zip(lettered([name for (name, _), _ in panels]), panels, strict=True):
            left, foot = x, top
            for heading, images in blocks:
                width, height = self.images(x, top, images, side)
                self.text(x, top - 0.03, heading, inches=side * images.shape[1], va="bottom")
                x, foot = x + width + SPLIT, max(foot, top + height + BETWEEN / 2)
            foot += self.text(left, foot, name, style.LABEL, x - left)
            foot += self.text(left, foot, detail, inches=x - left, color=style.GREY)
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
            columns = int(style.WIDTH / (max(map(len, entries)) * 0.56 * style.DETAIL / 72 + 0.45))
            look = {"ncols": min(len(entries), max(1, columns)), "borderpad": 0, "borderaxespad": 0}
            look |= {"loc": "upper left", "bbox_to_anchor": (0, 1 - (self.bottom + 0.04) / TALLEST)}
            legend = self.figure.legend(entries.values(), entries, **look)
            self.bottom += legend.get_window_extent().height / style.DPI + BETWEEN
        for note in self.notes:
            self.bottom += self.text(0, self.bottom, note)
        commits = (one.commit.partition("+") for one in results if "provenance" in one.content)
        made = ", ".join(dict.fromkeys(digits[:10] + plus + dirty for digits, plus, dirty in commits))
        self.text(0, self.bottom + 0.03, f"{about} \u00b7 commit {made}", style.FOOTER, color=style.GREY)
        return traced.attach(self.figure, list(dict.fromkeys(one.path for one in results)))


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
    return max(1, int(min(side, LARGEST_IMAGE) * style.DPI / pixels + 1e-6))


def lettered(names: Sequence[str]) -> list[str]:
    """`(a) ...`, `(b) ...` where there are several."""
    if len(names) < 2:
        return list(names)
    return [f"({letter}) {name}".rstrip() for letter, name in zip(string.ascii_letters, names, strict=False)]
