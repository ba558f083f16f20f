"""Dataset kind `npz`: the user's own arrays `train`, `test` and perhaps `val`, in a file of numpy.savez."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vaeglow.data.arrays import SPLITS
from vaeglow.data.held_out import hold_out
from vaeglow.data.stored import StoredImages, slab_slices
from vaeglow.errors import UserError
from vaeglow.files import sha256_file

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError)
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def build(settings: Mapping[str, Any], output_dir: Path) -> tuple[dict[str, StoredImages], dict[str, Any]]:
    """Read the arrays, a piece at a time.

    Args:
        settings: file, size, channels, val_images (taken off train where the file has no `val`), split_seed.
        output_dir: on its disk the arrays lie while they are read.

    Returns:
        The splits (uint8 [N, C, size, size]) and how they were made. Training images come in the order of a seeded
        permutation, so the first n are a fair subset; the others in their own.

    Raises:
        UserError: no such file, an array that is missing, damaged or something else, or settings that do not fit.
    """
    path = Path(settings["file"]).expanduser()
    try:
        with zipfile.ZipFile(path) as archive:
            held = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
            missing = [split for split in ("train", "test") if split not in held]
            if missing:
                raise UserError(f"{path} has no array {missing[0]!r}: it has {', '.join(sorted(held)) or 'none'}")
            splits = {split: _read(archive, path, split, settings, output_dir) for split in SPLITS if split in held}
    except FileNotFoundError:
        raise UserError(f"the dataset's `file` {path} does not exist: correct the path") from None
    except IsADirectoryError:
        raise UserError(f"the dataset's `file` {path} is a folder: name an .npz file in it") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is no whole .npz file ({error}): write it again with numpy.savez") from None
    val_images, seed = settings["val_images"], settings["split_seed"]
    if "val" in splits and val_images:
        raise UserError(f"{path} has an array val, so `val_images` would do nothing: leave it out")
    kept, held_out = hold_out(len(splits["train"]), val_images, seed, "npz")
    splits.setdefault("val", splits["train"].take(held_out))
    splits["train"] = splits["train"].take(kept)
    ignored = sorted(held - set(SPLITS))
    return splits, {"file_sha256": sha256_file(path), "arrays_ignored": ignored, "split_seed": seed}


def _read(
    archive: zipfile.ZipFile, path: Path, split: str, settings: Mapping[str, Any], output_dir: Path
) -> StoredImages:
    """One array, its header checked against the member's size and the settings before any pixel is read."""
    size, channels, where = settings["size"], settings["channels"], f"{path}: array {split}"
    info = archive.getinfo(f"{split}.npy")
    try:
        with archive.open(info) as member:
            shape, header = _header(member, where)
            if header + math.prod(shape) != info.file_size:
                raise UserError(
                    f"{where} says it is {list(shape)}, {math.prod(shape):,} bytes, and has "
                    f"{info.file_size - header:,}: write it again with numpy.savez"
                )
            last = _channels_last(shape, size, channels, where)
            stored = StoredImages(output_dir, (channels, size, size))
            for rows in slab_slices(shape[0], math.prod(shape[1:])):
                count = rows.stop - rows.start
                content = member.read(count * math.prod(shape[1:]))
                images = np.frombuffer(content, np.uint8).reshape(count, *shape[1:])  # too few bytes: ValueError
                images = images.reshape(count, size, size, channels).transpose(0, 3, 1, 2) if last else images
                stored.add(images.reshape(count, channels, size, size))
            return stored
    except DAMAGED as error:
        raise UserError(f"{where} is damaged ({error}): write it again with numpy.savez") from error


def _header(member: BinaryIO, where: str) -> tuple[tuple[int, ...], int]:
    """An array's shape, and how many bytes its header has.

    Raises:
        UserError: not an array of uint8 in C order; objects, which would need a pickle, among them.
    """
    version = np.lib.format.read_magic(member)
    if version not in HEADERS:
        raise UserError(f"{where} has a header of version {version}: write it again with numpy.savez")
    shape, fortran, dtype = HEADERS[version](member)
    if dtype != np.uint8 or fortran:
        found = f"{dtype} in Fortran order" if fortran else str(dtype)
        raise UserError(f"{where} is {found}, not uint8: save it as numpy.ascontiguousarray(x, dtype='uint8')")
    return shape, member.tell()


def _channels_last(shape: tuple[int, ...], size: int, channels: int, where: str) -> bool:
    """Whether the channels of [N, ...] come last.

    Raises:
        UserError: not images of this size and these channels, or either order fits.
    """
    first, last = (channels, size, size), (size, size, channels)
    fits = {False: shape[1:] == first or (channels == 1 and shape[1:] == (size, size)), True: shape[1:] == last}
    if len(shape) < 3 or shape[0] < 1 or not any(fits.values()):
        grey = f", [N, {size}, {size}]" if channels == 1 else ""
        wanted = f"[N, {channels}, {size}, {size}] or [N, {size}, {size}, {channels}]{grey}"
        raise UserError(f"{where} is {list(shape)} where {wanted} belongs: set `size` and `channels`, or reshape it")
    if all(fits.values()):
        raise UserError(f"{where} is {list(shape)}: either axis could be the channels; use images of another size")
    return fits[True]
