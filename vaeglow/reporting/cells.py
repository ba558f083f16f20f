"""Numbers as text: what a cell of a table holds, and how a reader sees it. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from vaeglow.config import nearest
from vaeglow.errors import UserError
from vaeglow.reporting import traced
from vaeglow.reporting.measured import Measurement


def mean_and_sd(name: str, values: Sequence[float | None], decimals: int) -> dict[str, str]:
    """Two cells: the mean over seeds, and the standard deviation where there are several.

    Args:
        name: of the first; the second is called `{name}_sd`.
        values: one a seed; None where the run has no such number (then both cells are empty).
        decimals: printed.
    """
    numbers = pd.Series(values, dtype=float)
    if numbers.isna().any():
        return {name: "", f"{name}_sd": ""}
    deviation = f"{numbers.std():.{decimals}f}" if len(numbers) > 1 else ""
    return {name: f"{numbers.mean():.{decimals}f}", f"{name}_sd": deviation}


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, never in powers of ten: 0.00123, 12.3, 12345."""
    if value == 0:
        return "0"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def distinct(values: Iterable[str], between: str = "; ") -> str:
    """The values that occur, each once, in order; empty ones are left out."""
    return between.join(value for value in dict.fromkeys(values) if value)


def origin_cells(group: Sequence[Measurement], what: str) -> dict[str, str]:
    """The cells that say which runs a measured row is of.

    Args:
        group: one run under each seed.
        what: the file whose provenance is told.
    """
    row = group[0].row
    return {
        "source": "measured",
        "dataset": row["dataset"],
        "preset": row["preset"],
        "seeds": " ".join(str(one.seed) for one in group),
        "device": distinct(one.value(what, "provenance", "device") for one in group),
        "commit": distinct(one.commit(what) for one in group),
        "run": row["model"],
        "origin": f"results/{row['preset']}/{row['dataset']}/{row['model']}",
        **trace_cells(group),
    }


def trace_cells(group: Iterable[Measurement]) -> dict[str, str]:
    """The cells that trace a row to the files it was read from; see `vaeglow.reporting.traced`."""
    return traced.trace_cells({one.paths[what]: one.files[what] for one in group for what in one.files})


def training_cells(group: Sequence[Measurement]) -> dict[str, str]:
    """The cells that say how long the runs of a row trained: one number a phase, the base's included."""
    phases = pd.DataFrame([one.value("training", "train_seconds_by_phase") for one in group]).mean()
    cpu = [one.files["training"].get("train_cpu_seconds_by_phase") for one in group]
    return {
        "epochs": "+".join(str(count) for count in group[0].value("training", "epochs_by_phase")),
        "train_seconds": f"{phases.sum():.1f}",
        "train_cpu_seconds": "" if None in cpu else f"{pd.DataFrame(cpu).mean().sum():.1f}",  # older files: unknown
        "train_seconds_by_phase": "+".join(f"{seconds:.1f}" for seconds in phases),
        "parameters": str(group[0].value("training", "parameters")),
    }


def frame(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> pd.DataFrame:
    """The rows as a table of texts, traced and sealed; what a row does not have is empty."""
    return traced.sealed(pd.DataFrame(rows, columns=[*columns, *traced.COLUMNS], dtype=object).fillna(""))


def readable(table: pd.DataFrame, headers: Mapping[str, str], show: Sequence[str]) -> pd.DataFrame:
    """Some of a table's columns as a reader sees them: bounds marked, spreads beside means, "-" for nothing.

    Args:
        table: texts. Columns `bits_per_dim...` are bounds where `bound` says so; `{column}_sd` is a column's spread.
        headers: what the columns that can be shown are called.
        show: the columns meant, in order.

    Raises:
        UserError: one that cannot be shown.
    """
    shown = table.copy()
    for column in show:
        if column not in headers:
            raise UserError(f"show: a table of this kind has no column '{column}'{nearest(column, headers)}")
        if f"{column}_sd" in table:
            shown[column] = [with_spread(*pair) for pair in zip(table[column], table[f"{column}_sd"], strict=True)]
        if column.startswith("bits_per_dim"):
            pairs = zip(shown[column], table["bound"], strict=True)
            shown[column] = [f"≤ {value}" if value and bound == "<=" else value for value, bound in pairs]
    return shown[list(show)].replace("", "-").rename(columns=headers)


def with_spread(value: str, deviation: str) -> str:
    """A mean, with its standard deviation over seeds where there is one."""
    return f"{value} ± {deviation}" if deviation else value


def with_range(value: str, low: str, high: str) -> str:
    """A median, with the lowest and highest of the windows behind it where there are any."""
    return f"{value} ({low} to {high})" if low and high else value
