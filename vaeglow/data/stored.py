"""Images that are too many to be held in memory at once."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

SLAB_BYTES = 2**24


class StoredImages:
    """uint8 images [N, C, H, W] in an unnamed temporary file, which goes when they do, however the process ends.

    They are added in order and read a slice (or any selection) at a time, as a copy: only that is in memory.

    Args:
        folder: on whose disk; made if need be.
        shape: (C, H, W).
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._one, self._count = folder, shape, 0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed when this object goes)

    def __len__(self) -> int:
        """How many."""
        return self._count

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return (self._count, *self._one)

    @property
    def size(self) -> int:
        """N C H W."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The same, of uint8."""
        return self.size

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """The images at `index`, uint8 [n, C, H, W]."""
        if not self._count:
            return np.empty(self.shape, np.uint8)[index]
        self._file.flush()
        # mapped for this one call: pages of a map that stays count as memory of the process
        return np.array(np.memmap(self._file, np.uint8, "r", shape=self.shape)[index])

    def add(self, images: np.ndarray) -> None:
        """Append images, uint8 [n, C, H, W]."""
        assert images.dtype == np.uint8 and images.shape[1:] == self._one
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(images))
        self._count += len(images)

    def take(self, order: np.ndarray) -> StoredImages:
        """The images at `order` (int64 [n]), stored anew in that order."""
        return self._anew(self[order[rows]] for rows in slab_slices(len(order), math.prod(self._one)))

    def mapped(self, function: Callable[[np.ndarray], np.ndarray]) -> StoredImages:
        """The images after a function of their values."""
        return self._anew(map(function, slabs(self)))

    def _anew(self, parts: Iterator[np.ndarray]) -> StoredImages:
        stored = StoredImages(self.folder, self._one)
        for part in parts:
            stored.add(part)
        return stored


Images = np.ndarray | StoredImages


def slabs(images: Images) -> Iterator[np.ndarray]:
    """An array of any shape in order, some 16 MB at a time; nothing of an array without values."""
    if images.size:
        for rows in slab_slices(len(images), images.nbytes // len(images)):
            yield images[rows]


def slab_slices(count: int, bytes_each: int) -> Iterator[slice]:
    """Slices of some 16 MB that cover `count` rows."""
    step = max(1, SLAB_BYTES // max(1, bytes_each))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))
