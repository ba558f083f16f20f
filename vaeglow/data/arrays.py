"""The prepared form of every dataset: uint8 arrays on disk, and a JSON file that describes them.

DATA_DIR/{train,val,test}.npy    uint8 [N, C, H, W], values 0..levels-1
DATA_DIR/dataset.json            name, kind, channels, size, levels, counts, sha256, mean, std, source
"""

import hashlib
import itertools
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy import ndarray

from vaeglow.errors import UserError
from vaeglow.files import (
    DAMAGED,
    Facts,
    atomic_path,
    explain_os_error,
    read_json,
    sha256_json,
    unreadable,
    write_json,
)
from vaeglow.progress import counted

SPLITS = ("train", "val", "test")
Arrays = dict[str, ndarray]
Made = tuple[Arrays, Facts]  # of a kind: the splits, and how they were made, for dataset.json
INFO_FILE = "dataset.json"
INFO_KEYS = ("name", "kind", "channels", "size", "levels", "counts", "sha256", "mean", "std", "source")
MODES = {1: "L", 3: "RGB"}  # Pillow's, by the number of channels
SLAB_BYTES = 2**24  # read at a time
MOST_FEATURES = 10_000  # images of a set whose features are kept (for KID, precision, ...; FID uses all): bounds memory
REMEDY = "delete the folder and prepare the data again"
BATCH = 256  # images being decoded at a time


def ordered_map(function: Callable, items: Iterable, total: int, threads: int, label: str) -> Iterator:
    """`map(function, items)` by several threads, in order: no result depends on how many.

    Pillow decodes and resizes without Python's global lock, so threads share that work among cores.

    Items are taken in the caller's thread, `BATCH` at a time; there are `total`, and `label` names them on the
    terminal.
    """
    source = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        for _ in counted(range(0, total, BATCH), f"{label}, batches"):
            yield from pool.map(function, itertools.islice(source, BATCH))


def on_disk(folder: Path, shape: tuple[int, ...]) -> ndarray:
    """A uint8 array that may be larger than memory, in an unnamed file on a folder's disk; it ends with the process.

    Raises:
        UserError: no room or no permission to write there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if 0 in shape:
            return np.empty(shape, np.uint8)
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # to write to a mapped file on a full disk would kill the process
                os.posix_fallocate(file.fileno(), 0, math.prod(shape))
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as error:
        raise explain_os_error(error, folder) from error


def slabs(array: ndarray) -> Iterator[ndarray]:
    """An array of any shape in order, some 16 MB at a time; nothing of an array without values."""
    if array.size:
        rows = max(1, SLAB_BYTES * len(array) // array.nbytes)
        for start in range(0, len(array), rows):
            yield array[start : start + rows]


def array_sha256(array: ndarray) -> str:
    """Hex sha256 of an array's type, shape and values, the same on every machine; docs/data.md has the format.

    It is read a slab at a time, so it may be larger than memory.
    """
    little_endian = array.dtype.newbyteorder("<")
    digest = hashlib.sha256(json.dumps([little_endian.str, list(array.shape)]).encode())
    for slab in slabs(array):
        digest.update(np.ascontiguousarray(slab, dtype=little_endian).reshape(-1))
    return digest.hexdigest()


def write_dataset(data_dir: str | Path, splits: Arrays, info: Facts) -> Facts:
    """Write the arrays and dataset.json; returns what that holds.

    An old dataset.json is deleted first and the new one is written last: if it exists, the arrays are complete.

    Args:
        data_dir: folder, created if missing.
        splits: train, val and test, uint8 [N, C, H, W]; val may have N = 0.
        info: the keys of `INFO_KEYS` except counts and sha256; others are left out.

    Raises:
        UserError: no room or no permission to write.
    """
    data_dir = Path(data_dir)
    (data_dir / INFO_FILE).unlink(missing_ok=True)
    for split in SPLITS:
        with atomic_path(data_dir / f"{split}.npy") as temporary, open(temporary, "wb") as file:
            np.save(file, np.ascontiguousarray(splits[split]), allow_pickle=False)
    complete = {
        **info,
        "counts": {split: len(splits[split]) for split in SPLITS},
        "sha256": {split: array_sha256(splits[split]) for split in SPLITS},
    }
    ordered = {key: complete[key] for key in INFO_KEYS}
    write_json(data_dir / INFO_FILE, ordered)
    return ordered


def read_info(data_dir: str | Path) -> Facts:
    """Read dataset.json; UserError where it is missing, not JSON, or lacks a key."""
    path = Path(data_dir) / INFO_FILE
    info = read_json(path)
    missing = [key for key in INFO_KEYS if not isinstance(info, dict) or key not in info]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: {REMEDY}")
    return info


def data_identity(info: Facts) -> Facts:
    """What results record of the data they are of, from dataset.json: its name, and a hash of all arrays."""
    return {"dataset": info["name"], "data_sha256": sha256_json(info["sha256"])}


def open_split(data_dir: str | Path, split: str) -> ndarray:
    """Open a split memory-mapped and read-only, after one pass over it to check its hash.

    Returns:
        uint8 [N, C, H, W]; N is 0 for a val split that was not requested.

    Raises:
        UserError: its file is missing, cut short, or does not match dataset.json.
    """
    info = read_info(data_dir)
    path = Path(data_dir) / f"{split}.npy"
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except DAMAGED as error:
        raise unreadable(error, path, f"{path} is not a whole array file ({error}): {REMEDY}") from None
    if array_sha256(array) != info["sha256"].get(split):
        raise UserError(f"{path} has changed since it was prepared (its sha256 is not dataset.json's): {REMEDY}")
    return array


def evenly_spaced(images: ndarray, count: int) -> ndarray:
    """`count` images, at most all, spread over the array: similar images may be next to each other."""
    count = min(count, len(images))
    return images[np.arange(count) * len(images) // count]


def require_images(have: int, need: int, what: str, user: str, remedy: str) -> None:
    """Refuse to work with fewer images than are needed (UserError): `what` has `have`, `user` needs `need`."""
    if have < need:
        raise UserError(f"{what} has {have} images, {user} needs {need}: {remedy}")
