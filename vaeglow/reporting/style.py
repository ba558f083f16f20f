"""The look of every figure: sizes, fonts, colours, and how files are written. No torch.

Colours carry a meaning and never stand alone: each comes with a marker or a label. Models have theirs from config
(`styles` of a spec). `vaeglow.reporting.page` lays figures out. Matplotlib is imported when a figure is drawn.
"""

from __future__ import annotations

import textwrap
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError
from vaeglow.files import atomic_path
from vaeglow.reporting import traced

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 256  # a power of two: inches times DPI gives whole pixels back, exactly
WIDTH = 7.2  # inches: a page's text, two columns wide
INK, GREY, PAPER = "#1a1a1a", "#737373", "#ffffff"
# Okabe & Ito (2008), told apart with any colour vision.
PALETTE = BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
FIELDS = "cividis"  # colours of a map of numbers: even steps to the eye, the same with any colour vision
TITLE, LABEL, DETAIL, FOOTER = 10.0, 8.0, 7.0, 6.0  # points; nothing in print is smaller than the footer
RC: dict[str, Any] = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": LABEL,
    "axes.titlesize": LABEL,
    "axes.titlelocation": "left",
    "axes.labelsize": DETAIL,
    "xtick.labelsize": DETAIL,
    "ytick.labelsize": DETAIL,
    "legend.fontsize": DETAIL,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2.0,
    "pdf.fonttype": 42,  # text stays text
}
# Without dates and versions the same figure is the same file. A PNG also says what it was drawn from (`traced`).
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
    """Write the figure, each file whole or not at all, the format by its ending (.png or .pdf).

    Raises:
        UserError: another ending, or no room or permission to write.
    """
    for path in map(Path, paths):
        if path.suffix not in METADATA:
            raise UserError(f"{path}: figures are written as {' or '.join(METADATA)}")
    with styled():
        for path in map(Path, paths):
            with atomic_path(path) as temporary:
                metadata = METADATA[path.suffix] | (traced.png_metadata(figure) if path.suffix == ".png" else {})
                figure.savefig(temporary, format=path.suffix[1:], metadata=metadata)
