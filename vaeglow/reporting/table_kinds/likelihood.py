"""Every number of a run's likelihood.json: the bounds, their terms, and one that is no bound. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vaeglow.reporting import cells, notes
from vaeglow.reporting.labels import row_label
from vaeglow.reporting.measured import Measurement, expect, read_groups
from vaeglow.reporting.table_kinds.quality import bits_cells

NO_BOUND = "undequantised_not_a_bound"
TERMS = {"term_kl": "KL", "term_log_det": "log-det", "term_levels": "constant (log2 levels)"}
CONDITIONS = (
    "bits_per_dim_standard_error",
    "importance_images",
    f"{NO_BOUND}_standard_error",
    "undequantised_images",
    "likelihood_images",
    "dequantisation",
    "source",
    "dataset",
    "preset",
    "epochs",
    "train_seconds",
    "train_cpu_seconds",
    "seeds",
    "parameters",
    "device",
    "commit",
    "run",
    "origin",
)


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows; see `vaeglow.reporting.tables.build_table`."""
    groups = read_groups(spec, results_root, ("training", "likelihood"))
    rows = [measured_row(group) for group in groups]
    found = dict.fromkeys(name for row in rows for name in row)
    importance = sorted((name for name in found if name.startswith("bits_per_dim_k")), key=draws_of)
    terms = [name for name in found if name.startswith("term_")]
    varied = [*(name for name in [*importance, *terms] if not name.endswith("_sd")), NO_BOUND]
    spreads = [f"{name}_sd" for name in ("bits_per_dim", *varied)]
    return cells.frame(rows, ["model", "bits_per_dim", "bound", *varied, *spreads, *CONDITIONS])


def draws_of(column: str) -> int:
    """K of a column `bits_per_dim_k{K}` or `bits_per_dim_k{K}_sd`."""
    return int(column.removeprefix("bits_per_dim_k").removesuffix("_sd"))


def measured_row(group: Sequence[Measurement]) -> dict[str, str]:
    """One model's row."""
    first = group[0]
    row: dict[str, str] = {}
    importance = first.value("likelihood", "importance")
    for samples in importance:
        values = [one.number("likelihood", "importance", samples, "bits_per_dim") for one in group]
        row |= cells.mean_and_sd(f"bits_per_dim_k{samples}", values, 3)
    for term in first.value("likelihood", "terms"):
        row |= cells.mean_and_sd(f"term_{term}", [one.number("likelihood", "terms", term) for one in group], 3)
    for one in group:
        expect(one.paths["likelihood"], one.value("likelihood", "undequantised"), {"not_a_bound": True})
    values = [one.number("likelihood", "undequantised", "bits_per_dim") for one in group]
    errors = [one.number_or_none("likelihood", "undequantised", "standard_error") for one in group]
    images = [str(first.value("likelihood", "importance", samples, "images")) for samples in importance]
    return {
        "model": row_label(first.row),
        **row,
        **cells.mean_and_sd(NO_BOUND, values, 3),
        f"{NO_BOUND}_standard_error": cells.mean_and_sd("mean", errors, 3)["mean"],
        **bits_cells(group),
        **cells.origin_cells(group, "training"),
        **cells.training_cells(group),
        "importance_images": cells.distinct(images, " "),
        "undequantised_images": str(first.value("likelihood", "undequantised", "images")),
    }


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: K = 1, the tighter bounds, the terms of the first, and apart from them what is no bound."""
    headers = {"model": "Model", "bits_per_dim": "bits/dim, K=1 (all images)"}
    for name in table:
        if name.startswith("bits_per_dim_k") and not name.endswith("_sd"):
            few = " (same images)" if draws_of(name) == 1 else ""
            headers[name] = f"K={draws_of(name)}{few}"
        if name.startswith("term_") and not name.endswith("_sd"):
            headers[name] = TERMS.get(name, name.removeprefix("term_").replace("_", " "))
    headers |= {NO_BOUND: "undequantised (not a bound)", "dataset": "Dataset"}
    return cells.readable(table, headers, list(headers))


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """Which number is a bound of what."""
    few = cells.distinct(table["importance_images"], " or ")
    return [
        *notes.demo_note(spec),
        notes.bits_note(table),
        f"K: the importance-weighted bound of so many joint draws of noise and latent, on the first {few} test images; "
        "in expectation it falls as K grows. A smaller K's draws are among a larger one's. The first column is K=1 of "
        "all test images.",
        "The columns after the bounds are what each term costs in bits/dim; they add up to the number at K=1.",
        "undequantised (not a bound): the same sum at y = (x + 1/2)/levels, without noise. A density at a point bounds "
        "no probability and can be made as low as one likes; it is there to show how far it lies from the bounds.",
        *notes.seeds_note(spec),
        *notes.made_notes(table, spec),
    ]
