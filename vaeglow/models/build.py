"""From a resolved config (`vaeglow.config.resolve`) to a model. All hyper-parameters come from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from vaeglow.models.base import GenerativeModel
from vaeglow.models.glow import Glow
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.prior import FlowPrior, StandardNormalPrior
from vaeglow.models.two_stage import SecondStage, TwoStageVAE
from vaeglow.models.vae import VAE
from vaeglow.models.vae_glow import VAEGlow


def build(config: Mapping[str, Any]) -> GenerativeModel:
    """The untrained model that a resolved config describes, its weights a function of the config's seed.

    Args:
        config: see `vaeglow.config.resolve`; its `kind` is `vae`, `vae_glow`, `vae_two_stage` or `glow`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        return BUILDERS[config["kind"]](config)


def image_shape(config: Mapping[str, Any]) -> dict[str, int]:
    """Channels, size and levels of the images."""
    return {key: config["data"][key] for key in ("channels", "size", "levels")}


def build_vae(config: Mapping[str, Any]) -> VAE:
    """A VAE (sections 3.1, 3.2)."""
    latent = config["network"]["latent_dim"]
    prior = dict(config["prior"])
    if prior.pop("kind") == "standard":
        return VAE(**image_shape(config), prior=StandardNormalPrior(latent), **config["network"])
    return VAE(**image_shape(config), prior=FlowPrior(latent, **prior), **config["network"])


def build_vae_glow(config: Mapping[str, Any]) -> VAEGlow:
    """A VAE under a Glow layer (section 3.3), all of it new; trained weights of a base are loaded over it."""
    vae = build_vae(config["base"]["base"] if config["mode"] == "finetune" else config["base"])
    return VAEGlow(vae, GlowLayer(config["data"]["channels"], **config["layer"]), config["mode"] == "frozen")


def build_vae_two_stage(config: Mapping[str, Any]) -> TwoStageVAE:
    """A VAE, to be loaded from its own run, and a new second stage of its latents' size (section 4.1)."""
    vae = build_vae(config["base"])
    return TwoStageVAE(vae, SecondStage(vae.prior.dims, **config["second_stage"]))


def build_glow(config: Mapping[str, Any]) -> Glow:
    """The Glow baseline."""
    network = dict(config["network"])
    return Glow(**image_shape(config), scales=network.pop("levels"), **network)


BUILDERS: dict[str, Callable[[Mapping[str, Any]], GenerativeModel]] = {
    "vae": build_vae,
    "vae_glow": build_vae_glow,
    "vae_two_stage": build_vae_two_stage,
    "glow": build_glow,
}
