"""What readers call a model, until figures and claims read it by `vaeglow.reporting.frame`. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of models whose config entry has no `label`.
LABELS = {
    "glow": "Glow",
    "glow_additive": "Glow, additive",
    "glow_paper_schedule": "Glow, the paper's schedule",
    "vae": "VAE",
    "vae_isotropic": "VAE, isotropic noise",
    "vae_isotropic_standard": "VAE, isotropic noise, N(0, I) prior",
    "vae_two_stage": "2-stage VAE, isotropic noise",
    "vaeglow": "Ours (Glow layer, squeeze 2)",
    "vaeglow_as_written": "Ours as written (Glow layer, no squeeze)",
    "vaeglow_squeeze4": "Ours (Glow layer, squeeze 4)",
    "vaeglow_isotropic": "Ours (Glow layer, squeeze 2), isotropic noise",
    "vaeglow_joint": "Ours, trained jointly",
    "vaeglow_joint_small_kl": "Ours, trained jointly, small KL weight",
    "vaeglow_joint_finetune": "Ours, two phases + joint fine-tuning",
}


def model_label(name: str, styles: Mapping[str, Any] | None = None) -> str:
    """The printed name of a model; a model that has none keeps its own.

    Args:
        name: in the config.
        styles: model -> `label`, `color`, `marker` of its config entry (`styles` of a spec).
    """
    return (styles or {}).get(name, {}).get("label") or LABELS.get(name, name)


def row_label(row: Mapping[str, Any], styles: Mapping[str, Any] | None = None) -> str:
    """What a row of a table is called: by its own label, or by its model and, where it has one, its temperature.

    Args:
        row: `{"model"}`, optionally `"label"` and `"temperature"`.
        styles: see `model_label`.
    """
    drawn = temperature_label(row["temperature"]) if "temperature" in row else ""
    return row.get("label") or model_label(row["model"], styles) + drawn


def temperature_label(temperature: float | str) -> str:
    """What a temperature adds to a model's label. Without noise a VAE draws its decoder's mean."""
    return f", {drawn_at(float(temperature))}"


def drawn_at(temperature: float) -> str:
    """How an image was drawn."""
    return f"T={temperature}" if temperature else "without noise"
