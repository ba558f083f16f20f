"""Randomness that is a function of names and numbers, the same on every machine and in every version.

NumPy promises the raw stream of a bit generator, not what `Generator.integers` or `permutation` make of it,
and torch promises neither, so this module uses only the raw stream.
"""

import hashlib
import json
from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from vaeglow.config.keys import count
from vaeglow.errors import UserError

# Schemas of keys that several kinds of dataset have: a path on this machine, and how they are split.
PATH = {"$ref": "#/$defs/text"}
SPLIT_SEED = {"split_seed": count("seed of the split", 0, default=0)}
HELD_OUT = {"val_images": count("training images held out (paper: 0)", 0, default=0), **SPLIT_SEED}


def stable_hash(*key: int | str) -> int:
    """A 63-bit integer that depends on `key` only (sha256), usable as any seed argument."""
    return int.from_bytes(hashlib.sha256(json.dumps(key, default=int).encode()).digest()[:8], "big") >> 1


class Stream:
    """An endless stream of random integers, named by a key: `Stream(seed, "order", 3)`."""

    def __init__(self, *key: int | str) -> None:
        self._raw = np.random.PCG64(stable_hash(*key)).random_raw

    def below(self, n: int) -> int:
        """Uniform in 0..n-1 (to 2^-64 n)."""
        return (int(self._raw()) * n) >> 64

    def permutation(self, n: int) -> ndarray:
        """A permutation of 0..n-1, int64 [n]."""
        return np.argsort(self._raw(n), kind="stable")


def hold_out(images: ndarray, settings: Mapping) -> dict[str, ndarray]:
    """Divide training images [N, ...] between train and val: the last `val_images` of a seeded permutation.

    The first n images of either are a random subset. UserError where nothing is left to train on.
    """
    trained = len(images) - settings["val_images"]
    if trained < 1:
        raise UserError(
            f"`val_images` is {settings['val_images']}: it must lie in 0..{len(images) - 1}, some images must train"
        )
    order = Stream(settings["split_seed"], settings["kind"]).permutation(len(images))
    return {"train": images[order[:trained]], "val": images[order[trained:]]}
