"""What the latent carries when a model is trained in two phases, jointly, or both (section 3.4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaeglow.reporting import columns, notes
from vaeglow.reporting.columns import Column, mean_and_sd, same
from vaeglow.reporting.traced import distinct

if TYPE_CHECKING:
    import pandas as pd

READS = ("training", "likelihood", "latents", "metrics")
SCHEMA = {
    "protocol": {"$ref": "#/$defs/protocol_name", "default": None},
    "rows": {"$ref": "#/$defs/several_temperatures_rows"},
}
# Keys of latents.json: decimals and, where a reader sees it, header.
LATENTS = {
    "kl_bits_per_dim": (3, "KL (bits/dim)"),
    "kl_nats": (2, "KL (nats)"),
    "active_units": (1, "Active units"),
    "information_lower_nats": (2, "I(x;z) (nats)"),
    "information_upper_nats": (2, ""),
    "information_cap_nats": (2, ""),
    "decoder_information_lower_nats": (2, "I(x_bar;z) (nats)"),
    "decoder_information_upper_nats": (2, ""),
    "variance_explained": (3, "Variance explained"),
    "entropy_x_bar_bits_per_dim": (3, "Entropy of x_bar given z (bits/dim)"),
    "entropy_image_bits_per_dim": (3, "Entropy of x given z (bits/dim)"),
    "layer_log_det_bits_per_dim": (3, ""),
}
METRICS = {"fid": 2, "kid": 5, "diversity": 3}  # decimals


def temperatures(spec: Mapping[str, Any]) -> list[float]:
    """All temperatures that a row names, in order."""
    return sorted({float(temperature) for row in spec["rows"] for temperature in row["temperatures"]})


def columns_of(spec: Mapping[str, Any], frame: pd.DataFrame) -> list[Column]:
    """The columns: FID, KID and diversity at every temperature that a row names."""
    pairs = []
    for name, (decimals, header) in LATENTS.items():
        if name == "active_units":  # a count, but for a mean over seeds
            decimals = min(decimals, len(spec["seeds"]) - 1)
        pairs.append(mean_and_sd(name, f"latents.{name}", decimals, header))
    for temperature in temperatures(spec):
        for name, decimals in METRICS.items():
            header = "" if name == "diversity" else f"{name.upper()}, T={temperature}"
            found = mean_and_sd(f"{name}_t{temperature}", f"metrics.{name}", decimals, header, null=name != "fid")
            pairs.append(tuple(at(temperature, column) for column in found))
    return columns.named(
        *("model", "bits_per_dim", "bound", *(mean for mean, _ in pairs)),
        *("bits_per_dim_sd", *(sd for mean, sd in pairs if mean.name != "information_cap_nats")),
        *("source", "dataset", "preset", "epochs", "train_seconds", "train_cpu_seconds", "seeds"),
        same("latent_dim", "latents.latent_dim"),
        same("latent_images", "latents.images"),
        *("exploded_samples", "bits_per_dim_standard_error", "likelihood_images", "dequantisation"),
        *("parameters", "protocol", "device", "commit", "run", "origin"),
    )


def at(temperature: float, column: Column) -> Column:
    """A column of the lines of one temperature; empty for a row that has none."""

    def value(group: pd.DataFrame) -> float | None:
        drawn = group[group["temperature"] == temperature]
        return None if drawn.empty else column.value(drawn)

    return dataclasses.replace(column, value=value)


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: informations as ranges, FID and KID side by side for the temperatures."""
    active = columns.with_spread(table["active_units"], table["active_units_sd"])
    ranges = {
        f"{what}_lower_nats": table[f"{what}_lower_nats"] + " to " + table[f"{what}_upper_nats"]
        for what in ("information", "decoder_information")
    }
    sizes = [f"{count} of {size}" for count, size in zip(active, table["latent_dim"], strict=True)]
    shown = table.assign(active_units=sizes, **ranges).drop(
        columns=["active_units_sd", *(f"{name}_sd" for name in ranges)]
    )
    samples = [f"{name}_t{value}" for name in ("fid", "kid") for value in temperatures(spec)]
    latents = [name for name, (_, header) in LATENTS.items() if header]
    return columns.readable(shown, ["model", "bits_per_dim", *latents, *samples, "dataset", "epochs"])


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """What each number means, and its limits."""
    caps = distinct(table["information_cap_nats"], " or ")
    images = distinct(table["latent_images"], " or ")
    return [
        *notes.demo_note(spec),
        *notes.fid_notes(table, spec),
        *notes.exploded_notes(table),
        notes.bits_note(table),
        f"KL, active units and I(x;z): {images} test images; all else: as many draws of z from the prior. "
        "KL is the one-sample mean of log q(z|y) - log p(z); its bits/dim are part of the bound.",
        f"I(x;z): a lower and an upper estimate of what z tells of the image. The lower one cannot exceed {caps} nats, "
        "the log of the number of images: near that cap it says only `at least`. The upper one is the KL.",
        "I(x_bar;z): the same for draws of the model, z from the prior: the mean divergence of p(x_bar|z) from "
        "p(x_bar). The lower has the same cap, the upper is too high by up to about half a nat a latent.",
        "Variance explained: share of the variance of x_bar that the decoder's mean accounts for, the rest being its "
        "noise. It depends on how f scales x_bar, which I(x_bar;z) does not.",
        "Entropies: of the decoder's Gaussian (x_bar), and of the image it becomes through f^-1 (x), both given z; "
        "they differ by the layer's log-determinant (in the CSV). The more the layer draws by itself, the higher "
        "the second.",
        *notes.seeds_note(spec),
        *notes.made_notes(table, spec),
    ]
