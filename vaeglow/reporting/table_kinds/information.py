"""What the latent carries when a model is trained in two phases, jointly, or both (section 3.4). No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vaeglow.reporting import cells, notes
from vaeglow.reporting.labels import row_label
from vaeglow.reporting.measured import Measurement, read_groups
from vaeglow.reporting.table_kinds.quality import bits_cells

# Column -> its decimals; each is a key of latents.json.
LATENTS = {
    "kl_bits_per_dim": 3,
    "kl_nats": 2,
    "active_units": 1,
    "information_lower_nats": 2,
    "information_upper_nats": 2,
    "information_cap_nats": 2,
    "decoder_information_lower_nats": 2,
    "decoder_information_upper_nats": 2,
    "variance_explained": 3,
    "entropy_x_bar_bits_per_dim": 3,
    "entropy_image_bits_per_dim": 3,
    "layer_log_det_bits_per_dim": 3,
}
METRICS = {"fid": 2, "kid": 5, "diversity": 3}
CONDITIONS = (
    "source",
    "dataset",
    "preset",
    "epochs",
    "train_seconds",
    "train_cpu_seconds",
    "seeds",
    "latent_dim",
    "latent_images",
    "exploded_samples",
    "bits_per_dim_standard_error",
    "likelihood_images",
    "dequantisation",
    "parameters",
    "protocol",
    "device",
    "commit",
    "run",
    "origin",
)
HEADERS = {
    "model": "Model",
    "bits_per_dim": "bits/dim",
    "kl_bits_per_dim": "KL (bits/dim)",
    "kl_nats": "KL (nats)",
    "active": "Active units",
    "information": "I(x;z) (nats)",
    "decoder_information": "I(x_bar;z) (nats)",
    "variance_explained": "Variance explained",
    "entropy_x_bar_bits_per_dim": "Entropy of x_bar given z (bits/dim)",
    "entropy_image_bits_per_dim": "Entropy of x given z (bits/dim)",
}


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows; see `vaeglow.reporting.tables.build_table`. Rows name several `temperatures`."""
    drawn = [temperatures_of(row) for row in spec["rows"]]
    one_each = [
        {**row, "temperature": temperature}
        for row, temperatures in zip(spec["rows"], drawn, strict=True)
        for temperature in temperatures
    ]
    read = iter(read_groups({**spec, "rows": one_each}, results_root, ("training", "likelihood", "latents", "metrics")))
    rows = [measured_row(row, [next(read) for _ in drawn[i]]) for i, row in enumerate(spec["rows"])]
    return cells.frame(rows, columns_of(spec))


def temperatures_of(row: Mapping[str, Any]) -> list[float]:
    """The temperatures a row's samples are judged at."""
    return [float(value) for value in row.get("temperatures") or [row["temperature"]]]


def columns_of(spec: Mapping[str, Any]) -> list[str]:
    """The columns: FID, KID and diversity at every temperature that a row names."""
    drawn = sorted({temperature for row in spec["rows"] for temperature in temperatures_of(row)})
    spread = [name for name in LATENTS if name != "information_cap_nats"]
    at = [f"{name}_t{temperature}" for temperature in drawn for name in METRICS]
    plain = ["model", "bits_per_dim", "bound", *LATENTS, *at]
    return [*plain, *(f"{name}_sd" for name in ["bits_per_dim", *spread, *at]), *CONDITIONS]


def measured_row(row: Mapping[str, Any], groups: Sequence[Sequence[Measurement]]) -> dict[str, str]:
    """One model's row.

    Args:
        row: of the spec.
        groups: for each temperature, the runs under every seed.
    """
    runs = groups[0]
    made: dict[str, str] = {}
    for name, decimals in LATENTS.items():
        if name == "active_units":  # a count, but for a mean over seeds
            decimals = min(decimals, len(runs) - 1)
        made |= cells.mean_and_sd(name, [one.number("latents", name) for one in runs], decimals)
    for group in groups:
        temperature = float(group[0].row["temperature"])
        for name, decimals in METRICS.items():
            values = [one.number_or_none("metrics", name) for one in group]
            made |= cells.mean_and_sd(f"{name}_t{temperature}", values, decimals)
    return {
        "model": row_label({key: value for key, value in row.items() if key != "temperature"}),
        **made,
        **bits_cells(runs),
        **cells.origin_cells(runs, "training"),
        **cells.trace_cells(one for group in groups for one in group),
        **cells.training_cells(runs),
        "latent_dim": str(runs[0].value("latents", "latent_dim")),
        "latent_images": str(runs[0].value("latents", "images")),
        "exploded_samples": str(
            sum(int(one.number("metrics", "exploded_samples")) for group in groups for one in group)
        ),
        "protocol": runs[0].value("metrics", "protocol"),
    }


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: informations as ranges, FID and KID side by side for the temperatures."""
    shown = table.assign(
        active=[
            f"{cells.with_spread(*pair)} of {size}"
            for *pair, size in zip(table["active_units"], table["active_units_sd"], table["latent_dim"], strict=True)
        ],
        information=table["information_lower_nats"] + " to " + table["information_upper_nats"],
        decoder_information=table["decoder_information_lower_nats"] + " to " + table["decoder_information_upper_nats"],
    )
    drawn = sorted({temperature for row in spec["rows"] for temperature in temperatures_of(row)})
    at = {f"{name}_t{value}": f"{name.upper()}, T={value}" for name in ("fid", "kid") for value in drawn}
    headers = {**HEADERS, **at, "dataset": "Dataset", "epochs": "Epochs"}
    return cells.readable(shown, headers, list(headers))


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """What each number means, and its limits."""
    caps = cells.distinct(table["information_cap_nats"], " or ")
    images = cells.distinct(table["latent_images"], " or ")
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
