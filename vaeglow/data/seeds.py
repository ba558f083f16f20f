"""Randomness that is a function of names and numbers, the same on every machine and in every version.

NumPy promises the raw stream of a bit generator, not what `Generator.integers` or `permutation` make of it,
and torch promises neither: so these few lines stand on the raw stream alone.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from vaeglow.errors import UserError

# Schema of the keys of datasets that are split by a seed.
SPLIT_SEED = {"split_seed": {"type": "integer", "minimum": 0, "default": 0, "description": "seed of the split"}}
HELD_OUT = {
    "val_images": {"type": "integer", "minimum": 0, "default": 0, "description": "training images held out (paper: 0)"},
    **SPLIT_SEED,
}


def stable_hash(*key: int | str) -> int:
    """A 63-bit integer that depends on `key` only (sha256), fit for any seed argument."""
    return int.from_bytes(hashlib.sha256(json.dumps(key).encode()).digest()[:8], "big") >> 1


class Stream:
    """An endless stream of random integers, named by `key`."""

    def __init__(self, *key: int | str) -> None:
        """Start the stream of `key`, for example `Stream(seed, "epoch", 3)`."""
        self._raw = np.random.PCG64(stable_hash(*key)).random_raw

    def below(self, n: int) -> int:
        """Uniform in 0..n-1 (to 2^-64 n)."""
        return (int(self._raw()) * n) >> 64

    def permutation(self, n: int) -> np.ndarray:
        """A permutation of 0..n-1, int64 [n]."""
        return np.argsort(np.atleast_1d(self._raw(n)), kind="stable").astype(np.int64)


def hold_out(count: int, val_images: int, seed: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Divide training images between train and val by a seeded permutation.

    Args:
        count: number of training images.
        val_images: how many of them, off the end of the permutation, are val.
        seed: `split_seed` of the dataset.
        kind: the kind of dataset.

    Returns:
        Indices int64 [count - val_images] and [val_images]; the first n of either are a fair subset.

    Raises:
        UserError: nothing is left to train on.
    """
    if val_images >= count:
        raise UserError(f"`val_images` is {val_images}: it must lie in 0..{count - 1}, some images must train")
    order = Stream(seed, kind).permutation(count)
    return order[: count - val_images], order[count - val_images :]
