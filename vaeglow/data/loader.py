"""Batches for training and evaluation: images on the device once; order and noise from (seed, epoch, step).

Nothing here keeps state, which makes resuming exact: the batch and the noise of a step depend on its arguments only.
"""

import numpy as np
import torch
from torch import Tensor

from vaeglow.data.seeds import Stream, stable_hash
from vaeglow.errors import UserError
from vaeglow.noise import SharedGenerator, shared_noise

Device = torch.device | str

EDGE = 2.0**-16  # spacing of float32 just below 256

# Noise outside training (epochs 0, 1, ...) has an "epoch" of its own.
BEFORE_TRAINING = -1  # initialises the model (step 0); of validation (from step 1)
EVALUATION = -2  # of likelihoods; their further draws take -12, -22, ...
SAMPLING = -3
LATENTS = -4
LAYER_DRAWS = -5
INTERPOLATION = -6
NOISE_MAPS = -7
TIMED_SAMPLES = -8
DISTANCE_SOURCE = -10
DECODING = -11  # of latents and images that are given
KEPT_INPUTS = -9  # of inputs that are made once for all epochs (`GenerativeModel.keeps_inputs`)


def on_device(images: np.ndarray, device: Device, subset: int | None = None) -> Tensor:
    """Images [N, C, H, W], or the first `subset` of them, copied to the device: uint8, shared by all batches.

    Raises:
        UserError: `subset` is not in 1..N.
    """
    if subset is not None and not 1 <= subset <= len(images):
        raise UserError(f"{subset} images are requested, the split has {len(images)}: lower the number in config")
    return torch.tensor(images[:subset], dtype=torch.uint8, device=device)


def epoch_order(count: int, seed: int, epoch: int, device: Device = "cpu") -> Tensor:
    """The order of an epoch: a permutation of 0..count-1, int64 [count], the same on every device and torch version."""
    return torch.from_numpy(Stream(seed, "order", epoch).permutation(count)).to(device)


def step_generator(seed: int, epoch: int, step: int, device: Device = "cpu") -> SharedGenerator:
    """A generator for all the noise of one step, seeded by a hash of (seed, epoch, step)."""
    return SharedGenerator(device=device).manual_seed(stable_hash(seed, "step", epoch, step))


def batch_count(count: int, batch_size: int) -> int:
    """Number of batches that `batches` yields: a short one only if it is the only one."""
    return max(1, count // batch_size)


def batches(order: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """Cut an epoch's order into batches.

    A short last batch is dropped (the next epoch's order differs), so all steps weigh the same; with fewer images than
    `batch_size` the one short batch is kept. From int64 [N] to int64 [batch_size] (or [N] if N is smaller) each.
    """
    return order[: batch_count(len(order), batch_size) * batch_size].split(batch_size)


def dequantise(x: Tensor, levels: int, generator: torch.Generator) -> Tensor:
    """Uniform dequantisation: y = (x + u) / levels with u ~ U[0, 1), sampled on each call.

    u is kept 2^-16 away from 0 and 1, where float32 would round (x + u) into the neighbouring level:
    floor(y * levels) is x, and y < 1, always.

    Args:
        x: uint8 [...], values 0..levels-1; not changed.
        levels: 2..256.
        generator: on the device of `x`.

    Returns:
        float32 [...], in (0, 1).
    """
    return (
        shared_noise(torch.rand, x.shape, generator, device=x.device, dtype=torch.float32)
        .clamp_(EDGE, 1 - EDGE)
        .add_(x)
        .div_(levels)
    )
