"""What the tests of the models share: tiny models, randomised weights, photograph-like data, Jacobians."""

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import yaml
from run_tools import bits, shipped_config
from torch import Tensor, nn
from torch.nn import functional as F
from waiting import Json

from vaeglow.config import merge, resolve
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import quantise
from vaeglow.models.glow import Glow
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.vae import VAE, FlowPrior
from vaeglow.models.vae_glow import VAEGlow
from vaeglow.models.vae_two_stage import SecondStage, TwoStageVAE

TINY_MODELS: Json = yaml.safe_load("""
vae:
  network: {num_scale: 2, base_dim: 4, fc_dim: 8, latent_dim: 5, batch_norm_momentum: 0.1}
  prior: {layers: 3, width: 8}
vae_two_stage: {second_stage: {width: 8}}
vaeglow: {layer: {depth: 4, width: 6}}
vaeglow_as_written: {layer: {width: 6}}
glow: {network: {levels: 2, depth: 2, width: 6}}
pixelcnn: {network: &small {depth: 2, width: 6, kernel: 3, head_width: 6}}
pixeliqn: {network: *small}
residual_flow: {network: {levels: 2, depth: 2, width: 6}}
""")
TINY_IMAGES = {"kind": "folder", "channels": 3, "size": 8, "levels": 256}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run_config(model: str, preset: str = "demo", dataset: str = "tiny", **overrides: Any) -> Json:
    """A resolved config: the project's own, or (dataset `tiny`) a tiny version of it for 8x8 colour images."""
    config = shipped_config()
    if dataset == "tiny":
        config["datasets"]["tiny"] = TINY_IMAGES
        config["overrides"] = {"models": merge(TINY_MODELS, overrides)}
    return resolve(config, preset, dataset, model, 0)


@torch.no_grad()
def randomise(module: nn.Module, scale: float = 0.1) -> nn.Module:
    """Move every parameter and batch norm statistic, so that nothing is an identity or a zero any more."""
    generator = seeded()
    for parameter in module.parameters():
        parameter.add_(scale * torch.randn(parameter.shape, generator=generator).to(parameter.dtype))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.add_(0.2 * torch.randn(layer.running_mean.shape, generator=generator))
            layer.running_var.mul_(0.5 + torch.rand(layer.running_var.shape, generator=generator))
    return module


def phase_one(model: VAEGlow) -> VAE:
    """The VAE inside, moved and with the noise of a trained one (s about .06)."""
    randomise(model.vae)
    with torch.no_grad():
        model.vae.decoder.last.bias[3:].fill_(math.log(0.06))
    return model.vae.eval()


