"""What the Glow layer does to an image: how far it moves it, what it keeps, what it sharpens (Figure 4)."""

from vaeglow.reporting.columns import Column, fixed, in_order, names_of, same, seed_mean
from vaeglow.reporting.frame import PLAIN_ROWS, first

READS = ("layer_action",)
SCHEMA = PLAIN_ROWS
STAGES = {"vae": "VAE", "vae_noisy": "VAE + noise", "layer_mean": "layer of the mean", "layer": "layer", "data": "data"}
CHANGES = [
    seed_mean("layer_action.pixel_distance", 2, "Moved (grey levels)"),
    seed_mean("layer_action.draw_pixel_distance", 2, "Between draws"),
    seed_mean("layer_action.between_pixel_distance", 2, "Between latents"),
    seed_mean("layer_action.similarity", 3, "SSIM"),
    seed_mean("layer_action.similarity_noise", 3, "SSIM: as much noise"),
    seed_mean("layer_action.similarity_other", 3, "SSIM: another's change"),
    seed_mean("layer_action.content_kept", 3, "Content kept"),
]


def by_stage(name: str, header: str) -> list[Column]:
    """A column of one number for each stage of an image."""
    return [
        seed_mean(f"layer_action.{name}.{stage}", 3, f"{header}: {words}", name=f"{name}_{stage}")
        for stage, words in STAGES.items()
    ]


SHARPNESS = by_stage("sharpness", "Sharpness") + by_stage("spectrum_error", "Spectrum error")[:-1]  # data has no error
NUMBERS = CHANGES + SHARPNESS


COLUMNS = in_order(
    f"""
    model temperature images source dataset preset seeds
    {names_of(NUMBERS)} {names_of(NUMBERS, "_sd")}
    content_chance device commit run origin
    """,
    *NUMBERS,
    Column("content_chance", lambda lines: 1 / first(lines, "layer_action.images"), "By chance", fixed(3)),
    same("layer_action.temperature", "T", lambda value: str(float(value))),
    same("layer_action.images"),
)
SHOWN = f"model dataset temperature {names_of(CHANGES)} content_chance {names_of(SHARPNESS)}"
