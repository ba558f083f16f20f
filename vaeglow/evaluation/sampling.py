"""Drawing images (paper, section 3.5): batches of a fixed size, each with noise of its own, from one seed."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from vaeglow.data.loader import step_generator
from vaeglow.errors import UserError
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import quantise

SAMPLING = -3  # the "epoch" of all sampling noise
BATCH_SIZE = 100  # images at a time; the images of a seed depend on it, so it is no option


@dataclasses.dataclass(frozen=True)
class Samples:
    """Drawn images, and how many of them overflowed.

    Attributes:
        images: uint8 [N, C, H, W] on the CPU.
        exploded: how many of the images held a value that is not finite, before it was clipped to [0, 1).
            Inverting an affine Glow divides by scales that can come close to 0 (a known failure, Behrmann et
            al. 2021): such an image is garbage, and it is the model's, so it is kept, counted and reported.
    """

    images: Tensor
    exploded: int


def sample(model: GenerativeModel, count: int, temperature: float, seed: int, device: torch.device) -> Samples:
    """Images from a model. The first n do not depend on how many are asked for.

    Args:
        model: in evaluation mode, on `device`.
        count: how many, at least 1.
        temperature: scales the pixel noise, at least 0; a latent prior stays at 1.
        seed: of all noise.
        device: of the model.

    Raises:
        UserError: an illegal count or temperature, or more than half of the images overflowed.
    """
    if count < 1:
        raise UserError(f"{count} samples are asked for: ask for 1 or more")
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature {temperature} is not a number from 0 up")
    samples = draw(model, count, temperature, seed, device)
    if 2 * samples.exploded > count:
        raise UserError(
            f"{samples.exploded} of {count} samples are not finite: the model is broken, train it with a lower rate"
        )
    return samples


@torch.no_grad()
def draw(model: GenerativeModel, count: int, temperature: float, seed: int, device: torch.device) -> Samples:
    """The same images, however many overflowed: early in training that is no broken model yet."""
    parts, overflowed = [], []
    for index in range(-(-count // BATCH_SIZE)):  # all batches are of full size, the last is cut
        images = model.sample(BATCH_SIZE, temperature, step_generator(seed, SAMPLING, index, device))
        parts.append(quantise(images, model.levels).cpu())
        overflowed.append(~torch.isfinite(images).flatten(1).all(1).cpu())
    return Samples(torch.cat(parts)[:count], int(torch.cat(overflowed)[:count].sum()))
