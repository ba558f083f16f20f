"""Draw one run's training: loss terms, bits/dim, learning rate, gradient norm and speed against epochs."""

from pathlib import Path
from typing import Any

from vaeglow.models.kinds import unit
from vaeglow.reporting import style
from vaeglow.reporting.frame import Lines
from vaeglow.results import Result, check_together, read_result
from vaeglow.steps import cli

TERM = "_bits_per_dim"  # suffix of a loss term's column
# Column: the heading. Bits/dim and their terms come first.
PANELS = {
    "learning_rate": "learning rate",
    "gradient_norm": "gradient norm",
    "images_per_second": "images a second",
    "seconds": "training time, seconds",
}


def draw(history: Path, training: Path) -> style.Figure:
    """Loss terms, bits/dim, learning rate, gradient norm, speed and time against epochs.

    Args:
        history: history.csv, a row an epoch.
        training: training.json of the same run.
    """
    from matplotlib.ticker import MaxNLocator
    from pandas import read_csv

    result = read_result(training)
    table = Result(history, {})
    check_together([table, result])  # training.json has the hash of history.csv
    rows = read_csv(history).astype(float)
    objective = str(rows.columns[1])
    validation = f"val_{objective}"
    with style.styled():
        names = {key: result.value(key) for key in ("model", "dataset", "preset", "seed")}
        page = style.Page("{model} on {dataset}, preset {preset}, seed {seed}".format(**names))
        panels = page.charts([unit(objective), "loss terms, bits/dim", *PANELS.values()], 3, 4.0, sharex=True)
        curve(panels[0], rows, objective, label="training", color=style.INK)
        if rows[validation].notna().any():
            curve(panels[0], rows, validation, label="validation", color=style.GREY, marker="s", linestyle="--")
        terms = [name for name in rows if name.endswith(TERM) and name != validation]
        for name, color, marker in zip(terms, style.PALETTE, "osD^vP", strict=False):
            label = name.removesuffix(TERM).replace("_", " ").replace("kl", "KL")
            curve(panels[1], rows, name, label=label, color=color, marker=marker)
        for axes, name in zip(panels[2:], PANELS, strict=True):
            curve(axes, rows, name, color=style.INK)
            if name == "gradient_norm" and 0 < 10 * rows[name].min() < rows[name].max():
                axes.set_yscale("log")
            else:
                axes.set_ylim(bottom=0.0)
        panels[2].yaxis.set_major_formatter("{x:g}")
        panels[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        panels[0].set_xlim(0.5, len(rows) + 0.5)
        for axes in panels[3:]:
            axes.set_xlabel("epoch")
        skipped = int(rows["skipped_steps"].sum())
        if skipped:
            page.notes.append(f"Steps left out because they were not finite: {skipped}.")
        about = "preset {preset} \u00b7 dataset {dataset} \u00b7 seed {seed}".format(**result.content)
        return page.finish(about, [table, result])


def curve(axes: style.Axes, rows: Lines, name: str, marker: str = "o", **look: Any) -> None:
    """One column against epochs; empty cells are left out."""
    shown = rows[["epoch", name]].dropna()
    marker = marker if len(shown) <= style.MANY else ""
    axes.plot(shown["epoch"], shown[name], marker=marker, markersize=3, clip_on=False, **look)  # markers stay whole


@cli.step
def main(*, history: Path, training: Path, output: list[Path]) -> None:
    """Read, draw; write .png or .pdf.

    Args:
        history: the run's history.csv
    """
    style.save(draw(history, training), *output)
