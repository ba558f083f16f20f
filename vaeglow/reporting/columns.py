"""Columns of tables: the name, source and format of each. No torch."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from vaeglow.reporting.frame import Lines, Numbers, files, first, numbers
from vaeglow.reporting.traced import distinct

Value: TypeAlias = Callable[[Lines], Any]
Form: TypeAlias = Callable[[Any], str]
RANGE = "{} to {}"  # a template of `Column.beside`
ERROR = "{} (± {})"  # another
LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
SEEDS = 3  # from this number on, seeds alone give an interval


def t_bounds(values: np.ndarray, below: float, above: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the t intervals of means over S, at least 2, of values [S, ...]; both open if one is not finite.

    Probability `below` and `above` lies outside.
    """
    from scipy import stats

    degrees = len(values) - 1
    mean = values.mean(0)
    error = values.std(0, ddof=1) / math.sqrt(len(values))
    low = mean - stats.t.isf(below, degrees) * error
    high = mean + stats.t.isf(above, degrees) * error
    known = np.isfinite(error)
    return np.where(known, low, -math.inf), np.where(known, high, math.inf)


def t_end(values: Numbers, end: int) -> float:
    """An end of the 95% t interval of a mean over seeds; NaN of fewer than `SEEDS`, or if one has no number."""
    if len(values) < SEEDS or values.isna().any():
        return math.nan
    return float(t_bounds(values.to_numpy(), TAIL, TAIL)[end])


# End of a column's name: the summary. Without enough seeds it is empty.
SPREADS = {
    "sd": "std",
    "low": "min",
    "high": "max",
    "lower": partial(t_end, end=0),
    "upper": partial(t_end, end=1),
}


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
    value: Value
    header: str = ""
    form: Form = str
    beside: Sequence[str] = ()
    summary: str | Callable[[Numbers], float] = "mean"

    def cell(self, row: Lines) -> str:
        """The text of one cell."""
        value = self.value(row)
        if np.ndim(value):
            value = self.summarise(value)
        if value is None or value != value:  # NaN is not itself
            return ""
        return value if isinstance(value, str) else self.form(value)

    def summarise(self, values: Any) -> float:
        """One number of a number for each seed or round; NaN where one has none."""
        import pandas as pd

        series = pd.Series(values)
        if callable(self.summary):
            return self.summary(series)
        return getattr(series, self.summary)(skipna=False)


def fixed(decimals: int) -> Form:
    """The form with so many decimals."""
    return f"{{:.{decimals}f}}".format


def significant(value: float) -> str:
    """The form of a positive number with three significant digits, never in powers of ten: 0.00123, 12.3, 12345."""
    decimals = 2 - math.floor(math.log10(value))
    return fixed(max(0, decimals))(value)


def last_key(source: str) -> str:
    """The name of a column of `{kind}.{key}` that has no name of its own."""
    return source.rpartition(".")[2]


def same(source: str, header: str = "", form: Form = str, name: str = "") -> Column:
    """A value that all lines share: a column of the frame, or `{kind}.{key}`; `name` is the key if empty."""
    return Column(name or last_key(source), partial(first, source=source), header, form)


def seed_mean(
    source: str, decimals: int, header: str = "", name: str = "", null: bool = False, beside: Sequence[str] = ()
) -> Column:
    """The mean over seeds of `{kind}.{key}`; empty where one seed's number is null, which `null` allows."""
    value = partial(numbers, source=source, null=null)
    return Column(name or last_key(source), value, header, fixed(decimals), beside)


def only(column: Column, key: str, wanted: Any, **changes: Any) -> Column:
    """The column of those of a row's lines whose `key` is `wanted`."""

    def value(lines: Lines) -> Any:
        return column.value(lines[lines[key] == wanted])

    return dataclasses.replace(column, value=value, **changes)


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


def by_phase(lines: Lines) -> str:
    """Seconds of each phase."""
    return "+".join(map(fixed(1), phases(lines)))


def epochs(lines: Lines) -> str:
    """Epochs of each phase."""
    return "+".join(map(str, first(lines, "training.epochs_by_phase") or ()))


def dequantisation(lines: Lines) -> str | None:
    """That of a row's bits/dim; `none` of a model of discrete images, nothing where lines have no likelihood."""
    if files(lines, "likelihood").empty:
        return None
    return first(lines, "likelihood.dequantisation") or "none"


def seeds(lines: Lines) -> str:
    """The seeds of a row."""
    return " ".join(map(str, lines["seed"].unique()))


def exploded(lines: Lines) -> float:
    """How many samples overflowed, under all seeds."""
    return numbers(lines, "metrics.exploded_samples").sum()


# What several kinds of table have.
COLUMNS = [
    same("label", "Model", name="model"),
    Column("source", lambda lines: "measured", "Source"),
    same("dataset", "Dataset"),
    same("preset", "Preset"),
    Column("seeds", seeds, "Seeds"),
    same("at", "T", name="temperature"),
    Column("device", lambda lines: distinct(lines["device"]), "Device"),
    Column("commit", lambda lines: distinct(lines["commit"])),
    same("model", name="run"),
    Column("origin", lambda lines: "results/{preset}/{dataset}/{model}".format(**lines.iloc[0])),
    Column("epochs", epochs, "Epochs"),
    Column("train_seconds", whole_training, "Training (s)", fixed(1)),
    Column("train_cpu_seconds", partial(whole_training, clock="cpu_"), "Training (CPU s)", fixed(1)),
    Column("train_seconds_by_phase", by_phase, "Training by phase (s)"),
    same("training.parameters", "Parameters"),
    seed_mean("likelihood.bits_per_dim", 3, "bits/dim", null=True),
    seed_mean("likelihood.standard_error", 3, name="bits_per_dim_standard_error", null=True),
    same("likelihood.bound"),
    same("likelihood.images", name="likelihood_images"),
    Column("dequantisation", dequantisation),
    same("metrics.fid_samples"),
    same("metrics.fid_sets"),
    same("metrics.fid_reference_images"),
    same("metrics.fid_features"),
    same("metrics.feature_images"),
    same("metrics.protocol"),
    Column("exploded_samples", exploded, form=fixed(0)),
    same("metrics.split", name="fid_split"),
]
SHARED = {column.name: column for column in COLUMNS}


def in_order(names: str, *own: Column) -> list[Column]:
    """A table's columns in order, by their names: its own, those of `SHARED`, and what `SPREADS` makes of any.

    After each standard deviation come the ends of its interval.
    """
    known = SHARED | {column.name: column for column in own}
    with_ends = re.sub(r"(\S+)_sd\b", r"\1_sd \1_lower \1_upper", names).split()
    for name in with_ends:
        if name not in known:
            stem, _, ending = name.rpartition("_")
            known[name] = dataclasses.replace(known[stem], name=name, header="", beside=(), summary=SPREADS[ending])
    return [known[name] for name in with_ends]
