"""Images between random latents (paper, figure 5), and how even the steps between them are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaeglow.data.loader import step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.spectrum import rms
from vaeglow.models.bounds import normal_like, quantise
from vaeglow.models.vae import VAE
from vaeglow.models.vae_glow import VAEGlow

INTERPOLATION = -6  # the "epoch" of all noise here
BATCH_SIZE = 100  # images at a time
SPACES = ("prior", "latent")


def slerp(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Along the great circle from one vector to another, its length going evenly from one's to the other's.

    Args:
        one: [..., d], not 0.
        other: [..., d], not 0.
        weight: from 0 (one) to 1 (other), broadcast against [..., 1].

    Returns:
        [..., d]; nearly parallel vectors, and opposite ones, between which no circle is singled out: the straight line.
    """
    lengths = one.norm(dim=-1, keepdim=True), other.norm(dim=-1, keepdim=True)
    units = one / lengths[0], other / lengths[1]
    angle = torch.acos((units[0] * units[1]).sum(-1, keepdim=True).clamp(-1, 1))
    sine = torch.sin(angle)
    length = torch.lerp(*lengths, weight)
    round_ = length * (torch.sin((1 - weight) * angle) * units[0] + torch.sin(weight * angle) * units[1]) / sine
    return torch.where(sine > 1e-6, round_, one * (1 - weight) + other * weight)


@torch.no_grad()
def latent_paths(vae: VAE, pairs: int, steps: int, space: str, seed: int, device: torch.device) -> Tensor:
    """Latents from one random draw of p(z) to another.

    Args:
        vae: whose prior.
        pairs: how many pairs of ends; the ends are the same in both spaces.
        steps: latents from one end to the other, both included; at least 2.
        space: `prior`: straight lines in the space of eps = h(z) (section 3.2), where p is a standard normal; `latent`:
            great circles between the z themselves (`slerp`).
        seed: of the ends.
        device: of the model.

    Returns:
        z, [pairs, steps, d].

    Raises:
        UserError: pairs < 1, steps < 2, or no such space.
    """
    if pairs < 1 or steps < 2:
        raise UserError(f"interpolate needs pairs >= 1 and steps >= 2, not {pairs} and {steps}")
    if space not in SPACES:
        raise UserError(f"no space '{space}' to interpolate in: take {' or '.join(SPACES)}")
    generator = step_generator(seed, INTERPOLATION, 0, device)
    ends = normal_like(torch.empty(2, pairs, 1, vae.prior.dims, device=device), generator)
    weight = torch.linspace(0, 1, steps, device=device)[:, None]
    if space == "prior":
        eps = ends[0] * (1 - weight) + ends[1] * weight  # [pairs, steps, d]
        return vae.prior.inverse(eps.flatten(0, 1))[0].unflatten(0, (pairs, steps))
    one, other = vae.prior.inverse(ends.flatten(0, 2))[0].double().unflatten(0, (2, pairs, 1))
    return slerp(one, other, weight.double()).float()


@torch.no_grad()
def render(network: VAE | VAEGlow, z: Tensor) -> Tensor:
    """What latents stand for, without noise: z [pairs, steps, d] to uint8 [pairs, steps, C, H, W] on the CPU."""
    parts = [quantise(network.render(part), network.levels).cpu() for part in z.flatten(0, 1).split(BATCH_SIZE)]
    return torch.cat(parts).unflatten(0, z.shape[:2])


def distances(images: np.ndarray) -> dict[str, list]:
    """How far neighbours and ends are apart: RMS differences over an image, grey levels.

    Args:
        images: uint8 [pairs, steps, C, H, W].

    Returns:
        `step_distances` [pairs][steps - 1] and `end_distances` [pairs].
    """
    images = images.astype(float)
    return {
        "step_distances": rms(np.diff(images, axis=1), 3).tolist(),
        "end_distances": rms(images[:, -1] - images[:, 0], 3).tolist(),
    }
