"""What a merged model must be beside its keys and their ranges: its parts, its base, its training, its images. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from vaeglow.errors import UnfitImages, UserError

# What a model has beside its `training` and `base`, by its kind.
PARTS: dict[str, tuple[str, ...]] = {
    "vae": ("network", "prior"),
    "vae_glow": ("mode", "layer"),
    "vae_two_stage": ("second_stage",),
    "glow": ("network",),
}
# Kinds that `training.kl_weight` cannot change, and why.
KL_FREE = {"glow": "has no KL", "vae_two_stage": "trains the KL alone"}
BASED = ("vae_glow", "vae_two_stage")  # kinds that stand on another model
# The kind of base a model stands on, by its mode (None: of a kind that has no modes).
BASE_KINDS = {None: "vae", "frozen": "vae", "joint": "vae", "finetune": "vae_glow"}


def check_parts(model: str, described: Mapping[str, Any]) -> None:
    """Refuse a model with parts that its kind does not have, or without one that it needs.

    Args:
        model: its name, for the message.
        described: its values, all layers merged (`vaeglow.config.describe_model`).

    Raises:
        UserError: names the part.
    """
    kind = described.get("kind")
    if kind not in PARTS:
        raise UserError(f"models.{model}: kind '{kind}' is not one of {', '.join(PARTS)}")
    for part in dict.fromkeys(part for parts in PARTS.values() for part in parts):
        if part in described and part not in PARTS[kind]:
            raise UserError(f"models.{model}: a model of kind {kind} has no '{part}'")
        if part not in described and part in PARTS[kind]:
            raise UserError(f"models.{model}: a model of kind {kind} needs '{part}'")
    if kind not in BASED and "base" in described:
        raise UserError(f"models.{model}: a model of kind {kind} has no 'base'")
    if kind in BASED and "base" not in described:
        raise UserError(f"models.{model}: a model of kind {kind} needs 'base', the VAE it stands on")


def check_base(model: str, described: Mapping[str, Any], base: Mapping[str, Any]) -> None:
    """Refuse a base that a model cannot stand on.

    Args:
        model: its name, for the message.
        described: its values, all layers merged (`vaeglow.config.describe_model`).
        base: those of the model it names as `base`.

    Raises:
        UserError: a base of another kind; for a `vae_two_stage` also one with a flow prior; for a `finetune` also a
            base that was not trained in two phases, or one with another layer than the model's own.
    """
    name, mode = described["base"], described.get("mode")
    if base.get("kind") != BASE_KINDS[mode]:
        raise UserError(f"models.{model}: base '{name}' is a {base.get('kind')}, not a {BASE_KINDS[mode]}")
    if described["kind"] == "vae_two_stage" and (prior := base["prior"]["kind"]) != "standard":
        raise UserError(
            f"models.{model}: base '{name}' has prior.kind {prior}; a second stage replaces a standard prior: name a "
            f"VAE with prior.kind standard"
        )
    if mode != "finetune":
        return
    if base.get("mode") != "frozen":
        raise UserError(
            f"models.{model}: base '{name}' has mode {base.get('mode')}; a finetune goes on from a model trained in "
            f"two phases: name one of mode frozen"
        )
    if described["layer"] != base.get("layer"):
        raise UserError(
            f"models.{model}: its layer {described['layer']} is not that of its base '{name}', "
            f"{base.get('layer')}; a finetune goes on training its base's: write `like: {name}`, change no layer key"
        )


def check_training(model: str, kind: str, training: Mapping[str, Any]) -> None:
    """Refuse training values that a kind would ignore, or that contradict each other.

    Args:
        model: its name, for the message.
        kind: its kind.
        training: its `training`, all layers merged.

    Raises:
        UserError: a KL weight on a model without KL, snapshots out of order, or a batch that its devices cannot share.
    """
    if kind in KL_FREE and training["kl_weight"] != 1:
        raise UserError(
            f"models.{model}: training.kl_weight is {training['kl_weight']}, but a {kind} {KL_FREE[kind]}: leave it at "
            f"1 there"
        )
    if any(later <= earlier for earlier, later in itertools.pairwise(training["snapshots"])):
        raise UserError(
            f"models.{model}: training.snapshots {training['snapshots']} must rise: list each fraction once, in order"
        )
    if training["batch_size"] % (devices := training.get("devices", 1)):
        raise UserError(
            f"models.{model}: training.devices is {devices}, which does not divide training.batch_size, "
            f"{training['batch_size']}: each device takes as many images of a batch"
        )


def check_images(model: str, kind: str, described: Mapping[str, Any], data: Mapping[str, Any], dataset: str) -> None:
    """Refuse images a model cannot take, before anything is trained.

    Raises:
        UnfitImages: a side that is no power of two (ResNet) or no multiple of 4 (Infogan), one channel that cannot be
            split (unsqueezed layer), a side the squeezes do not divide.
    """
    side, channels = data["size"], data.get("channels", 3)
    where = f"dataset {dataset} ({channels} channels, side {side})"
    if kind == "vae" and described["network"]["architecture"] == "infogan":
        if side % 4:
            raise UnfitImages(f"{where}: the Infogan nets of model {model} need a side that is a multiple of 4")
    elif kind == "vae":
        if side < 4 or side & (side - 1):
            raise UnfitImages(f"{where}: the ResNet of model {model} needs a side that is a power of two, 4 or more")
        if side % 2 ** (described["network"]["num_scale"] - 1):
            raise UnfitImages(
                f"{where}: side too small for num_scale {described['network']['num_scale']} of model {model}"
            )
    if kind == "vae_glow":
        squeeze = described["layer"]["squeeze"]
        if side % squeeze:
            raise UnfitImages(f"{where}: squeeze {squeeze} of model {model} does not divide the side")
        if channels * squeeze**2 < 2:
            raise UnfitImages(
                f"{where}: model {model} cannot split one channel in two: use a model with layer.squeeze 2 or 4"
            )
    if kind == "glow" and side % 2 ** described["network"]["levels"]:
        levels = described["network"]["levels"]
        raise UnfitImages(f"{where}: the {levels} levels of model {model} do not divide the side")
