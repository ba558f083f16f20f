"""A sheet of samples: rows of images, the first drawn and none picked, with a label at the left of each. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from vaeglow.reporting.drawn import Sources
from vaeglow.reporting.page import BETWEEN, MARGIN, Page, dots, enlargement, height_of, image_grid
from vaeglow.reporting.sample_rows import Row, label_lines, read_rows

LABELS_WIDTH, GRID_WIDTH = 1.4, 5.5  # inches


def draw(sources: Sources) -> Figure:
    """Draw the figure; keys of its spec: `columns` of images and `lines_per_row` of each row.

    Raises:
        UserError: see `vaeglow.reporting.sample_rows.read_rows`.
    """
    columns, lines = sources.spec["columns"], sources.spec["lines_per_row"]
    keys = f"columns or lines_per_row ({columns} columns x {lines} lines)"
    rows = read_rows(sources, columns * lines, keys)
    grids = [image_grid(row.images, columns, lines) for row in rows]
    return sheet(rows, grids, sources.spec["title"], sources.footer())


def sheet(rows: Sequence[Row], grids: Sequence[np.ndarray], title: str, footer: str) -> Figure:
    """Rows of images with a label at the left of each.

    Args:
        rows: at least one.
        grids: the images of each row laid out, uint8 [h, w, 3].
        title: heading.
        footer: small, at the foot.

    Returns:
        A figure; its axes are the grids, in order. Each image pixel is a square of whole dots.
    """
    sides = [row.images.shape[-1] for row in rows]
    zooms = [enlargement(grid.shape[1], side, GRID_WIDTH) for grid, side in zip(grids, sides, strict=True)]
    left = dots(MARGIN + LABELS_WIDTH)
    widest = max(grid.shape[1] * zoom for grid, zoom in zip(grids, zooms, strict=True))
    page = Page(left + widest + dots(MARGIN), title)
    for row, grid, zoom in zip(rows, grids, zooms, strict=True):
        label = label_lines(row, LABELS_WIDTH - 0.1)
        height = max(grid.shape[0] * zoom, height_of(label))
        page.grid(left, page.bottom + (height - grid.shape[0] * zoom) // 2, grid, zoom)
        page.text(dots(MARGIN), page.bottom + (height - height_of(label)) / 2, label)
        page.bottom += height + dots(BETWEEN)
    return page.finish(footer)