def photo_like(count: int, channels: int, size: int, seed: int = 0, noise: float = 0.01) -> Tensor:
    """Images in (0, 1): smooth, channels nearly equal but for their brightness and contrast."""
    generator = seeded(seed)
    coarse = torch.randn(count, 1, max(2, size // 4), max(2, size // 4), generator=generator)
    shared = torch.sigmoid(F.interpolate(coarse, (size, size), mode="bilinear"))
    contrast = torch.linspace(1.0, 0.15, channels)[:, None, None]  # badly scaled: the last channel hardly varies
    offset = torch.linspace(0.0, 0.7, channels)[:, None, None]
    images = offset + contrast * shared + noise * torch.randn(count, channels, size, size, generator=generator)
    return images.clamp(0.002, 0.998)


def log_abs_det(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """log|det J| of `function` at one input x [1, ...], J by autograd."""
    jacobian = torch.autograd.functional.jacobian(function, x)
    return torch.linalg.slogdet(jacobian.reshape(x.numel(), x.numel()))[1]


def all_images(channels: int, size: int, levels: int) -> Tensor:
    """Every discrete image there is: uint8 [levels^D, C, H, W]."""
    values = [torch.arange(levels, dtype=torch.uint8)] * (channels * size**2)
    return torch.cartesian_prod(*values).reshape(-1, channels, size, size)


@torch.enable_grad()
def optimise(model: GenerativeModel, images: Tensor, steps: int, rate: float = 0.01, batch: int = 128) -> None:
    """A few hundred steps of Adam in training mode, then evaluation mode."""
    model.train()
    optimizer = torch.optim.Adam(list(model.trainable()), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        generator = step_generator(0, 0, step)
        chosen = images[torch.randint(len(images), (batch,), generator=generator)]
        loss, _ = model.loss(model.inputs(dequantise(chosen, model.levels, generator), generator), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


def gradients(model: GenerativeModel, y: Tensor, kl_weight: float = 1.0) -> dict[str, Tensor]:
    """The gradient of every parameter that has one, and the loss."""
    model.zero_grad()
    loss, _ = model.loss(y, seeded(3), kl_weight)
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None} | {"loss": loss.detach()}


def snapshot(module: nn.Module) -> Json:
    """All weights and buffers."""
    return bits(module.state_dict())


def changed(module: nn.Module, before: Json) -> set[str]:
    """Names of the weights and buffers that are not what they were."""
    return {name for name, content in snapshot(module).items() if content != before[name]}


def normal(value: Tensor, mean: Tensor | float, scale: Tensor | float) -> Tensor:
    """log N(value; mean, scale^2) of each item, by torch.distributions: [N]."""
    return torch.distributions.Normal(mean, scale).log_prob(value).flatten(1).sum(1)


# Models small enough to enumerate all their images.
GREY = {"channels": 1, "size": 2, "levels": 4}  # 256 images
PAIR = {"channels": 2, "size": 2, "levels": 2}  # 256 images of two channels: a layer without squeeze can split them
BASES = yaml.safe_load("""  # their phase 1
vae_glow: vae
vae_glow pair: vae pair
vae_glow beyond: vae isotropic
vae_glow pair beyond: vae pair
two_stage: vae isotropic standard
""")
PAPER = {"affine_steps": 0, "scales": 1}  # the paper's layer
WIDTHS = {"num_scale": 1, "base_dim": 8, "fc_dim": 16, "latent_dim": 2, "batch_norm_momentum": 0.1}


def plain_vae(shape: Json, noise: str, flow_prior: bool) -> VAE:
    """An untrained VAE; the decoder's noise starts at 1."""
    network = {"architecture": "resnet", "decoder_noise": noise, "initial_noise": 1.0, **WIDTHS}
    return VAE(**shape, prior=FlowPrior(2, 4 if flow_prior else 0, 16), network=network)


def data(shape: Json) -> Tensor:
    """A few hundred images of nearly equal pixels, the darkest and the brightest levels rare where there are four."""
    generator = seeded(9)
    levels, size = shape["levels"], shape["size"]
    brightness = torch.rand(500, 1, 1, 1, generator=generator) * 0.6 + 0.2
    images = brightness + 0.08 * torch.randn(500, shape["channels"], size, size, generator=generator)
    return quantise(images, levels).clamp(min(1, levels - 2), max(1, levels - 2))


def shape_of(name: str) -> Json:
    """The images of a tiny model."""
    return PAIR if "pair" in name else GREY


# Names: glow (additive | affine), vae [isotropic] [standard] [pair], two_stage, vae_glow [pair] [joint] [beyond]
@functools.cache
def fitted_model(name: str, trained: bool) -> GenerativeModel:
    """A tiny model, random or fitted to `data` (on phase 1, `BASES`); `pair`: two channels, no squeeze.

    `beyond`: with all that the paper's layer does not have (docs/beyond.md), two levels where there is no squeeze.
    """
    kind, *words = name.split()
    shape, base = shape_of(name), BASES.get(name)
    vae = copy.deepcopy(fitted_model(base, True)) if base and trained else None
    torch.manual_seed(1)
    made: GenerativeModel
    if kind == "glow":
        made = Glow(**shape, scales=1, depth=3, width=16, coupling=words[0])
    else:
        if vae is None:
            of_vae = base or name
            vae = plain_vae(shape, "isotropic" if "isotropic" in of_vae else "diagonal", "standard" not in of_vae)
            with torch.no_grad():  # noise near the data's: shortens training, keeps random models within the cube
                (vae.decoder.last.bias[vae.channels :] if vae.diagonal else vae.raw_log_scale).fill_(-1.5)
        made = vae
        if kind == "vae_glow":
            pair, beyond = "pair" in words, "beyond" in words
            options = {"affine_steps": 2, "scales": 1 + pair} if beyond else PAPER
            layer = GlowLayer(shape["channels"], 3, 16, 1 if pair else 2, **options)
            made = VAEGlow(vae, layer, "joint" not in words, noise_head=beyond)
        elif kind == "two_stage":
            made = TwoStageVAE(vae, SecondStage(2, 16, 2))
    made.initialise(dequantise(data(shape), shape["levels"], seeded(2)))
    if trained:
        optimise(made, data(shape), steps=120)
    else:
        randomise(made, scale=0.02 if "beyond" in words else 0.04)
        for module in made.modules():  # under narrow random posteriors importance weights have no finite variance
            head = getattr(module, "raw_log_scale", None)
            if isinstance(head, nn.Linear):
                nn.init.constant_(head.bias, 0.6)  # sd near 1, about the priors'
    return made.eval()
