"""The reader's form of a table: fewer columns, and below them how each number was measured. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

HEADERS = {
    "model": "Model",
    "fid": "FID",
    "bits_per_dim": "bits/dim",
    "source": "Source",
    "dataset": "Dataset",
    "preset": "Preset",
    "epochs": "Epochs",
    "train_seconds": "Training (s)",
    "seeds": "Seeds",
}


def to_markdown(table: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    """The table and its notes.

    Args:
        table: what `vaeglow.reporting.tables.build_table` returned.
        spec: see `vaeglow.plan.table_spec`.
    """
    shown = table.copy()
    shown["fid"] = [with_spread(*pair) for pair in zip(table["fid"], table["fid_sd"], strict=True)]
    bits = [with_spread(*pair) for pair in zip(table["bits_per_dim"], table["bits_per_dim_sd"], strict=True)]
    shown["bits_per_dim"] = [
        f"≤ {value}" if bound == "<=" else value for value, bound in zip(bits, table["bound"], strict=True)
    ]
    shown = shown[list(HEADERS)].replace("", "-").rename(columns=HEADERS)
    # Everything is text already: `disable_numparse` keeps 46.90 from becoming 46.9.
    text = shown.to_markdown(index=False, disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in notes_of(table, spec))
    return f"# {spec['title']}\n\n{text}\n\n{notes}\n"


def with_spread(value: str, deviation: str) -> str:
    """A mean, with its standard deviation over seeds where there is one."""
    return f"{value} ± {deviation}" if deviation else value


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """How the numbers were measured and what may not be compared."""
    measured = table[table["source"] == "measured"]
    published = table[table["source"] == "published"]
    first = measured.iloc[0]
    notes = []
    if spec["preset"] == "demo":
        notes.append(
            "**Demo scale**: small networks, a few epochs and few images, to show that everything runs. "
            "Compare measured rows with each other, not with published ones."
        )
    if not published.empty:
        elsewhere = sorted(set(published["dataset"]) - {spec["dataset"]})
        data = f" They are on {', '.join(elsewhere)}, the measured rows on {spec['dataset']}." if elsewhere else ""
        notes.append(
            "Published rows are cited, not measured; their FID protocol cannot be recovered "
            f"(origin of each in the CSV and in resources/published.csv).{data}"
        )
    notes.append(
        f"FID: {first['fid_samples']} samples against {first['fid_reference_images']} images of the "
        f"{first['fid_split']} split, {first['fid_features']} Inception features (protocol {first['protocol']}). "
        "It depends on these counts and features: compare it only with an FID that shares them."
    )
    for _, row in measured[measured["exploded_samples"] != "0"].iterrows():
        notes.append(
            f"{row['model']}: {row['exploded_samples']} of the samples drawn overflowed; they were clipped and kept."
        )
    if int(first["fid_features"]) != 2048:
        notes.append(
            f"{first['fid_features']} features are an early Inception layer, chosen for speed; "
            "the usual FID takes 2048 and is on another scale."
        )
    if int(first["fid_samples"]) <= int(first["fid_features"]):
        notes.append("Fewer images than features: the covariance is singular and the FID strongly biased.")
    notes.append(
        f"bits/dim: {first['likelihood_images']} test images, {first['dequantisation']} dequantisation noise; "
        "≤ is an upper bound (one sample of the noise and the latent), a number without it is the "
        "log-density of the noisy image, itself an upper bound on the discrete image's bits. "
        "It belongs to the model and does not depend on the sampling temperature T."
    )
    if measured["fid_sd"].any():
        notes.append(f"± is the standard deviation over seeds {first['seeds']}.")
    notes.append("Epochs and training time: one number a phase, the VAE a model stands on included; time is their sum.")
    notes.append(f"Trained on: {join(measured['device'])}; commit {join(measured['commit'])}.")
    notes.append(
        f"Made by `snakemake --cores 1 results/{spec['preset']}/tables/{spec['name']}.csv`, with the --configfile "
        f"it was run with, if any (preset {spec['preset']}, all columns in {spec['name']}.csv)."
    )
    return notes


def join(values: pd.Series) -> str:
    """The values that occur, each once."""
    return "; ".join(values.unique())
