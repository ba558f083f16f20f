"""Figures from arrays: what is drawn. How it looks is in `style`, where the arrays come from in `drawn`. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.drawn import Row

GAP = 1  # pixels of paper between images, before enlargement
# Inches on paper.
MARGIN, LABELS_WIDTH, BETWEEN_ROWS = 0.15, 1.4, 0.11
GRID_WIDTH, LARGEST_IMAGE = 5.5, 0.8


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


def enlargement(grid_width: int, side: int) -> int:
    """How many dots wide and high a pixel is printed: a whole number, so that no pixel is wider than its neighbour."""
    return max(1, min(round(GRID_WIDTH * style.DPI / grid_width), int(LARGEST_IMAGE * style.DPI / side)))


def sample_sheet(rows: Sequence[Row], columns: int, lines: int, title: str, footer: str) -> Figure:
    """Rows of images with a label at the left of each.

    Args:
        rows: at least one; images of one size.
        columns: images a line.
        lines: lines of images in each row.
        title: heading.
        footer: small, at the foot.

    Returns:
        A figure; its axes are the rows' grids, in order. Each image pixel is a square of whole dots.

    Raises:
        UserError: a row has too few images.
    """
    grids = [image_grid(row.images, columns, lines) for row in rows]
    labels = [label_lines(row) for row in rows]
    grid_height, grid_width = grids[0].shape[:2]
    zoom = enlargement(grid_width, rows[0].images.shape[-1])
    # All lengths in whole dots from here on, y downwards.
    margin, between, left = dots(MARGIN), dots(BETWEEN_ROWS), dots(MARGIN + LABELS_WIDTH)
    width = max(left + grid_width * zoom + margin, dots(MARGIN + LABELS_WIDTH + GRID_WIDTH / 2))
    title = style.wrap(title, width / style.DPI - 2 * MARGIN, style.TITLE)
    heights = [max(grid_height * zoom, dots(sum(style.line_height(size) for _, size, _ in label))) for label in labels]
    top = margin + dots(style.line_height(style.TITLE)) * (title.count("\n") + 1) + between
    foot = top + sum(heights) + between * len(rows)
    height = foot + dots(style.line_height(style.FOOTER)) + margin // 2
    with style.styled():
        figure = style.new_figure(width / style.DPI, height / style.DPI)
        figure.text(margin / width, 1 - margin / height, title, size=style.TITLE, va="top", linespacing=1.25)
        for grid, label, row_height in zip(grids, labels, heights, strict=True):
            down = top + (row_height - grid_height * zoom) // 2
            box = (left, height - down - grid_height * zoom, grid_width * zoom, grid_height * zoom)
            axes = figure.add_axes([box[0] / width, box[1] / height, box[2] / width, box[3] / height])
            axes.imshow(grid, interpolation="nearest", aspect="auto")
            axes.set_axis_off()
            write_label(figure, label, margin / width, 1 - (top + row_height / 2) / height)
            top += row_height + between
        figure.text(margin / width, 1 - foot / height, footer, size=style.FOOTER, color=style.GREY, va="top")
    return figure


def dots(inches: float) -> int:
    """Inches as whole dots."""
    return round(inches * style.DPI)


def label_lines(row: Row) -> list[tuple[str, float, str]]:
    """A row's label, line by line: text, size, colour."""
    lines = []
    for text, size, color in ((row.name, style.LABEL, style.INK), (row.detail, style.DETAIL, style.GREY)):
        wrapped = [style.wrap(line, LABELS_WIDTH - 0.1, size) for line in text.splitlines()]
        lines += [(line, size, color) for line in "\n".join(wrapped).splitlines()]
    return lines


def write_label(figure: Figure, label: Sequence[tuple[str, float, str]], x: float, y: float) -> None:
    """Write lines of text one below the other, as a block centred on `y` (both in parts of the figure)."""
    heights = [style.line_height(size) / figure.get_figheight() for _, size, _ in label]
    y += sum(heights) / 2
    for (text, size, color), height in zip(label, heights, strict=True):
        figure.text(x, y, text, size=size, color=color, va="top")
        y -= height
