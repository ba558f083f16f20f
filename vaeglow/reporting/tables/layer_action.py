"""What the Glow layer does to an image: how far it moves it, what it keeps, what it sharpens (Figure 4)."""

from vaeglow.reporting.columns import Column, fixed, mean, named, same
from vaeglow.reporting.frame import first

READS = ("layer_action",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
STAGES = {"vae": "VAE", "vae_noisy": "VAE + noise", "layer_mean": "layer of the mean", "layer": "layer", "data": "data"}
NUMBERS = [
    mean("layer_action.pixel_distance", 2, "Moved (grey levels)"),
    mean("layer_action.draw_pixel_distance", 2, "Between draws"),
    mean("layer_action.between_pixel_distance", 2, "Between latents"),
    mean("layer_action.similarity", 3, "SSIM"),
    mean("layer_action.similarity_noise", 3, "SSIM: as much noise"),
    mean("layer_action.similarity_other", 3, "SSIM: another's change"),
    mean("layer_action.content_kept", 3, "Content kept"),
    *(
        mean(f"layer_action.{name}.{stage}", 3, f"{header}: {words}", name=f"{name}_{stage}")
        for name, header in {"sharpness": "Sharpness", "spectrum_error": "Spectrum error"}.items()
        for stage, words in STAGES.items()
        if (name, stage) != ("spectrum_error", "data")  # whose error is shown
    ),
]
COLUMNS = named(
    f"""
    model temperature images source dataset preset seeds
    {" ".join(column.name for column in NUMBERS)} {" ".join(f"{column.name}_sd" for column in NUMBERS)}
    content_chance device commit run origin
    """,
    *NUMBERS,
    Column("content_chance", lambda lines: 1 / first(lines, "layer_action.images"), "By chance", fixed(3)),
    same("layer_action.temperature", "T", lambda value: str(float(value))),
    same("layer_action.images"),
)
SHOWN = f"""
    model dataset temperature {" ".join(column.name for column in NUMBERS[:7])} content_chance
    {" ".join(column.name for column in NUMBERS[7:])}
"""
