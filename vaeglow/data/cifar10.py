"""CIFAR-10 (Krizhevsky 2009); `local` is a `cifar-10-python.tar.gz`, its folder, or a `cifar-10-batches-py`.

The batches are Python pickles, which can run code when read. They are read only after their hashes have been checked:
an archive against its sha256 before it is opened, then each batch, from an archive or not, against its md5.
"""

from __future__ import annotations

import hashlib
import pickle
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.fetch import PinnedFile
from vaeglow.data.seeds import HELD_OUT, hold_out
from vaeglow.data.sources import SOURCES, NotThere, obtain, pick
from vaeglow.errors import UserError

SCHEMA = {"channels": {"const": 3, "default": 3}, "size": {"const": 32}, **SOURCES, **HELD_OUT}
ARCHIVE = PinnedFile(
    "cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce", max_bytes=170_498_071
)
BATCHES = "cifar-10-batches-py"  # the one folder inside
MAX_MEMBER = 64_000_000  # a batch has 31 MB
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}


def build(
    settings: Mapping[str, Any], name: str, output_dir: Path, **_: Any
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read CIFAR-10 and take the val split off the end of a seeded permutation of the training images; see `kinds`.

    Training images come in the order of the permutation, so the first n are a fair subset; test images in their own.

    Raises:
        UserError: no copy is found, or it is not CIFAR-10.
    """
    by_hand = f"fetch {ARCHIVE.name} by hand (www.cs.toronto.edu/~kriz) and set datasets.{name}.local to it"
    train, test = obtain(name, settings, [ARCHIVE], _look, by_hand, output_dir)
    seed = settings["split_seed"]
    kept, held_out = hold_out(len(train), settings["val_images"], seed, "cifar10")
    splits = {"train": train[kept], "val": train[held_out], "test": test}
    return splits, {"archive_sha256": ARCHIVE.digest, "split_seed": seed}


def _look(where: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images from the folder of batches, a folder that holds it, or the archive (or its folder)."""
    if not where.exists():
        raise NotThere(f"{where} does not exist")
    folder = where if where.name == BATCHES else where / BATCHES
    if folder.is_dir():
        return _images(lambda name: (folder / name).read_bytes(), folder)
    archive = pick(where, ARCHIVE)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            return _images(lambda name: _read(tar, name), archive)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{archive} is no whole archive of CIFAR-10 ({error}): fetch it again") from error


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    """One batch. Nothing is unpacked to disk, so no name in the archive leads anywhere."""
    member = tar.getmember(f"{BATCHES}/{name}")
    if not member.isreg() or member.size > MAX_MEMBER:
        raise UserError(f"{tar.name}: {member.name} is no plain file of a sensible size: fetch it again")
    return tar.extractfile(member).read()


def _images(read: Callable[[str], bytes], where: Path) -> tuple[np.ndarray, np.ndarray]:
    """The training and test images, uint8 [N, 3, 32, 32], of batches that `read` gives by name."""
    contents = []
    for name, digest in MD5.items():
        try:
            content = read(name)
        except (KeyError, OSError) as error:
            raise UserError(f"{where} has no whole {name} ({error}): fetch {ARCHIVE.name} again") from error
        if hashlib.md5(content).hexdigest() != digest:
            raise UserError(f"{where}: {name} is cut short or altered (md5 differs): fetch {ARCHIVE.name} again")
        contents.append(content)
    batches = [pickle.loads(content, encoding="latin1")["data"].reshape(-1, 3, 32, 32) for content in contents]
    return np.concatenate(batches[:-1]), batches[-1]
