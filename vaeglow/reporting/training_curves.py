"""One run's training, epoch by epoch, from its history.csv. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from vaeglow.errors import UserError
from vaeglow.files import read_json
from vaeglow.reporting import style, traced
from vaeglow.reporting.chart import Chart, key, marker
from vaeglow.reporting.drawn import IDENTITY, commit_of
from vaeglow.reporting.labels import model_label

NEEDED = ("epoch", "bits_per_dim", "learning_rate", "gradient_norm", "images_per_second", "seconds")
SUFFIX = "_bits_per_dim"  # of a loss term
VALIDATION = "val_bits_per_dim"
VALIDATION_LOOK = {"color": style.GREY, "symbol": "s", "linestyle": "--"}
REMEDY = "delete it and train again"


def draw(history: str | Path, training: str | Path) -> Figure:
    """Loss terms, bits/dim, learning rate, gradient norm, speed and time against epochs.

    Args:
        history: path of history.csv, a row an epoch.
        training: path of training.json of the same run.

    Raises:
        UserError: a file is missing, damaged, without an epoch, or of another run.
    """
    rows, about = read_history(history), read_json(training)
    missing = [name for name in IDENTITY if not isinstance(about, dict) or name not in about]
    if missing:
        raise UserError(f"{training} lacks {', '.join(missing)}: {REMEDY}")
    phases = about.get("epochs_by_phase")
    if not isinstance(phases, list) or not phases or phases[-1] != len(rows):
        raise UserError(
            f"{history} has {len(rows)} epochs, {training} says {phases}: they are not of one run; {REMEDY}"
        )
    with style.styled():
        title = f"{model_label(about['model'])} on {about['dataset']}, preset {about['preset']}, seed {about['seed']}"
        chart = Chart(title, 2, 3, height=4.0, sharex=True)
        for axes, panel in zip(chart.axes.flat, (bits, terms, rate, gradient, speed, time), strict=True):
            panel(axes, rows)
        for axes in chart.axes.flat:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True) if len(rows) > 1 else FixedLocator(rows["epoch"]))
        for axes in chart.axes[1]:
            axes.set_xlabel("epoch")
        skipped = int(rows.get("skipped_steps", pd.Series([0])).sum())
        notes = [f"Steps left out because they were not finite: {skipped}."] if skipped else []
        commits = [commit_of(about.get("provenance"))]
        footer = style.footer(about["preset"], [about["dataset"]], about["seed"], commits)
        return traced.attach(chart.finish(footer, handles_of(rows), notes), [Path(history), Path(training)])


def read_history(path: str | Path) -> pd.DataFrame:
    """history.csv.

    Raises:
        UserError: missing, damaged or without an epoch.
    """
    try:
        rows = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: train the run first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as CSV ({' '.join(str(error).split())}): {REMEDY}") from None
    missing = [name for name in NEEDED if name not in rows]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}: {REMEDY}")
    if rows.empty:
        raise UserError(f"{path} has no epochs to draw: train for at least one")
    wrong = [name for name in NEEDED if not pd.api.types.is_numeric_dtype(rows[name])]
    if wrong:
        raise UserError(f"{path} holds text where numbers belong ({', '.join(wrong)}): {REMEDY}")
    return rows


def curve(axes: Axes, rows: pd.DataFrame, name: str, **look: Any) -> None:
    """One column against epochs; empty cells are left out."""
    shown = rows[["epoch", name]].dropna()
    look = {"color": style.INK, "marker": marker(len(shown), look.pop("symbol", "o")), **look}
    axes.plot(shown["epoch"], shown[name], markersize=3, linewidth=1.2, **look)


def looks_of(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The loss terms' columns and their looks."""
    names = [name for name in rows if name.endswith(SUFFIX) and name != VALIDATION]
    return {name: {"color": style.PALETTE[k % 6], "symbol": "osD^vP"[k % 6]} for k, name in enumerate(names)}


def handles_of(rows: pd.DataFrame) -> list[Line2D]:
    """The legend: the loss terms, and validation where it was measured."""
    named = {
        name.removesuffix(SUFFIX).replace("_", " ").replace("kl", "KL"): look for name, look in looks_of(rows).items()
    }
    if validated(rows):
        named |= {"training": {"color": style.INK, "symbol": "o"}, "validation": VALIDATION_LOOK}
    return [
        key(label, **{("marker" if word == "symbol" else word): value for word, value in look.items()}, markersize=3)
        for label, look in named.items()
    ]


def validated(rows: pd.DataFrame) -> bool:
    """Whether bits/dim were measured on the val split."""
    return VALIDATION in rows and bool(rows[VALIDATION].notna().any())


def bits(axes: Axes, rows: pd.DataFrame) -> None:
    """Training and, where it was measured, validation."""
    axes.set_title("bits/dim")
    curve(axes, rows, "bits_per_dim")
    if validated(rows):
        curve(axes, rows, VALIDATION, **VALIDATION_LOOK)


def terms(axes: Axes, rows: pd.DataFrame) -> None:
    """What the bits/dim are made of, but for the constant of the levels."""
    axes.set_title("loss terms, bits/dim")
    for name, look in looks_of(rows).items():
        curve(axes, rows, name, **look)


def rate(axes: Axes, rows: pd.DataFrame) -> None:
    """At the end of each epoch."""
    axes.set_title("learning rate")
    curve(axes, rows, "learning_rate")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    from_zero(axes, rows["learning_rate"])


def gradient(axes: Axes, rows: pd.DataFrame) -> None:
    """Before clipping, mean of an epoch; logarithmic where it spans more than a factor of ten."""
    axes.set_title("gradient norm")
    curve(axes, rows, "gradient_norm")
    norms = rows["gradient_norm"].dropna()
    if len(norms) and norms.min() > 0 and norms.max() > 10 * norms.min():
        axes.set_yscale("log")
    else:
        from_zero(axes, norms)


def speed(axes: Axes, rows: pd.DataFrame) -> None:
    """Of the training steps."""
    axes.set_title("images a second")
    curve(axes, rows, "images_per_second")
    from_zero(axes, rows["images_per_second"])


def time(axes: Axes, rows: pd.DataFrame) -> None:
    """Of the training steps, added up."""
    axes.set_title("training time, seconds")
    curve(axes, rows, "seconds")
    from_zero(axes, rows["seconds"])


def from_zero(axes: Axes, values: pd.Series) -> None:
    """An axis that starts at 0 and leaves room above the highest value."""
    highest = values.max()
    if np.isfinite(highest) and highest > 0:
        axes.set_ylim(0.0, 1.1 * highest)
