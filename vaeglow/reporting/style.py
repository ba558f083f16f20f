"""The look of every figure, in one place: sizes, fonts, colours, footer, and how files are written. No torch.

Draw inside `with style.styled():` on a `matplotlib.figure.Figure` (no pyplot, so no display and no global state),
then `style.save`. Colours carry a meaning and never stand alone: each comes with a marker or a label. Figures of
images are laid out by `vaeglow.reporting.page`, charts by `vaeglow.reporting.chart`.
"""

from __future__ import annotations

import textwrap
import zlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.files import atomic_path
from vaeglow.reporting import traced

DPI = 256  # a power of two: inches times DPI gives whole pixels back, exactly
WIDTH = 7.2  # inches: a page's text, two columns wide
INK, GREY, PAPER = "#1a1a1a", "#737373", "#ffffff"
# Okabe & Ito (2008), told apart with any colour vision, darkest first for thin lines.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, _ = PALETTE
FIELDS = "cividis"  # colours of a map of numbers: even steps to the eye, the same with any colour vision
# A model looks the same in every figure. A family shares a colour where it can, and never colour and marker.
LOOKS = {
    "glow": (BLUE, "o"),
    "glow_additive": (BLUE, "h"),
    "glow_paper_schedule": (SKY, "o"),
    "vae": (ORANGE, "D"),
    "vae_isotropic": (ORANGE, "d"),
    "vae_isotropic_standard": (ORANGE, "X"),
    "vae_two_stage": (GREY, "D"),
    "vaeglow": (VERMILION, "s"),
    "vaeglow_as_written": (GREEN, "^"),
    "vaeglow_squeeze4": (PURPLE, "v"),
    "vaeglow_isotropic": (VERMILION, "P"),
    "vaeglow_joint": (SKY, "<"),
    "vaeglow_joint_small_kl": (SKY, ">"),
    "vaeglow_joint_finetune": (SKY, "p"),
}
OTHER_MARKERS = ("*", "8", "H", "1", "2", "3", "4", "+")
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
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "errorbar.capsize": 2.0,
    "pdf.fonttype": 42,  # text stays text
}
# Without dates and versions the same figure is the same file. A PNG also says what it was drawn from (`traced`).
METADATA: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


def styled() -> AbstractContextManager[None]:
    """The style, for the length of a `with` block."""
    cycle = matplotlib.cycler(color=PALETTE)
    return matplotlib.rc_context({**RC, "axes.prop_cycle": cycle})


def look(model: str) -> dict[str, str]:
    """A model's colour and marker, as keywords for `Axes.plot`; a model of the user's own gets a lasting one."""
    if model in LOOKS:
        color, marker = LOOKS[model]
    else:
        number = zlib.crc32(model.encode())
        color, marker = PALETTE[number % 6], OTHER_MARKERS[number // 6 % len(OTHER_MARKERS)]
    return {"color": color, "marker": marker}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` x `height` inches."""
    return Figure(figsize=(width, height), dpi=DPI)


def wrap(text: str, inches: float, points: float) -> str:
    """`text` in lines that fit a width (by the font's mean letter, good to about a letter in ten)."""
    kept = text.replace(" = ", "\u00a0=\u00a0")  # "T = 0.5" stays on one line
    filled = textwrap.fill(kept, max(8, int(inches * 72 / (0.56 * points))), break_long_words=False)
    return filled.replace("\u00a0", " ")


def line_height(points: float) -> float:
    """The height of a line of text of that size, in inches."""
    return 1.25 * points / 72


def footer(preset: str, datasets: Iterable[str], seed: int, commits: Iterable[str]) -> str:
    """The line at the foot of every figure: what its content comes from."""
    shown = list(dict.fromkeys(datasets))
    known = ", ".join(dict.fromkeys(map(short_commit, commits))) or "unknown"
    named = f"dataset{'s' if len(shown) > 1 else ''} {', '.join(shown)}"
    return f"preset {preset} \u00b7 {named} \u00b7 seed {seed} \u00b7 commit {known}"


def short_commit(commit: str) -> str:
    """The first ten digits of a commit, keeping a `+dirty`."""
    digits, plus, dirty = commit.partition("+")
    return digits[:10] + plus + dirty


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
