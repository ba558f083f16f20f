"""Drawing images (paper, section 3.5): batches of a fixed size, each with noise of its own, from one seed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaeglow.data.loader import step_generator
from vaeglow.errors import UserError
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import quantise

SAMPLING = -3  # the "epoch" of all sampling noise
BATCH_SIZE = 100  # images at a time; the images of a seed depend on it, so it is no option


@torch.no_grad()
def in_batches(
    draw: Callable[[int, torch.Generator], Tensor], count: int, levels: int, seed: int, device: torch.device
) -> Tensor:
    """`count` discrete images from `draw(n, generator)`, uint8 [count, C, H, W] on the CPU.

    All batches are of full size and the last is cut, so the first n images do not depend on how many are asked.

    Raises:
        UserError: the model gave a value that is not finite.
    """
    parts = []
    for index in range(-(-count // BATCH_SIZE)):
        images = draw(BATCH_SIZE, step_generator(seed, SAMPLING, index, device))
        if not torch.isfinite(images).all():
            raise UserError("the model drew values that are not finite: it is broken, train it anew")
        parts.append(quantise(images, levels).cpu())
    return torch.cat(parts)[:count]


def sample(model: GenerativeModel, count: int, temperature: float, seed: int, device: torch.device) -> Tensor:
    """Images from a model.

    Args:
        model: in evaluation mode, on `device`.
        count: how many, at least 1.
        temperature: scales the pixel noise, at least 0; a latent prior stays at 1.
        seed: of all noise.
        device: of the model.

    Returns:
        uint8 [count, C, H, W] on the CPU.

    Raises:
        UserError: an illegal count or temperature.
    """
    if count < 1:
        raise UserError(f"{count} samples are asked for: ask for 1 or more")
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature {temperature} is not a number from 0 up")
    return in_batches(lambda n, generator: model.sample(n, temperature, generator), count, model.levels, seed, device)
