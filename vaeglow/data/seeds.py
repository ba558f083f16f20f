"""Randomness that is a function of names and numbers, the same on every machine and in every version.

NumPy promises the raw stream of a bit generator, not what `Generator.integers` or `permutation` make of it,
and torch promises neither: so these few lines stand on the raw stream alone.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


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
