"""CIFAR-10 (Krizhevsky 2009); `local` is a `cifar-10-python.tar.gz`, or its folder.

The archive is read without unpacking, so names in it cannot point outside. The batches in it are Python pickles, which
can run code when read: that happens only after the archive's sha256 has been checked.
"""

import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import Made
from vaeglow.data.seeds import HELD_OUT, hold_out
from vaeglow.data.sources import SOURCES, PinnedFile, obtain
from vaeglow.files import Config

SCHEMA = {"channels": {"const": 3, "default": 3}, "size": {"const": 32}, **SOURCES, **HELD_OUT}
ARCHIVE = PinnedFile(
    "cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", max_bytes=170_498_071
)
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def build(settings: Config, name: str, output_dir: Path, **_: Any) -> Made:
    """The val split is the end of a seeded permutation of the training images; see `vaeglow.data`."""
    (path,) = obtain(name, settings, [ARCHIVE], "www.cs.toronto.edu/~kriz", output_dir)
    with tarfile.open(path) as archive:
        *train, test = (
            pickle.load(archive.extractfile(f"cifar-10-batches-py/{batch}"), encoding="latin1")["data"]
            for batch in BATCHES
        )
    return {**hold_out(np.concatenate(train).reshape(-1, 3, 32, 32), settings), "test": test.reshape(-1, 3, 32, 32)}, {
        "archive_sha256": ARCHIVE.digest,
        "split_seed": settings["split_seed"],
    }
