"""Random numbers of a batch that several processes share: each makes all of them and keeps its own images' part.

So what a batch is trained with does not depend on how many processes train (`training.devices`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class SharedGenerator(torch.Generator):
    """A generator of which each process of a group uses its own images' part.

    Attributes:
        rank: of this process, from 0.
        ranks: how many processes there are; each has equally many images of the batch, in the order of ranks.
    """

    rank: int = 0
    ranks: int = 1


def drawn(
    sample: Callable[..., Tensor], shape: Sequence[int], generator: torch.Generator | None, **options: Any
) -> Tensor:
    """`sample(shape, generator=generator, **options)` for this process's images.

    Args:
        sample: torch.rand or torch.randn.
        shape: [N, ...], N this process's images.
        generator: with a `SharedGenerator` the numbers are those that one process with all images would draw.
        options: dtype and device.
    """
    if not isinstance(generator, SharedGenerator) or generator.ranks == 1:
        return sample(tuple(shape), generator=generator, **options)
    images = shape[0]
    everyone = sample((images * generator.ranks, *shape[1:]), generator=generator, **options)
    return everyone[generator.rank * images :][:images]
