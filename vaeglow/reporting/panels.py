"""Grids of images beside each other, with headings above and captions below. No torch."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Sequence

import numpy as np

from vaeglow.reporting import style
from vaeglow.reporting.page import BETWEEN, MARGIN, Lines, Page, dots, enlargement, height_of
from vaeglow.reporting.sample_rows import Row, label_lines

APART, SPLIT = 0.25, 0.08  # inches between two panels, and between two blocks of one


@dataclasses.dataclass(frozen=True)
class Panel:
    """One captioned panel of one block or more.

    Attributes:
        blocks: heading and pixels uint8 [h, w, 3] of each, from left to right; an empty heading is left out.
        side: of one image, in pixels.
        name: the caption, in large.
        detail: the same in small; none or several lines.
    """

    blocks: Sequence[tuple[str, np.ndarray]]
    side: int
    name: str
    detail: str

    def pixels(self) -> int:
        """Image pixels from left to right."""
        return sum(grid.shape[1] for _, grid in self.blocks)

    def gaps(self) -> int:
        """Dots between its blocks."""
        return dots(SPLIT) * (len(self.blocks) - 1)


def lay_out(panels: Sequence[Panel], title: str, room: float = 0.0) -> Page:
    """A page with the panels side by side, as large as fits; its bottom lies below their captions.

    Args:
        panels: from left to right; lettered where there are several.
        title: heading.
        room: inches kept free right of the last panel.
    """
    inches = (style.WIDTH - room - 2 * MARGIN - APART * (len(panels) - 1)) / len(panels)
    zooms = [enlargement(panel.pixels(), panel.side, inches - panel.gaps() / style.DPI) for panel in panels]
    side, zoom = max((panel.side, zoom) for panel, zoom in zip(panels, zooms, strict=True))
    zooms = [max(1, round(side * zoom / panel.side)) for panel in panels]  # images of one size on paper
    widths = [panel.pixels() * zoom + panel.gaps() for panel, zoom in zip(panels, zooms, strict=True)]
    used = sum(widths) + dots(APART) * (len(panels) - 1) + dots(room)
    page = Page(used + 2 * dots(MARGIN), title)
    headings = [
        [heading_lines(heading, grid.shape[1] * zoom) for heading, grid in panel.blocks]
        for panel, zoom in zip(panels, zooms, strict=True)
    ]
    captions = [
        label_lines(Row(name, panel.detail, panel.blocks[0][1]), width / style.DPI)
        for name, panel, width in zip(lettered([panel.name for panel in panels]), panels, widths, strict=True)
    ]
    above = max(height_of(lines) for of_panel in headings for lines in of_panel)
    top = page.bottom + above + (dots(0.03) if above else 0)
    height = max(grid.shape[0] * zoom for panel, zoom in zip(panels, zooms, strict=True) for _, grid in panel.blocks)
    x = (page.width - used) // 2
    for panel, zoom, width, of_panel, caption in zip(panels, zooms, widths, headings, captions, strict=True):
        left = x
        for (_, grid), heading in zip(panel.blocks, of_panel, strict=True):
            wide, _ = page.grid(left, top, grid, zoom)
            page.text(left + wide / 2, top - dots(0.03) - height_of(heading), heading, "center")
            left += wide + dots(SPLIT)
        page.text(x + width / 2, top + height + dots(BETWEEN) // 2, caption, "center")
        x += width + dots(APART)
    page.bottom = top + height + max(map(height_of, captions)) + dots(1.5 * BETWEEN)
    return page


def heading_lines(heading: str, width: int) -> Lines:
    """A heading wrapped to a width in dots."""
    lines = style.wrap(heading, width / style.DPI, style.DETAIL).splitlines()
    return [(line, style.DETAIL, style.INK) for line in lines]


def lettered(names: Sequence[str]) -> list[str]:
    """`(a) ...`, `(b) ...` where there are several."""
    if len(names) == 1:
        return list(names)
    return [f"({letter}) {name}" for letter, name in zip(string.ascii_lowercase, names, strict=False)]
