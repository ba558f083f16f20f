"""Random numbers of a batch, of which each of several processes may use its own images' part."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Generator = torch.Generator | None  # where random numbers come from; None: torch's own state


class SharedGenerator(torch.Generator):
    """A generator shared by `ranks` processes, each of which uses its own images' part; this one is number `rank`."""

    rank: int = 0
    ranks: int = 1


def shared_noise(draw: Callable[..., Tensor], shape: Sequence[int], generator: Generator, **options: Any) -> Tensor:
    """`draw(shape, generator=generator, **options)` for this process's images.

    Args:
        draw: torch.rand or torch.randn.
        shape: [N, ...], N this process's images; each process has equally many, in the order of ranks.
        generator: with a `SharedGenerator` the numbers are those that one process with all images would draw.
        options: dtype and device.
    """
    count, *rest = shape
    rank = getattr(generator, "rank", 0)
    ranks = getattr(generator, "ranks", 1)
    everyone = draw((count * ranks, *rest), generator=generator, **options)
    return everyone[rank * count :][:count]


def normal_like(value: Tensor, generator: Generator) -> Tensor:
    """Standard normal noise of `value`'s shape, dtype and device, from `generator`."""
    return shared_noise(torch.randn, value.shape, generator, dtype=value.dtype, device=value.device)


def uniform_like(value: Tensor, generator: Generator) -> Tensor:
    """The same, uniform in [0, 1)."""
    return shared_noise(torch.rand, value.shape, generator, dtype=value.dtype, device=value.device)
