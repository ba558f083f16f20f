"""Your own arrays in one file, as `numpy.savez("my_images.npz", train=..., test=...)` writes it."""

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from vaeglow.data.arrays import SPLITS, Arrays, Made
from vaeglow.data.seeds import HELD_OUT, PATH, hold_out
from vaeglow.errors import UserError
from vaeglow.files import DAMAGED, Config, sha256_file

SCHEMA = {
    "file": {
        **PATH,
        "description": "its path, relative to where you call Snakemake. It holds `train`, `test` and optionally `val`: "
        "uint8 `[N, C, size, size]` or `[N, size, size, C]`, grey ones also `[N, size, size]`; other arrays are "
        "ignored. Nothing is unpickled",
    },
    **HELD_OUT,
}


def build(settings: Config, **_: Any) -> Made:
    """Read the arrays; see `vaeglow.data`.

    Training images come in the order of a seeded permutation, so the first n are a random subset; others do not.
    """
    path = Path(settings["file"]).expanduser()
    splits, held = read(path, SPLITS, settings)
    for name in ("test", "train"):
        if name not in held:
            raise UserError(f"{path} has no array {name!r}: it has {', '.join(sorted(held)) or 'none'}")
    if "val" in splits and settings["val_images"]:
        raise UserError(f"{path} has an array val, so `val_images` would do nothing: leave it out")
    return {**hold_out(splits.pop("train"), settings), **splits}, {
        "file_sha256": sha256_file(path),
        "arrays_ignored": sorted(held - set(SPLITS)),
        "split_seed": settings["split_seed"],
    }


def read(path: Path, names: Iterable[str], settings: Config) -> tuple[Arrays, set[str]]:
    """The arrays of these names, uint8 [N, C, size, size] (any size if `settings` has none); the names of all."""
    try:
        with zipfile.ZipFile(path) as archive:
            held = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
            return {name: _read(archive, name, settings) for name in names if name in held}, held
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{path} is not a file ({error.strerror}): correct the path") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is not a complete .npz file ({error}): write it again with numpy.savez") from None


def _read(archive: zipfile.ZipFile, name: str, settings: Config) -> ndarray:
    """One array of an open file, as `read` returns it."""
    where = f"{archive.filename}: array {name}"
    try:
        with archive.open(f"{name}.npy") as member:
            array = np.lib.format.read_array(member, allow_pickle=False)
            if member.read(1):
                raise ValueError("more bytes than its header says")
    except (*DAMAGED, MemoryError) as error:  # MemoryError: its header claims more data than there are
        raise UserError(f"{where} is damaged or holds objects ({error}): write it again with numpy.savez") from error
    if array.dtype != np.uint8:
        raise UserError(f"{where} is {array.dtype}, not uint8: use levels, (255 * x).round().astype('uint8') of [0, 1]")
    size = settings.get("size", array.shape[-2] if array.ndim > 2 else 0)
    channels = settings.get("channels", next((count for count in array.shape[1::2] if count in (1, 3)), 1))
    first = (channels, size, size)
    last = (size, size, channels)
    shapes = [first, last, (size, size)] if channels == 1 else [first, last]
    if array.shape[1:] not in shapes or not len(array):
        wanted = "[N, C, side, side] or [N, side, side, C] of 1 or 3 channels"
        remedy = "reshape it"
        if "size" in settings:
            wanted = ", ".join(f"[N, {str(shape)[1:-1]}]" for shape in shapes)
            remedy = "set `size` and `channels`, or reshape it"
        raise UserError(f"{where} is {list(array.shape)}, not {wanted}: {remedy}")
    if first == last:
        raise UserError(f"{where} is {list(array.shape)}: which axis has the channels? Use images of another size")
    if array.shape[1:] == last:
        array = np.moveaxis(array, -1, 1)
    return np.ascontiguousarray(array).reshape(-1, *first)
