"""Columns of tables: each says once what it is called, where its number comes from and how it is printed. No torch.

A table stays numbers until `table_of` makes texts of them; `readable` makes the form of fewer columns that people read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vaeglow.config import nearest
from vaeglow.errors import UserError
from vaeglow.reporting import traced
from vaeglow.reporting.frame import first, numbers, results_of

if TYPE_CHECKING:
    import pandas as pd

    from vaeglow.results import Result


@dataclasses.dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: in the CSV.
        value: of a cell, from the lines of the results frame that its row is made of, one a seed.
        header: in the reader's form; empty for a column that only the CSV has.
        form: the text of a value that is no text; nothing (None, NaN) is an empty cell.
    """

    name: str
    value: Callable[[pd.DataFrame], Any]
    header: str = ""
    form: Callable[[Any], str] = str


def fixed(decimals: int) -> Callable[[float], str]:
    """The form with so many decimals."""
    return f"{{:.{decimals}f}}".format


def significant(value: float, digits: int = 3) -> str:
    """The form with so many significant digits, never in powers of ten: 0.00123, 12.3, 12345."""
    if value == 0:
        return "0"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def same(name: str, source: str = "", header: str = "", form: Callable[[Any], str] = str) -> Column:
    """A value that all lines share; `source` is a column of the results frame, `name` if empty."""
    source = source or name
    if "." in source:
        return Column(name, lambda group: first(group, source), header, form)
    return Column(name, lambda group: group[source].iloc[0], header, form)


def mean(name: str, source: str, decimals: int, header: str = "", null: bool = False) -> Column:
    """The mean over seeds; nothing where one seed's number is null, which `null` allows."""
    return Column(name, lambda group: numbers(group, source, null).mean(skipna=False), header, fixed(decimals))


def mean_and_sd(name: str, source: str, decimals: int, header: str = "", null: bool = False) -> tuple[Column, Column]:
    """The mean over seeds, and `{name}_sd`, the standard deviation where there are several; see `mean`."""
    return mean(name, source, decimals, header, null), Column(
        f"{name}_sd", lambda group: numbers(group, source, null).std(skipna=False), form=fixed(decimals)
    )


def phases(group: pd.DataFrame, clock: str = "train_seconds") -> pd.Series:
    """Seconds of training, one number a phase, the base's included: means over seeds."""
    import pandas as pd

    return pd.DataFrame([file.value(f"{clock}_by_phase") for file in group["training"]]).mean()


# What several kinds of table have.
SHARED = {
    column.name: column
    for column in (
        same("model", "label", "Model"),
        Column("source", lambda group: "measured", "Source"),
        same("dataset", header="Dataset"),
        same("preset", header="Preset"),
        Column("seeds", lambda group: " ".join(map(str, dict.fromkeys(group["seed"]))), "Seeds"),
        same("temperature", header="T"),
        Column("device", lambda group: traced.distinct(group["device"]), "Device"),
        Column("commit", lambda group: traced.distinct(group["commit"])),
        same("run", "model"),
        Column("origin", lambda group: "results/{preset}/{dataset}/{model}".format(**group.iloc[0])),
        Column("epochs", lambda group: "+".join(map(str, first(group, "training.epochs_by_phase"))), "Epochs"),
        Column("train_seconds", lambda group: phases(group).sum(), "Training (s)", fixed(1)),
        Column(
            "train_cpu_seconds", lambda group: phases(group, "train_cpu_seconds").sum(), "Training (CPU s)", fixed(1)
        ),
        Column("train_seconds_by_phase", lambda group: "+".join(map(fixed(1), phases(group))), "Training by phase (s)"),
        same("parameters", "training.parameters", "Parameters"),
        *mean_and_sd("bits_per_dim", "likelihood.bits_per_dim", 3, "bits/dim"),
        mean("bits_per_dim_standard_error", "likelihood.standard_error", 3, null=True),
        same("bound", "likelihood.bound"),
        same("likelihood_images", "likelihood.images"),
        same("dequantisation", "likelihood.dequantisation"),
        *(same(name, f"metrics.{name}") for name in ("fid_samples", "fid_sets", "fid_reference_images")),
        *(same(name, f"metrics.{name}") for name in ("fid_features", "feature_images", "protocol")),
        Column("exploded_samples", lambda group: numbers(group, "metrics.exploded_samples").sum(), form=fixed(0)),
        same("fid_split", "metrics.split"),
        same("stretch", "metrics.stretch", form=lambda stretched: "yes" if stretched else "no"),
    )
}


def named(*columns: str | Column) -> list[Column]:
    """A table's columns in order, those of `SHARED` by their names."""
    return [SHARED[column] if isinstance(column, str) else column for column in columns]


def row_of(columns: Iterable[Column], group: Any, evidence: Iterable[Result] | None = None) -> dict[str, Any]:
    """The values of one row, and the cells it is traced by.

    Args:
        columns: of the table, or some of them.
        group: what their `value` takes.
        evidence: the files the row is made of; None for those of `group`.
    """
    read = results_of(group) if evidence is None else list(evidence)
    cells = {column.name: column.value(group) for column in columns}
    return cells | traced.trace_cells({result.path: result.content for result in read})


def table_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> pd.DataFrame:
    """The rows as a table of texts, traced and sealed; what a row does not have is empty.

    Its `attrs["headers"]` are what a reader calls the columns that can be shown.
    """
    import pandas as pd

    forms = {column.name: column.form for column in columns}
    names = [*forms, *traced.COLUMNS]
    texts = [[text(row.get(name), forms.get(name, str)) for name in names] for row in rows]
    table = traced.sealed(pd.DataFrame(texts, columns=names, dtype=object))
    table.attrs["headers"] = {column.name: column.header for column in columns if column.header}
    return table


def text(value: Any, form: Callable[[Any], str]) -> str:
    """One cell."""
    if isinstance(value, str):
        return value
    return "" if value is None or value != value else form(value)  # NaN is not itself


def readable(table: pd.DataFrame, show: Iterable[str]) -> pd.DataFrame:
    """Some of a table's columns as a reader sees them: bounds marked, spreads beside means, "-" for nothing.

    Args:
        table: see `table_of`. Columns `bits_per_dim...` are bounds where `bound` says so; `{column}_sd` is a spread.
        show: the columns meant, in order.

    Raises:
        UserError: one that cannot be shown.
    """
    shown, show, headers = table.copy(), list(show), table.attrs["headers"]
    for column in show:
        if column not in headers:
            raise UserError(f"show: a table of this kind has no column '{column}'{nearest(column, headers)}")
        if f"{column}_sd" in table:
            shown[column] = with_spread(table[column], table[f"{column}_sd"])
        if column.startswith("bits_per_dim"):
            pairs = zip(shown[column], table["bound"], strict=True)
            shown[column] = [f"≤ {value}" if value and bound == "<=" else value for value, bound in pairs]
    return shown[show].replace("", "-").rename(columns=headers)


def with_spread(values: Iterable[str], spreads: Iterable[str], brackets: bool = False) -> list[str]:
    """Each number with its spread, where it has one; in brackets, what is not a deviation over seeds."""
    form = "{} (± {})" if brackets else "{} ± {}"
    return [form.format(value, spread) if spread else value for value, spread in zip(values, spreads, strict=True)]


def with_range(table: pd.DataFrame, column: str) -> list[str]:
    """Each median, with the lowest and highest of the windows behind it where there are any."""
    triples = zip(table[column], table[f"{column}_low"], table[f"{column}_high"], strict=True)
    return [f"{value} ({low} to {high})" if low and high else value for value, low, high in triples]
