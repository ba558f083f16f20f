"""FID, KID and bits/dim of runs beside published rows: Tables 1, 2 and 3 and the ablations.

A published and a measured number share a column only with `source` between them. Published rows come first and
leave preset, seeds and counts empty: the papers' protocols cannot be recovered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaeglow.reporting import columns, notes
from vaeglow.reporting.columns import Column, fixed, mean, mean_and_sd
from vaeglow.reporting.frame import numbers
from vaeglow.reporting.labels import temperature_label
from vaeglow.reporting.traced import distinct

if TYPE_CHECKING:
    import pandas as pd

READS = ("training", "likelihood", "metrics")
SCHEMA = {
    "protocol": {"$ref": "#/$defs/protocol_name", "default": None},
    "published": {"$ref": "#/$defs/published_name"},
    "show": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "uniqueItems": True,
        "default": None,
        "description": "the columns of the Markdown and LaTeX forms; left out, the usual ones. The CSV has all",
    },
    "rows": {"$ref": "#/$defs/drawn_rows"},
}
SHOWN = ("model", "fid", "bits_per_dim", "source", "dataset", "preset", "epochs", "train_seconds", "seeds")
IN_BRACKETS = {"fid": "fid_sd_over_sets", "kid": "kid_standard_error"}  # the reader's form has these with the number


def over_sets(group: pd.DataFrame) -> float:
    """The standard deviation of a run's FID over its sets of samples, pooled over seeds; NaN for a single set."""
    return math.sqrt((numbers(group, "metrics.fid_sd", null=True) ** 2).mean(skipna=False))


FID, FID_SD = mean_and_sd("fid", "metrics.fid", 2, "FID")
KID, KID_SD = mean_and_sd("kid", "metrics.kid", 5, "KID", null=True)
SETS = [
    mean_and_sd(name, f"metrics.{name}", 3, name.capitalize(), null=True)
    for name in ("precision", "recall", "density", "coverage", "diversity")
]
COLUMNS = columns.named(
    *(
        "model",
        FID,
        "bits_per_dim",
        "bound",
        "source",
        "dataset",
        "preset",
        "epochs",
        "train_seconds",
        "train_cpu_seconds",
        "seeds",
    ),
    *("temperature", KID, *(column for column, _ in SETS)),
    mean("reference_diversity", "metrics.reference_diversity", 3, null=True),
    *(FID_SD, Column("fid_sd_over_sets", over_sets, form=fixed(2))),
    *("bits_per_dim_sd", "bits_per_dim_standard_error"),
    *(KID_SD, mean("kid_standard_error", "metrics.kid_standard_error", 5, null=True), *(sd for _, sd in SETS)),
    *("fid_samples", "fid_sets", "exploded_samples", "fid_reference_images", "fid_features", "fid_split"),
    *("feature_images", "stretch", "protocol", "likelihood_images", "dequantisation", "train_seconds_by_phase"),
    *("parameters", "device", "commit", "run", "origin"),
)


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
    shown, headers = columns.readable(table, show), table.attrs["headers"]
    for name, error in IN_BRACKETS.items():
        if name in show:
            shown[headers[name]] = columns.with_spread(shown[headers[name]], table[error], brackets=True)
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
        real = distinct((f"{value} on {dataset}" for dataset, value in pairs if value), ", ")
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
