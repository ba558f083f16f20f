"""What has to be said below more than one kind of table. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaeglow.reporting.traced import distinct

if TYPE_CHECKING:
    import pandas as pd


def demo_note(spec: Mapping[str, Any]) -> list[str]:
    """At preset `demo`: what the numbers are for."""
    if spec["preset"] != "demo":
        return []
    return [
        "**Demo scale**: small networks, a few epochs and few images, to show that everything runs. "
        "Compare measured rows with each other, not with published ones. The embedded photographs are overlapping "
        "crops of ten pictures: errors and intervals over such images are too small."
    ]


def published_note(table: pd.DataFrame, what: str) -> list[str]:
    """Where published rows come from, and on which data they are.

    Args:
        table: all rows.
        what: cannot be recovered of them, for example `FID protocol`.
    """
    published, measured = table[table["source"] == "published"], table[table["source"] == "measured"]
    if published.empty:
        return []
    elsewhere = sorted(set(published["dataset"]) - set(measured["dataset"]))
    here = ", ".join(dict.fromkeys(measured["dataset"]))
    data = f" Those on {', '.join(elsewhere)} are on other data than any measured row ({here})." if elsewhere else ""
    return [
        f"Published rows are cited, not measured; their {what} cannot be recovered "
        f"(origin of each in the CSV and in resources/published.csv).{data}"
    ]


def seeds_note(spec: Mapping[str, Any]) -> list[str]:
    """What ± means, or that there is one seed only."""
    seeds = spec["seeds"]
    if len(seeds) > 1:
        return [f"± is the standard deviation over seeds {' '.join(str(seed) for seed in seeds)}."]
    return [f"One seed ({seeds[0]}): how much another training would differ is not known from this table."]


def exploded_notes(table: pd.DataFrame) -> list[str]:
    """Rows some of whose samples overflowed."""
    counts = table[~table["exploded_samples"].isin(["", "0"])]
    return [
        f"{row['model']}: {row['exploded_samples']} of the samples drawn overflowed; they were clipped and kept."
        for _, row in counts.iterrows()
    ]


def fid_notes(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """How FIDs (and KIDs) were measured and what they may not be compared with."""
    from vaeglow.data.arrays import kept_of

    count, features, sets = spec["images"], spec["features"], spec["sets"]
    drawn = f"mean over {sets} sets of {count} samples, each set" if sets > 1 else f"{count} samples"
    notes = [
        f"FID: {drawn} against {count} images of the {spec['split']} split, {features} Inception features "
        f"(protocol {spec['protocol']}). "
        "It depends on these counts and features: compare it only with an FID that shares them."
    ]
    if spec["stretch"]:
        notes.append(
            "Each sample's values were first stretched to the whole range, and those of real images not, as Dai & Wipf "
            "do: that changes every number about samples."
        )
    if features != 2048:
        notes.append(
            f"{features} features are an early Inception layer, chosen for speed; "
            "the usual FID takes 2048 and is on another scale."
        )
    if kept_of(count) < count:
        notes.append(f"All else about samples is of {kept_of(count)} of them and as many of these images.")
    if count <= features:
        notes.append("Fewer images than features: the covariance is singular and the FID strongly biased.")
    return notes


def bits_note(measured: pd.DataFrame) -> str:
    """What a number of bits/dim is."""
    images, noise = distinct(measured["likelihood_images"], " or "), distinct(measured["dequantisation"])
    return (
        f"bits/dim: {images} test images, {noise} dequantisation noise; "
        "≤ is an upper bound (one sample of the noise and the latent), a number without it is the "
        "log-density of the noisy image, itself an upper bound on the discrete image's bits. "
        "It belongs to the model and does not depend on the sampling temperature T."
    )


def made_notes(measured: pd.DataFrame, spec: Mapping[str, Any], how: str = "Trained on") -> list[str]:
    """Where the measured rows were made, and the command that makes the table."""
    name, preset = spec["name"], spec["preset"]
    return [
        f"{how}: {distinct(measured['device'])}; commit {distinct(measured['commit'])}.",
        f"Made by `snakemake --cores 1 results/{preset}/tables/{name}.csv`, with the --configfile "
        f"it was run with, if any (preset {preset}, all columns in {name}.csv).",
    ]
