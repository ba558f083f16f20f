"""What the Glow layer does to an image: how far it moves it, what it keeps, what it sharpens (Figure 4)."""

from __future__ import annotations

from vaeglow.reporting.columns import Column, fixed, mean, named, same
from vaeglow.reporting.frame import first

READS = ("layer_action",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
STAGES = {"vae": "VAE", "vae_noisy": "VAE + noise", "layer_mean": "layer of the mean", "layer": "layer", "data": "data"}
NUMBERS = [
    mean("layer_action.pixel_distance", 2, "Moved (grey levels)", null=True),
    mean("layer_action.feature_distance", 3, "Moved (features)", null=True),
    mean("layer_action.feature_distance_between", 3, "Between latents (features)", null=True),
    mean("layer_action.draw_pixel_distance", 2, "Between draws (grey levels)", null=True),
    mean("layer_action.content_kept_pixels", 3, "Content kept (pixels)", null=True),
    mean("layer_action.content_kept", 3, "Content kept (features)", null=True),
    *(
        mean(f"layer_action.{name}.{stage}", 3, f"{header}: {words}", name=f"{name}_{stage}")
        for name, header in {"sharpness": "Sharpness", "spectrum_error": "Spectrum error"}.items()
        for stage, words in STAGES.items()
        if (name, stage) != ("spectrum_error", "data")  # whose error is shown
    ),
]
COLUMNS = named(
    f"""
    model {" ".join(column.name for column in NUMBERS)} {" ".join(f"{column.name}_sd" for column in NUMBERS)}
    content_chance temperature images source dataset preset seeds device commit run origin
    """,
    *NUMBERS,
    Column("content_chance", lambda lines: 1 / first(lines, "layer_action.images"), "By chance", fixed(3)),
    same("layer_action.temperature", "T", lambda value: str(float(value))),
    same("layer_action.images"),
)
SHOWN = f"""
    model dataset temperature pixel_distance draw_pixel_distance feature_distance feature_distance_between
    content_kept_pixels content_kept content_chance {" ".join(column.name for column in NUMBERS[6:])}
"""


NOTES = """
{DEMO}
- {images} latents a run; for each the decoder's mean (VAE) and what the Glow layer makes of it with noise at
  temperature T (layer). VAE + noise: that noise without the layer; layer of the mean: the layer without noise.
- Moved: from the VAE's image to the layer's, root mean square over pixels, or distance in Inception features. Between
  draws: two draws of the layer from one latent. Between latents: two of the layer's images, for scale.
- Content kept: share of the layer's images whose nearest VAE image is the one they came from: pixel by pixel, which
  noise that has nothing to do with the image would leave at 1, too; or in Inception features, which asks much, as
  texture moves all images' features alike.
- Sharpness: share of the power above half the highest frequency. White noise raises it as well as detail does: compare
  it with VAE + noise and data.
- Spectrum error: root mean square over frequencies of the log10 ratio of power to the data's; 0 is the data's.
{SEEDS}
- Measured on: {device}; commit {commit}.
"""
