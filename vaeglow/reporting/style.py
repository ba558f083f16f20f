"""The look of every figure: sizes, fonts, colours, and how files are written. No torch.

Colours have a meaning and are never used alone: each comes with a marker or a label. Models have theirs from config
(`styles` of a spec). `vaeglow.reporting.page` lays figures out. Matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import textwrap
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.files import atomic_path
from vaeglow.reporting import traced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


def save(figure: Figure, *paths: str | Path) -> None:
    """Write the figure, with a margin, each file completely or not at all, the format by its suffix (.png or .pdf).

    Raises:
        UserError: another suffix, or no room or permission to write.
    """
    for path in map(Path, paths):
        if path.suffix not in METADATA:
            raise UserError(f"{path}: figures are written as {' or '.join(METADATA)}")
    with styled():
        figure.draw_without_rendering()
        box = figure.get_tightbbox().padded(MARGIN)
        box.set_points(np.round(box.get_points() * DPI) / DPI)  # a dot of the figure is a dot of the file
        for path in map(Path, paths):
            with atomic_path(path) as temporary:
                metadata = METADATA[path.suffix] | (traced.png_metadata(figure) if path.suffix == ".png" else {})
                figure.savefig(temporary, format=path.suffix[1:], metadata=metadata, bbox_inches=box)
