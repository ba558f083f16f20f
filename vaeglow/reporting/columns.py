"""Columns of tables: the name, source and format of each. No torch."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from math import floor, inf, log10, nan
from typing import Any, NamedTuple

import numpy as np

from vaeglow.reporting.frame import Array, Lines, Numbers, Words, files, first, numbers
from vaeglow.reporting.traced import distinct

Value = Callable[[Lines], Any]
Form = Callable[[Any], str]
RANGE = "{} to {}"  # a template of `Column.beside`
ERROR = "{} (± {})"  # another
LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
SEEDS = 3  # from this number on, seeds alone give an interval


def t_bounds(values: Array, below: float, above: float) -> tuple[Array, Array]:
    """Ends of the t intervals of means over S, at least 2, of values [S, ...]; both open if one is not finite.

    Probability `below` and `above` lies outside.
    """
    from scipy import stats

    degrees = len(values) - 1
    mean = values.mean(0)
    error = stats.sem(values)
    known = np.isfinite(error)
    low = np.where(known, mean - stats.t.isf(below, degrees) * error, -inf)
    high = np.where(known, mean + stats.t.isf(above, degrees) * error, inf)
    return low, high


def t_end(values: Array, end: int) -> float:
    """An end of the 95% t interval of a mean over seeds; NaN of fewer than `SEEDS`, or if one has no number."""
    if len(values) < SEEDS or np.isnan(values).any():
        return nan
    return float(t_bounds(values, TAIL, TAIL)[end])


def deviation(values: Array) -> float:
    """The standard deviation over seeds; NaN of one."""
    return values.std(ddof=1) if len(values) > 1 else nan


# End of a column's name: the summary. Without enough seeds it is empty.
SPREADS = {
    "sd": deviation,
    "low": np.min,
    "high": np.max,
    "lower": partial(t_end, end=0),
    "upper": partial(t_end, end=1),
}


class Column(NamedTuple):
    """One column.

    Attributes:
        name: in the CSV.
        value: makes a cell from its row's lines of the results frame. A series or an array (a number for each seed or
            round) is reduced by `summary`; None and NaN are an empty cell.
        header: in the reader's form; empty for a column that only the CSV has.
        form: the text of a value.
        beside: how it is combined with another column: a template, and that column's name.
        summary: of an array of numbers, NaN where one is NaN.
    """

    name: str
    value: Value
    header: str = ""
    form: Form = str
    beside: Words = ()
    summary: Callable = np.mean

    def cell(self, row: Lines) -> str:
        """The text of one cell."""
        value = self.value(row)
        if np.ndim(value):
            value = self.summary(np.asarray(value)) if len(value) else None
        if value is None or value != value:  # NaN is not itself
            return ""
        return self.form(value)


def fixed(decimals: int) -> Form:
    """The form with so many decimals."""
    return f"{{:.{decimals}f}}".format


def significant(value: float) -> str:
    """The form of a positive number with three significant digits, never in powers of ten: 0.00123, 12.3, 12345."""
    return fixed(max(0, 2 - floor(log10(value))))(value)


def same(source: str, header: str = "", form: Form = str, name: str = "") -> Column:
    """A value that all lines share: a column of the frame, or `{kind}.{key}`; `name` is the key if empty."""
    return Column(name or source.rpartition(".")[2], partial(first, source=source), header, form)


def seed_mean(
    source: str, decimals: int, header: str = "", name: str = "", null: bool = False, beside: Words = ()
) -> Column:
    """The mean over seeds of `{kind}.{key}`; empty where one seed's number is null, which `null` allows."""
    return Column(
        name or source.rpartition(".")[2], partial(numbers, source=source, null=null), header, fixed(decimals), beside
    )


def only(column: Column, key: str, wanted: Any, **changes: Any) -> Column:
    """The column of those of a row's lines whose `key` is `wanted`."""
    return column._replace(value=lambda lines: column.value(lines[lines[key] == wanted]), **changes)


def names_of(columns: Iterable[Column], ending: str = "") -> str:
    """The names of columns, or of their summaries with this ending, as `in_order` takes them."""
    return " ".join(f"{column.name}{ending}" for column in columns)


def phases(lines: Lines, clock: str = "") -> Numbers:
    """Seconds of training, or CPU seconds (`cpu_`), one number a phase, the base's included: means over seeds."""
    import pandas as pd

    return pd.DataFrame([file.value(f"train_{clock}seconds_by_phase") for file in files(lines, "training")]).mean()


def whole_training(lines: Lines, clock: str = "") -> float:
    """Seconds of all phases; NaN where lines have no training."""
    return phases(lines, clock).sum(min_count=1)


def dequantisation(lines: Lines) -> str | None:
    """That of a row's bits/dim; `none` of a model of discrete images, nothing where lines have no likelihood."""
    if files(lines, "likelihood").empty:
        return None
    return first(lines, "likelihood.dequantisation") or "none"


PLAIN = """
    likelihood.bound metrics.fid_samples metrics.fid_sets metrics.fid_reference_images metrics.fid_features
    metrics.feature_images metrics.protocol
"""
# What several kinds of table have.
COLUMNS = [
    same("label", "Model", name="model"),
    Column("source", lambda lines: "measured", "Source"),
    same("dataset", "Dataset"),
    same("preset", "Preset"),
    Column("seeds", lambda lines: " ".join(map(str, lines["seed"].unique())), "Seeds"),
    same("at", "T", name="temperature"),
    Column("device", lambda lines: distinct(lines["device"]), "Device"),
    Column("commit", lambda lines: distinct(lines["commit"])),
    same("model", name="run"),
    Column("origin", lambda lines: "results/{preset}/{dataset}/{model}".format(**lines.iloc[0])),
    Column("epochs", lambda lines: "+".join(map(str, first(lines, "training.epochs_by_phase") or ())), "Epochs"),
    Column("train_seconds", whole_training, "Training (s)", fixed(1)),
    Column("train_cpu_seconds", partial(whole_training, clock="cpu_"), "Training (CPU s)", fixed(1)),
    Column("train_seconds_by_phase", lambda lines: "+".join(map(fixed(1), phases(lines))), "Training by phase (s)"),
    same("training.parameters", "Parameters"),
    seed_mean("likelihood.bits_per_dim", 3, "bits/dim", null=True),
    seed_mean("likelihood.standard_error", 3, name="bits_per_dim_standard_error", null=True),
    same("likelihood.images", name="likelihood_images"),
    Column("dequantisation", dequantisation),
    *map(same, PLAIN.split()),
    same("metrics.split", name="fid_split"),
    Column("exploded_samples", lambda lines: numbers(lines, "metrics.exploded_samples").sum(), form=fixed(0)),
]


def in_order(names: str, *own: Column) -> list[Column]:
    """A table's columns in order, by their names: its own, those of `COLUMNS`, and what `SPREADS` makes of any.

    After each standard deviation come the ends of its interval.
    """
    known = {column.name: column for column in (*COLUMNS, *own)}
    with_ends = re.sub(r"(\S+)_sd\b", r"\1_sd \1_lower \1_upper", names).split()
    for name in with_ends:
        if name not in known:
            stem, _, ending = name.rpartition("_")
            known[name] = known[stem]._replace(name=name, header="", beside=(), summary=SPREADS[ending])
    return [known[name] for name in with_ends]
