"""Columns of tables: the name, source and format of each. No torch."""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from vaeglow.reporting.frame import Lines, Numbers, files, first, numbers
from vaeglow.reporting.traced import distinct

RANGE, ERROR = "{} to {}", "{} (± {})"  # templates of `Column.beside`
LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
SEEDS = 3  # from this number on, seeds alone give an interval


def t_bounds(values: np.ndarray, below: float, above: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the t intervals of means over S, at least 2, of values [S, ...]; both open if one is not finite.

    Probability `below` and `above` lies outside.
    """
    from scipy import stats

    mean, error = values.mean(0), values.std(0, ddof=1) / math.sqrt(len(values))
    low, high = (stats.t.isf(tail, len(values) - 1) * error for tail in (below, above))
    known = np.isfinite(error)
    return np.where(known, mean - low, -math.inf), np.where(known, mean + high, math.inf)


def t_end(values: Numbers, end: int) -> float:
    """An end of the 95% t interval of a mean over seeds; NaN of fewer than `SEEDS`, or if one has no number."""
    enough = len(values) >= SEEDS and values.notna().all()
    return float(t_bounds(values.to_numpy(), TAIL, TAIL)[end]) if enough else math.nan


# End of a column's name: the summary. Without enough seeds it is empty.
SPREADS = {"sd": "std", "low": "min", "high": "max", "lower": partial(t_end, end=0), "upper": partial(t_end, end=1)}


@dataclasses.dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: in the CSV.
        value: makes a cell from its row's lines of the results frame. A series or an array (a number for each seed or
            round) is reduced by `summary`; None and NaN are an empty cell.
        header: in the reader's form; empty for a column that only the CSV has.
        form: the text of a value that is not text.
        beside: how it is combined with another column: a template, and that column's name.
        summary: name of a method of pandas.Series, or a function of one.
    """

    name: str
    value: Callable[[Lines], Any]
    header: str = ""
    form: Callable[[Any], str] = str
    beside: Sequence[str] = ()
    summary: str | Callable[[Numbers], float] = "mean"

    def cell(self, row: Lines) -> str:
        """The text of one cell."""
        import pandas as pd

        value = self.value(row)
        if np.ndim(value):
            value = pd.Series(value)
            value = self.summary(value) if callable(self.summary) else getattr(value, self.summary)(skipna=False)
        if value is None or value != value:  # NaN is not itself
            return ""
        return value if isinstance(value, str) else self.form(value)


def fixed(decimals: int) -> Callable[[float], str]:
    """The form with so many decimals."""
    return f"{{:.{decimals}f}}".format


def significant(value: float) -> str:
    """The form of a positive number with three significant digits, never in powers of ten: 0.00123, 12.3, 12345."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def same(source: str, header: str = "", form: Callable[[Any], str] = str, name: str = "") -> Column:
    """A value that all lines share: a column of the frame, or `{kind}.{key}`; `name` is the key if empty."""
    return Column(name or source.split(".")[-1], lambda lines: first(lines, source), header, form)


def mean(
    source: str, decimals: int, header: str = "", name: str = "", null: bool = False, beside: Sequence[str] = ()
) -> Column:
    """The mean over seeds of `{kind}.{key}`; empty where one seed's number is null, which `null` allows."""
    value = partial(numbers, source=source, null=null)
    return Column(name or source.split(".")[-1], value, header, fixed(decimals), beside)


def only(column: Column, key: str, wanted: Any, **changes: Any) -> Column:
    """The column of those of a row's lines whose `key` is `wanted`."""
    return dataclasses.replace(column, value=lambda lines: column.value(lines[lines[key] == wanted]), **changes)


def phases(lines: Lines, cpu: str = "") -> Numbers:
    """Seconds of training, one number a phase, the base's included: means over seeds."""
    import pandas as pd

    return pd.DataFrame([file.value(f"train_{cpu}seconds_by_phase") for file in files(lines, "training")]).mean()


def dequantisation(lines: Lines) -> str | None:
    """That of a row's bits/dim; `none` of a model of discrete images, nothing where lines have no likelihood."""
    return next((file.value("dequantisation") or "none" for file in files(lines, "likelihood")), None)


# What several kinds of table have.
SHARED = {
    column.name: column
    for column in (
        same("label", "Model", name="model"),
        Column("source", lambda lines: "measured", "Source"),
        same("dataset", "Dataset"),
        same("preset", "Preset"),
        Column("seeds", lambda lines: " ".join(map(str, dict.fromkeys(lines["seed"]))), "Seeds"),
        same("at", "T", name="temperature"),
        Column("device", lambda lines: distinct(lines["device"]), "Device"),
        Column("commit", lambda lines: distinct(lines["commit"])),
        same("model", name="run"),
        Column("origin", lambda lines: "results/{preset}/{dataset}/{model}".format(**lines.iloc[0])),
        Column("epochs", lambda lines: "+".join(map(str, first(lines, "training.epochs_by_phase") or ())), "Epochs"),
        Column("train_seconds", lambda lines: phases(lines).sum(min_count=1), "Training (s)", fixed(1)),
        Column("train_cpu_seconds", lambda lines: phases(lines, "cpu_").sum(min_count=1), "Training (CPU s)", fixed(1)),
        Column("train_seconds_by_phase", lambda lines: "+".join(map(fixed(1), phases(lines))), "Training by phase (s)"),
        same("training.parameters", "Parameters"),
        mean("likelihood.bits_per_dim", 3, "bits/dim", null=True),
        mean("likelihood.standard_error", 3, name="bits_per_dim_standard_error", null=True),
        same("likelihood.bound"),
        same("likelihood.images", name="likelihood_images"),
        Column("dequantisation", dequantisation),
        *(same(f"metrics.{name}") for name in ("fid_samples", "fid_sets", "fid_reference_images", "fid_features")),
        *(same(f"metrics.{name}") for name in ("feature_images", "protocol")),
        Column("exploded_samples", lambda lines: numbers(lines, "metrics.exploded_samples").sum(), form=fixed(0)),
        same("metrics.split", name="fid_split"),
    )
}


def named(names: str, *own: Column) -> list[Column]:
    """A table's columns in order, by their names: its own, those of `SHARED`, and what `SPREADS` makes of any.

    After each standard deviation come the ends of its interval.
    """
    known = SHARED | {column.name: column for column in own}
    ordered = re.sub(r"(\S+)_sd\b", r"\1_sd \1_lower \1_upper", names).split()
    for name in ordered:
        stem, _, ending = name.rpartition("_")
        if name not in known:
            known[name] = dataclasses.replace(known[stem], name=name, header="", beside=(), summary=SPREADS[ending])
    return [known[name] for name in ordered]
