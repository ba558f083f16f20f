"""Images between random latents (paper, figure 5), and how even the steps between them are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaeglow.data.loader import INTERPOLATION, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.trained import BATCH_SIZE, TrainedRun, vae_and_layer
from vaeglow.models.bounds import normal_like, quantise
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.vae import VAE


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """See `interpolate`, `distances` and `detail`; images of the pairs `shown`. The rule adds the `space`."""
    parts = vae_and_layer(run.network, run.config, "the probe interpolation")
    pairs, steps, space = (settings[key] for key in ("pairs", "steps", "space"))
    images = interpolate(*parts, pairs, steps, space, run.seed, run.device).numpy()
    return {"space": space, **distances(images), **detail(images)}, {"images": images[: settings["shown"]]}


def distances(images: np.ndarray) -> dict[str, list]:
    """Distances of neighbours and of ends of images [pairs, steps, C, H, W]: RMS over an image, grey levels."""
    values = images.astype(float)
    found = {"step_distances": np.diff(values, axis=1), "end_distances": values[:, -1] - values[:, 0]}
    return {name: np.sqrt((one**2).mean((-3, -2, -1))).tolist() for name, one in found.items()}


def detail(images: np.ndarray) -> dict[str, list]:
    """Whether images between two ends have the ends' detail, or a cross-fade's: of [pairs, steps, C, H, W].

    Detail is the mean square difference of neighbouring pixels. A cross-fade of unrelated images loses half of it at
    its middle. Sums over the steps of a pair: `detail_lost`, how much less a cross-fade of the ends, in whole grey
    levels, has than the ends; `detail_kept`, how much more the images have than the cross-fade.
    """
    values, weight = images.astype(float), np.linspace(0, 1, images.shape[1])[:, None, None, None]
    fade = np.rint(values[:, :1] * (1 - weight) + values[:, -1:] * weight)
    found, faded = (sum((np.diff(of, axis=axis) ** 2).mean((-3, -2, -1)) for axis in (-2, -1)) for of in (values, fade))
    ends = found[:, :1] * (1 - weight[:, 0, 0, 0]) + found[:, -1:] * weight[:, 0, 0, 0]
    return {f"detail_{name}": (of - faded).sum(1).tolist() for name, of in {"kept": found, "lost": ends}.items()}


def interpolate(
    vae: VAE, layer: GlowLayer | None, pairs: int, steps: int, space: str, seed: int, device: torch.device
) -> Tensor:
    """Images of the latents of `latent_paths`, without decoder noise: uint8 [pairs, steps, C, H, W]."""
    z, parts = latent_paths(vae, pairs, steps, space, seed, device), []
    with torch.no_grad():
        for part in z.flatten(0, 1).split(BATCH_SIZE):
            mean = vae.decode(part)[0]
            parts.append(quantise(mean if layer is None else layer.inverse(mean), vae.levels).cpu())
    return torch.cat(parts).unflatten(0, (pairs, steps))


def latent_paths(vae: VAE, pairs: int, steps: int, space: str, seed: int, device: torch.device) -> Tensor:
    """Latents from one random draw of p(z) to another, both included: z [pairs, steps, d].

    In the space `prior` straight lines in that of eps = h(z) (section 3.2), where p is a standard normal; in `latent`
    great circles between the z themselves (`slerp`). The ends are the same in both. UserError where pairs < 1, steps <
    2, or there is no such space.
    """
    if pairs < 1 or steps < 2:
        raise UserError(f"interpolate needs pairs >= 1 and steps >= 2, not {pairs} and {steps}")
    if space not in ("prior", "latent"):
        raise UserError(f"no space '{space}' to interpolate in: take prior or latent")
    generator = step_generator(seed, INTERPOLATION, 0, device)
    ends = normal_like(torch.empty(2, pairs, 1, vae.prior.dims, device=device), generator)
    weight = torch.linspace(0, 1, steps, device=device)[:, None]
    with torch.no_grad():
        if space == "prior":
            eps = ends[0] * (1 - weight) + ends[1] * weight  # [pairs, steps, d]
            return vae.prior.inverse(eps.flatten(0, 1)).unflatten(0, (pairs, steps))
        one, other = vae.prior.inverse(ends.flatten(0, 2)).double().unflatten(0, (2, pairs, 1))
        return slerp(one, other, weight.double()).float()


def slerp(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Along the great circle from one vector [..., d] to another, its length changing linearly.

    Nearly parallel vectors, and opposite ones, between which the circle is not unique: the straight line.
    """
    lengths = one.norm(dim=-1, keepdim=True), other.norm(dim=-1, keepdim=True)
    units = one / lengths[0], other / lengths[1]
    angle = (units[0] * units[1]).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine, length = angle.sin(), lengths[0].lerp(lengths[1], weight)
    circle = length * (((1 - weight) * angle).sin() * units[0] + (weight * angle).sin() * units[1]) / sine
    return circle.where(sine > 1e-6, one * (1 - weight) + other * weight)
