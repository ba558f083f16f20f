"""The networks inside the models: what `training.precision` and `training.compile` act on, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A network that a density or a bijection is made of.

    Whatever it computes in, it takes and returns float32, so that flows, log-determinants and losses around it keep
    their full precision.

    Attributes:
        bf16: compute under autocast in bfloat16. Off in a new model.
        compiled: stands in for `forward` (torch.compile). None in a new model.
    """

    bf16: bool = False
    compiled: Callable[..., Any] | None = None

    def __call__(self, x: Tensor) -> Any:
        """`forward`, as the two attributes say."""
        run = self.compiled or super().__call__
        if not self.bf16:
            return run(x)
        with torch.autocast(x.device.type, torch.bfloat16):
            outputs = run(x)
        return outputs.float() if isinstance(outputs, Tensor) else tuple(output.float() for output in outputs)

    def exactly(self, x: Tensor) -> Any:
        """`forward` in full precision, whatever the attributes say: what an inverse needs."""
        return super().__call__(x)


def networks(model: nn.Module) -> Iterator[Network]:
    """All networks of a model."""
    return (part for part in model.modules() if isinstance(part, Network))


@contextmanager
def exact(model: nn.Module) -> Iterator[None]:
    """For as long as it lasts, all networks of `model` compute in full precision and uncompiled: for evaluation."""
    before = [(network, network.bf16, network.compiled) for network in networks(model)]
    for network, _, _ in before:
        network.bf16, network.compiled = False, None
    try:
        yield
    finally:
        for network, bf16, compiled in before:
            network.bf16, network.compiled = bf16, compiled
