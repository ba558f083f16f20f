"""What the Glow layer does to an image: how far it moves it, what it keeps, what it sharpens (Figure 4). No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vaeglow.reporting import cells, notes
from vaeglow.reporting.labels import model_label
from vaeglow.reporting.measured import Measurement, read_groups

PLAIN = {
    "pixel_distance": 2,
    "feature_distance": 3,
    "feature_distance_between": 3,
    "draw_pixel_distance": 2,
    "content_kept_pixels": 3,
    "content_kept": 3,
}
STAGES = ("vae", "vae_noisy", "layer_mean", "layer")
NESTED = {"sharpness": (*STAGES, "data"), "spectrum_error": STAGES}
NUMBERS = [*PLAIN, *(f"{name}_{stage}" for name, stages in NESTED.items() for stage in stages)]
CONDITIONS = (
    "content_chance",
    "temperature",
    "images",
    "source",
    "dataset",
    "preset",
    "seeds",
    "device",
    "commit",
    "run",
    "origin",
)
COLUMNS = ("model", *NUMBERS, *(f"{name}_sd" for name in NUMBERS), *CONDITIONS)
HEADERS = {
    "model": "Model",
    "dataset": "Dataset",
    "temperature": "T",
    "pixel_distance": "Moved (grey levels)",
    "draw_pixel_distance": "Between draws (grey levels)",
    "feature_distance": "Moved (features)",
    "feature_distance_between": "Between latents (features)",
    "content_kept_pixels": "Content kept (pixels)",
    "content_kept": "Content kept (features)",
    "content_chance": "By chance",
    "sharpness_vae": "Sharpness: VAE",
    "sharpness_vae_noisy": "Sharpness: VAE + noise",
    "sharpness_layer_mean": "Sharpness: layer of the mean",
    "sharpness_layer": "Sharpness: layer",
    "sharpness_data": "Sharpness: data",
    "spectrum_error_vae": "Spectrum error: VAE",
    "spectrum_error_vae_noisy": "Spectrum error: VAE + noise",
    "spectrum_error_layer_mean": "Spectrum error: layer of the mean",
    "spectrum_error_layer": "Spectrum error: layer",
}


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows; see `vaeglow.reporting.tables.build_table`."""
    rows = [measured_row(group) for group in read_groups(spec, results_root, ("layer_action",))]
    return cells.frame(rows, COLUMNS)


def measured_row(group: Sequence[Measurement]) -> dict[str, str]:
    """One model's row."""
    first = group[0]
    row: dict[str, str] = {}
    for name, decimals in PLAIN.items():
        row |= cells.mean_and_sd(name, [one.number_or_none("layer_action", name) for one in group], decimals)
    for name, stages in NESTED.items():
        for stage in stages:
            values = [one.number("layer_action", name, stage) for one in group]
            row |= cells.mean_and_sd(f"{name}_{stage}", values, 3)
    return {
        "model": first.row.get("label", model_label(first.row["model"])),
        **row,
        **cells.origin_cells(group, "layer_action"),
        "content_chance": f"{1 / first.number('layer_action', 'images'):.3f}",
        "temperature": str(float(first.number("layer_action", "temperature"))),
        "images": str(first.value("layer_action", "images")),
    }


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form."""
    return cells.readable(table, HEADERS, list(HEADERS))


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """What each number means."""
    images = cells.distinct(table["images"], " or ")
    return [
        *notes.demo_note(spec),
        f"{images} latents a run; for each the decoder's mean (VAE) and what the Glow layer makes of it with noise at "
        "temperature T (layer). VAE + noise: that noise without the layer; layer of the mean: the layer without noise.",
        "Moved: from the VAE's image to the layer's, root mean square over pixels, or distance in Inception features. "
        "Between draws: two draws of the layer from one latent. Between latents: two of the layer's images, for scale.",
        "Content kept: share of the layer's images whose nearest VAE image is the one they came from: pixel by pixel, "
        "which noise that has nothing to do with the image would leave at 1, too; or in Inception features, which asks "
        "much, as texture moves all images' features alike.",
        "Sharpness: share of the power above half the highest frequency. White noise raises it as well as detail does: "
        "read it beside VAE + noise and data.",
        "Spectrum error: root mean square over frequencies of the log10 ratio of power to the data's; 0 is the data's.",
        *notes.seeds_note(spec),
        *notes.made_notes(table, spec, "Measured on"),
    ]
