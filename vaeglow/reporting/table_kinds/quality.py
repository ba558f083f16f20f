"""FID, KID and bits/dim of runs beside published rows: Tables 1, 2 and 3 and the ablations. No torch.

A published and a measured number share a column only with `source` between them. Published rows come first and
leave preset, seeds and counts empty: the papers' protocols cannot be recovered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vaeglow.reporting import cells, notes
from vaeglow.reporting.labels import row_label, temperature_label
from vaeglow.reporting.measured import Measurement, read_groups
from vaeglow.reporting.published import read_published

COLUMNS = (
    "model",
    "fid",
    "bits_per_dim",
    "bound",
    "source",
    "dataset",
    "preset",
    "epochs",
    "train_seconds",
    "train_cpu_seconds",
    "seeds",
    "temperature",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "diversity",
    "reference_diversity",
    "fid_sd",
    "fid_sd_over_sets",
    "bits_per_dim_sd",
    "bits_per_dim_standard_error",
    "kid_sd",
    "kid_standard_error",
    "precision_sd",
    "recall_sd",
    "density_sd",
    "coverage_sd",
    "diversity_sd",
    "fid_samples",
    "fid_sets",
    "exploded_samples",
    "fid_reference_images",
    "fid_features",
    "fid_split",
    "feature_images",
    "stretch",
    "protocol",
    "likelihood_images",
    "dequantisation",
    "train_seconds_by_phase",
    "parameters",
    "device",
    "commit",
    "run",
    "origin",
)
HEADERS = {
    "model": "Model",
    "temperature": "T",
    "fid": "FID",
    "kid": "KID",
    "bits_per_dim": "bits/dim",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "diversity": "Diversity",
    "source": "Source",
    "dataset": "Dataset",
    "preset": "Preset",
    "epochs": "Epochs",
    "train_seconds": "Training (s)",
    "train_cpu_seconds": "Training (CPU s)",
    "train_seconds_by_phase": "Training by phase (s)",
    "parameters": "Parameters",
    "seeds": "Seeds",
}
METRICS = {"fid": 2, "kid": 5, "precision": 3, "recall": 3, "density": 3, "coverage": 3, "diversity": 3}  # decimals
IN_BRACKETS = {"fid": "fid_sd_over_sets", "kid": "kid_standard_error"}  # the reader's form has these with the number
SHOWN = ("model", "fid", "bits_per_dim", "source", "dataset", "preset", "epochs", "train_seconds", "seeds")


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows; see `vaeglow.reporting.tables.build_table`."""
    rows = read_published(published, spec["published"], COLUMNS)
    groups = read_groups(spec, results_root, ("training", "likelihood", "metrics"))
    rows += [measured_row(group) for group in groups]
    return cells.frame(rows, COLUMNS)


def measured_row(group: Sequence[Measurement]) -> dict[str, str]:
    """One row: the mean over its seeds; standard deviations over seeds where there are several."""
    first = group[0]
    row = {}
    for name, decimals in METRICS.items():
        row |= cells.mean_and_sd(name, [number(one, name) for one in group], decimals)
    errors = [one.number_or_none("metrics", "kid_standard_error") for one in group]
    real = [one.number_or_none("metrics", "reference_diversity") for one in group]
    return {
        "model": row_label(first.row),
        **row,
        **bits_cells(group),
        **cells.origin_cells(group, "training"),
        **cells.training_cells(group),
        "temperature": str(float(first.row["temperature"])),
        "kid_standard_error": cells.mean_and_sd("mean", errors, 5)["mean"],
        "reference_diversity": cells.mean_and_sd("mean", real, 3)["mean"],
        "fid_sd_over_sets": over_sets(group),
        "fid_samples": str(first.value("metrics", "fid_samples")),
        "fid_sets": str(first.value("metrics", "fid_sets")),
        "exploded_samples": str(sum(int(one.number("metrics", "exploded_samples")) for one in group)),
        "fid_reference_images": str(first.value("metrics", "fid_reference_images")),
        "fid_features": str(first.value("metrics", "fid_features")),
        "fid_split": first.value("metrics", "split"),
        "feature_images": str(first.value("metrics", "feature_images")),
        "stretch": "yes" if first.value("metrics", "stretch") else "no",
        "protocol": first.value("metrics", "protocol"),
    }


