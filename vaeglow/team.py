"""What evaluation still calls: one process does all of its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from vaeglow.distributed import ALONE, Group

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def rounds(count: int, work: Callable[[int], T]) -> Iterator[T]:
    """`work(i)` for i = 0, 1, ... count - 1."""
    return map(work, range(count))


@contextmanager
def team(devices: int, device: torch.device) -> Iterator[tuple[Group, torch.device]]:
    """This process and its device."""
    yield ALONE, device
