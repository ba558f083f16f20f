"""What the Glow layer does to an image: how far it moves it, what it keeps, what it sharpens (Figure 4)."""

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
