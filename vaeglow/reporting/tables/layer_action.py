"""What the Glow layer does to an image: how far it moves it, what it keeps, what it sharpens (Figure 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaeglow.reporting import columns, notes
from vaeglow.reporting.columns import Column, fixed, mean_and_sd, same
from vaeglow.reporting.frame import first
from vaeglow.reporting.traced import distinct

if TYPE_CHECKING:
    import pandas as pd

READS = ("layer_action",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
STAGES = {
    "vae": "VAE",
    "vae_noisy": "VAE + noise",
    "layer_mean": "layer of the mean",
    "layer": "layer",
    "data": "data",
}
NUMBERS = [
    mean_and_sd("pixel_distance", "layer_action.pixel_distance", 2, "Moved (grey levels)", null=True),
    mean_and_sd("feature_distance", "layer_action.feature_distance", 3, "Moved (features)", null=True),
    mean_and_sd(
        "feature_distance_between", "layer_action.feature_distance_between", 3, "Between latents (features)", null=True
    ),
    mean_and_sd("draw_pixel_distance", "layer_action.draw_pixel_distance", 2, "Between draws (grey levels)", null=True),
    mean_and_sd("content_kept_pixels", "layer_action.content_kept_pixels", 3, "Content kept (pixels)", null=True),
    mean_and_sd("content_kept", "layer_action.content_kept", 3, "Content kept (features)", null=True),
    *(
        mean_and_sd(f"{name}_{stage}", f"layer_action.{name}.{stage}", 3, f"{header}: {words}")
        for name, header in {"sharpness": "Sharpness", "spectrum_error": "Spectrum error"}.items()
        for stage, words in STAGES.items()
        if (name, stage) != ("spectrum_error", "data")  # which the error is taken from
    ),
]
COLUMNS = columns.named(
    *("model", *(column for column, _ in NUMBERS), *(sd for _, sd in NUMBERS)),
    Column("content_chance", lambda group: 1 / first(group, "layer_action.images"), "By chance", fixed(3)),
    same("temperature", "layer_action.temperature", "T", lambda value: str(float(value))),
    same("images", "layer_action.images"),
    *("source", "dataset", "preset", "seeds", "device", "commit", "run", "origin"),
)
SHOWN = (
    *("model", "dataset", "temperature", "pixel_distance", "draw_pixel_distance", "feature_distance"),
    *("feature_distance_between", "content_kept_pixels", "content_kept", "content_chance"),
    *(column.name for column, _ in NUMBERS if column.name.startswith(("sharpness", "spectrum_error"))),
)


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """What each number means."""
    images = distinct(table["images"], " or ")
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
