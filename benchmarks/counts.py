"""Counting what a step asks of the hardware: floating-point operations, and bytes read and written by its kernels."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from vaeglow.training.timing import time_window

MATRIX, TRIES = 2048, 5  # side of the matrix whose product is timed, and how often
ALLOCATIONS = ("aten.empty", "aten.new_empty", "aten.empty_like", "aten.empty_strided")  # they write nothing


class ByteCounter(TorchDispatchMode):
    """Counts the bytes of all tensors that operations read or write, views left out.

    It is what would cross the memory bus if no operation found its inputs in a cache: an upper bound for a CPU's
    large caches, and close to what a GPU's eager kernels move.

    Attributes:
        total: bytes so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and add up what it touches."""
        result = operation(*arguments, **(keywords or {}))
        if not operation.is_view and not str(operation).startswith(ALLOCATIONS):
            touched = tree_leaves((arguments, keywords or {}, result))
            self.total += sum(tensor_bytes(leaf) for leaf in touched if isinstance(leaf, Tensor))
        return result


def tensor_bytes(tensor: Tensor) -> int:
    """Bytes of memory behind a tensor: an expanded one is no larger than what it repeats."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def count(step: Callable[[], object]) -> dict[str, int]:
    """Run a step once: `{"flops": multiply-adds count as two, "bytes": see `ByteCounter`}`."""
    flops, moved = FlopCounterMode(display=False), ByteCounter()
    with flops, moved:
        step()
    return {"flops": flops.get_total_flops(), "bytes": moved.total}


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations a second of a large float32 matrix product, the median of a few."""
    left = torch.rand(MATRIX, MATRIX, device=device)
    work = functools.partial(torch.mm, left, left)
    time_window(work, 1, device)
    return 2 * MATRIX**3 / statistics.median(time_window(work, 1, device)[0] for _ in range(TRIES))
