"""The networks inside the models: what `training.precision` and `compile` act on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module


class Network(Module):
    """A neural network inside a density or a bijection.

    Its inputs and outputs are float32 in any compute precision, so that flows, log-determinants and losses around it
    stay in full precision.

    Attributes:
        precision: `float32`; `bf16`: under autocast in bfloat16.
        compiled: replaces `forward` (torch.compile). None by default.
    """

    precision = "float32"
    compiled: Callable | None = None

    def __call__(self, x: Tensor) -> Any:
        """`forward` under the two attributes."""
        run = self.compiled or super().__call__
        if self.precision == "float32":
            return run(x)
        with torch.autocast(x.device.type, torch.bfloat16):
            outputs = run(x)
        if isinstance(outputs, Tensor):
            return outputs.float()
        return tuple(output.float() for output in outputs)


def networks(model: Module) -> Iterator[Network]:
    """All networks of a model."""
    return (part for part in model.modules() if isinstance(part, Network))


@contextmanager
def full_precision(model: Module) -> Iterator[None]:
    """Within the block all networks of `model` compute in full precision and uncompiled, for evaluation."""
    before = [(network, network.precision, network.compiled) for network in networks(model)]
    for network, _, _ in before:
        network.precision = "float32"
        network.compiled = None
    try:
        yield
    finally:
        for network, precision, compiled in before:
            network.precision = precision
            network.compiled = compiled
