"""Dataset kind `cifar10`: CIFAR-10 (Krizhevsky 2009) through torchvision, from a copy at hand or a download.

The batches are Python pickles, which can run code when read. They are read only after their hashes have
been checked: the archive against its sha256 before it is unpacked, then each batch against torchvision's md5
(`CIFAR10.__init__` checks all six, and the file of names, before it loads them).
"""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.fetch import PinnedFile
from vaeglow.data.held_out import hold_out
from vaeglow.data.sources import NotThere, obtain, pick
from vaeglow.errors import UserError

ARCHIVE = PinnedFile(
    "cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", max_bytes=170_498_071
)
BATCHES = "cifar-10-batches-py"  # the one folder inside
MAX_MEMBER = 64_000_000  # a batch has 31 MB
SIZE, CHANNELS = 32, 3


def build(name: str, settings: Mapping[str, Any], output_dir: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read CIFAR-10 and take the val split off the end of a seeded permutation of the training images.

    Args:
        name: the dataset's, in config.
        settings: local, sources, val_images, split_seed, size (32), channels (3).
        output_dir: a download is kept in its folder `download`, so a second run needs no network.

    Returns:
        The splits (uint8 [N, 3, 32, 32]) and how they were made. Training images come in the order of the
        permutation, so the first n are a fair subset; test images in their own order.

    Raises:
        UserError: no copy can be had, it is not CIFAR-10, or the settings do not fit.
    """
    if (settings["size"], settings["channels"]) != (SIZE, CHANNELS):
        raise UserError(f"cifar10 has images of size {SIZE} with {CHANNELS} channels: set `size` and `channels` so")
    by_hand = f"fetch {ARCHIVE.name} by hand (www.cs.toronto.edu/~kriz) and set datasets.{name}.local to it"
    train, test = obtain(name, settings, [ARCHIVE], lambda where: _look(where, output_dir), by_hand, output_dir)
    seed = settings["split_seed"]
    kept, held_out = hold_out(len(train), settings["val_images"], seed, "cifar10")
    splits = {"train": train[kept], "val": train[held_out], "test": test}
    return splits, {"archive_sha256": ARCHIVE.digest, "split_seed": seed}


def _look(where: Path, output_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images from the folder of batches, a folder that holds it, or the archive (or its folder)."""
    root = where.parent if where.name == BATCHES else where
    if (root / BATCHES).is_dir():
        return _load(root, str(root / BATCHES))
    if not where.exists():
        raise NotThere(f"{where} does not exist")
    archive = pick(where, ARCHIVE)
    output_dir.mkdir(parents=True, exist_ok=True)
    # there: the system's folder for temporaries may be small
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".temporary-") as folder:
        _unpack(archive, Path(folder) / BATCHES)
        return _load(Path(folder), str(archive))


def _unpack(archive: Path, target: Path) -> None:
    """Unpack the files that torchvision reads, by name and into names of ours, and no other member.

    Raises:
        UserError: one of them is missing, a link, or larger than it can be.
    """
    from torchvision.datasets import CIFAR10

    target.mkdir()
    names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list] + [CIFAR10.meta["filename"]]
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for name in names:
                member = tar.getmember(f"{BATCHES}/{name}")
                if not member.isreg() or member.size > MAX_MEMBER:
                    raise UserError(f"{archive}: {member.name} is no plain file of a sensible size: fetch it again")
                (target / name).write_bytes(tar.extractfile(member).read())
    except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        raise UserError(f"{archive} is no whole archive of CIFAR-10 ({error}): fetch it again") from error


def _load(root: Path, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The training and test images under `root`/cifar-10-batches-py, uint8 [N, 3, 32, 32]."""
    from torchvision.datasets import CIFAR10

    try:
        parts = [CIFAR10(root, train=train, download=False).data for train in (True, False)]
    except RuntimeError as error:
        raise UserError(
            f"{where}: a batch file is missing, cut short or altered (md5 differs): unpack {ARCHIVE.name} again"
        ) from error
    train, test = (np.ascontiguousarray(part.transpose(0, 3, 1, 2)) for part in parts)
    return train, test
