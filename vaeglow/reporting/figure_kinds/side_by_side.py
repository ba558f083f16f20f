"""Samples of two models or more beside each other (the paper's Figures 2 and 3). No torch."""

from __future__ import annotations

from matplotlib.figure import Figure

from vaeglow.reporting.drawn import Sources
from vaeglow.reporting.page import image_grid
from vaeglow.reporting.panels import Panel, lay_out
from vaeglow.reporting.sample_rows import describe_run, read_rows


def draw(sources: Sources) -> Figure:
    """Draw the figure; keys of its spec: `columns` and `lines` of images in each grid, one grid a row.

    The first samples of each run are shown. The caption below a grid is the row's label or the model's name, with the
    variant and the temperature in small, and how many of the run's samples overflowed, which shows as flat patches.

    Raises:
        UserError: see `vaeglow.reporting.sample_rows.read_rows`.
    """
    columns, lines = sources.spec["columns"], sources.spec["lines"]
    rows = read_rows(sources, columns * lines, f"columns or lines ({columns} columns x {lines} lines)")
    panels = []
    for row, entry in zip(rows, sources.spec["rows"], strict=True):
        detail = row.detail
        if "label" in entry and "model" in entry:
            detail = f"{describe_run(entry['model'], float(entry['temperature']))[1]}\n{row.overflow}".rstrip()
        grid = image_grid(row.images, columns, lines)
        panels.append(Panel([("", grid)], row.images.shape[-1], row.name, detail.replace("\n", ", ")))
    page = lay_out(panels, sources.spec["title"])
    return page.finish(sources.footer())
