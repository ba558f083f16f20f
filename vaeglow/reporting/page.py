"""Figures of images, laid out in whole dots: every image pixel is printed as a square of equal dots. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.reporting import style

GAP = 1  # pixels of paper between images, before enlargement
# Inches on paper.
MARGIN, BETWEEN, LARGEST_IMAGE, NARROWEST = 0.15, 0.11, 0.8, 4.0

Lines = Sequence[tuple[str, float, str]]  # text, size, colour of each line


def image_grid(images: np.ndarray, columns: int, lines: int) -> np.ndarray:
    """Lay images out from left to right, line by line, `GAP` white pixels apart.

    Args:
        images: uint8 [N, C, H, W], C 1 (grey) or 3, N at least columns * lines; further ones are left out.
        columns: images a line.
        lines: of images.

    Returns:
        uint8 [lines * (H + GAP) - GAP, columns * (W + GAP) - GAP, 3].

    Raises:
        UserError: too few images.
    """
    count, channels, height, width = images.shape
    if count < columns * lines:
        raise UserError(f"a grid of {lines} lines of {columns} images has only {count} images: lower its size")
    cells = np.full((lines, columns, height + GAP, width + GAP, 3), 255, np.uint8)
    shown = images[: columns * lines].reshape(lines, columns, channels, height, width)
    cells[:, :, :height, :width] = shown.transpose(0, 1, 3, 4, 2)  # one channel is repeated in all three
    grid = cells.transpose(0, 2, 1, 3, 4).reshape(lines * (height + GAP), columns * (width + GAP), 3)
    return grid[: lines * (height + GAP) - GAP, : columns * (width + GAP) - GAP]


def enlargement(grid_width: int, side: int, inches: float) -> int:
    """How many dots wide and high a pixel is printed: a whole number, so that no pixel is wider than its neighbour.

    Args:
        grid_width: pixels, gaps included, that should fill `inches` (at one dot a pixel they may be wider).
        side: of one image, in pixels; no image grows beyond `LARGEST_IMAGE`.
        inches: on paper.
    """
    return max(1, min(round(inches * style.DPI / grid_width), int(LARGEST_IMAGE * style.DPI / side)))


def dots(inches: float) -> int:
    """Inches as whole dots."""
    return round(inches * style.DPI)


def height_of(lines: Lines) -> int:
    """The height of lines of text one below the other, in dots."""
    return dots(sum(style.line_height(size) for _, size, _ in lines))


class Page:
    """A figure of known width that grows downwards, all lengths in dots, y from the top.

    Args:
        width: dots; widened to `NARROWEST`.
        title: heading; wrapped.

    Attributes:
        bottom: where the next thing may start.
    """

    def __init__(self, width: int, title: str) -> None:
        self.width = max(width, dots(NARROWEST))
        self._grids: list[tuple[int, int, np.ndarray, int]] = []
        self._texts: list[tuple[float, float, str, float, str, str]] = []
        heading = style.wrap(title, self.width / style.DPI - 2 * MARGIN, style.TITLE).splitlines()
        self.text(dots(MARGIN), dots(MARGIN), [("\n".join(heading), style.TITLE, style.INK)])
        self.bottom = dots(MARGIN) + dots(style.line_height(style.TITLE)) * len(heading) + dots(BETWEEN)

    def grid(self, x: int, y: int, grid: np.ndarray, zoom: int) -> tuple[int, int]:
        """Print pixels [h, w, 3] with their upper left corner at (x, y); returns the width and height in dots."""
        self._grids.append((x, y, grid, zoom))
        return grid.shape[1] * zoom, grid.shape[0] * zoom

    def text(self, x: float, y: float, lines: Lines, align: str = "left") -> None:
        """Print lines one below the other, the first one's top at y; x is their left, center or right."""
        for text, size, color in lines:
            self._texts.append((x, y, text, size, color, align))
            y += dots(style.line_height(size))

    def grids(self) -> list[tuple[int, int, int, int]]:
        """Left, top, width and height of the grids so far, in the order printed."""
        return [(x, y, grid.shape[1] * zoom, grid.shape[0] * zoom) for x, y, grid, zoom in self._grids]

    def finish(self, footer: str) -> Figure:
        """The figure; its axes are the grids, in the order printed."""
        foot = style.wrap(footer, self.width / style.DPI - 2 * MARGIN, style.FOOTER)
        height = self.bottom + dots(style.line_height(style.FOOTER)) * (foot.count("\n") + 1) + dots(MARGIN) // 2
        figure = style.new_figure(self.width / style.DPI, height / style.DPI)
        for x, y, grid, zoom in self._grids:
            axes = place(figure, x, y, grid.shape[1] * zoom, grid.shape[0] * zoom)
            axes.imshow(grid, interpolation="nearest", aspect="auto")
            axes.set_axis_off()
        texts = [*self._texts, (dots(MARGIN), self.bottom, foot, style.FOOTER, style.GREY, "left")]
        for x, y, text, size, color, align in texts:
            where = (x / self.width, 1 - y / height)
            figure.text(*where, text, size=size, color=color, ha=align, va="top", linespacing=1.25)
        return figure


def place(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Axes in a box of dots, y from the top of the figure."""
    wide, high = figure.get_size_inches() * style.DPI
    return figure.add_axes((x / wide, 1 - (y + height) / high, width / wide, height / high))