def number(one: Measurement, name: str) -> float | None:
    """A metric of one run: an FID there must be, the others may be null (too few samples)."""
    return one.number("metrics", name) if name == "fid" else one.number_or_none("metrics", name)


def over_sets(group: Sequence[Measurement]) -> str:
    """The standard deviation of a run's FID over its sets of samples, pooled over seeds; empty for a single set."""
    spreads = [one.number_or_none("metrics", "fid_sd") for one in group]
    if any(spread is None for spread in spreads):
        return ""
    return f"{math.sqrt(sum(spread**2 for spread in spreads) / len(spreads)):.2f}"


def bits_cells(group: Sequence[Measurement]) -> dict[str, str]:
    """The headline bound on the likelihood, K = 1, and what it was taken over."""
    bits = [one.number("likelihood", "bits_per_dim") for one in group]
    errors = [one.number_or_none("likelihood", "standard_error") for one in group]
    return {
        **cells.mean_and_sd("bits_per_dim", bits, 3),
        "bits_per_dim_standard_error": cells.mean_and_sd("mean", errors, 3)["mean"],
        "bound": group[0].value("likelihood", "bound"),
        "likelihood_images": str(group[0].value("likelihood", "images")),
        "dequantisation": group[0].value("likelihood", "dequantisation"),
    }


def shown_columns(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """The columns a reader sees: the spec's `show`, and `source` wherever published rows stand among measured ones."""
    show = list(spec.get("show") or SHOWN)
    if table["source"].nunique() > 1 and "source" not in show:
        show.append("source")
    return show


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: rows of one dataset together, published ones before measured ones."""
    show = shown_columns(table, spec)
    order = {name: position for position, name in enumerate(dict.fromkeys(table["dataset"]))}
    table = table.sort_values("dataset", key=lambda column: column.map(order), kind="stable", ignore_index=True)
    if "temperature" in show:  # said there, so not in the label as well
        drawn = [temperature_label(value) if value else "" for value in table["temperature"]]
        names = [name.removesuffix(suffix) for name, suffix in zip(table["model"], drawn, strict=True)]
        table = table.assign(model=names)
    shown = cells.readable(table, HEADERS, show)
    for name, error in IN_BRACKETS.items():
        if name in show:
            pairs = zip(shown[HEADERS[name]], table[error], strict=True)
            shown[HEADERS[name]] = [f"{value} (± {spread})" if spread else value for value, spread in pairs]
    return shown


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """How the numbers were measured and what may not be compared."""
    measured = table[table["source"] == "measured"]
    show = shown_columns(table, spec)
    said = notes.demo_note(spec) + notes.published_note(table, "FID protocol")
    said += notes.fid_notes(table, spec) + notes.exploded_notes(measured)
    if spec["sets"] > 1:
        said.append(
            f"FID's (± in brackets): its standard deviation over the {spec['sets']} sets of samples of one training; "
            "it says nothing of another training. All other numbers are of the first set."
        )
    if "kid" in show:
        said.append(
            "KID: squared maximum mean discrepancy of the same features, cubic kernel; unlike FID its mean does not "
            "depend on the number of images, so it can come out below 0. (± in brackets): its standard error for the "
            "draw of samples and of real images."
        )
    if "precision" in show or "recall" in show:
        said.append(
            "Precision: share of samples inside the real images' neighbourhoods (k = 3) in feature space; "
            "recall: share of real images inside the samples'."
        )
    if "density" in show or "coverage" in show:
        said.append(
            "Density: how many real images' neighbourhoods (k = 5) hold a sample, on average, over k: 1 for samples "
            "like real images, and it can exceed 1. Coverage: share of those neighbourhoods that hold a sample."
        )
    if "diversity" in show:
        pairs = zip(measured["dataset"], measured["reference_diversity"], strict=True)
        real = cells.distinct((f"{value} on {dataset}" for dataset, value in pairs if value), ", ")
        said.append(
            f"Diversity: mean distance of two samples in feature space; of two real images: {real or 'unknown'}."
        )
    if "temperature" in show:
        said.append("T: temperature of the sampling noise; 0.0 is the decoder's mean, or Glow's without noise.")
    if "bits_per_dim" in show:
        said.append(notes.bits_note(measured))
    said += notes.seeds_note(spec)
    if "epochs" in show or "train_seconds" in show:
        said.append(
            "Epochs and training time: one number a phase, the VAE a model stands on included; time is their sum."
        )
    return said + notes.made_notes(measured, spec)
