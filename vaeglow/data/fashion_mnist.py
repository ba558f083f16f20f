"""Dataset kind `fashion_mnist` (Xiao et al. 2017): 28x28 grey images, from a copy at hand or a download."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.fetch import PinnedFile
from vaeglow.data.held_out import hold_out
from vaeglow.data.sources import NotThere, obtain, pick
from vaeglow.errors import UserError

SIZE, CHANNELS = 28, 1
HEADER = 16  # bytes before the pixels
PIECE = 2**20


def pinned(name: str, images: int, digest: str, max_bytes: int) -> PinnedFile:
    """One of its files, known by what is in it: Debian compresses it anew, so its own bytes differ from copy to copy.

    Args:
        name: of the file.
        images: so many are in it.
        digest: sha256 of the content.
        max_bytes: of the compressed file.
    """
    size = HEADER + images * SIZE * SIZE
    return PinnedFile(name, digest, max_bytes, lambda path: sha256_unzipped(path, size), "content's sha256")


def sha256_unzipped(path: Path, size: int) -> str:
    """Hex sha256 of what a gzip file holds, read a piece at a time and no further than it should go on.

    Args:
        path: of the file.
        size: bytes that it should hold.
    """
    digest, have = hashlib.sha256(), 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(PIECE):
                have += len(piece)
                if have > size:
                    return f"that of more than the {size:,} bytes that belong in it"
                digest.update(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"that of no whole gzip file ({error})"
    return digest.hexdigest()


FILES = {
    "train": pinned(
        "train-images-idx3-ubyte.gz",
        images=60_000,
        digest="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        max_bytes=60_000_000,
    ),
    "test": pinned(
        "t10k-images-idx3-ubyte.gz",
        images=10_000,
        digest="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        max_bytes=10_000_000,
    ),
}


def build(name: str, settings: Mapping[str, Any], output_dir: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the images and take the val split off the end of a seeded permutation of the training images.

    Args:
        name: the dataset's, in config.
        settings: local, sources (folders with the two files of images), val_images, split_seed, size (28),
            channels (1).
        output_dir: a download is kept in its folder `download`, so a second run needs no network.

    Returns:
        The splits (uint8 [N, 1, 28, 28]) and how they were made.

    Raises:
        UserError: no copy can be had, it is not Fashion-MNIST, or the settings do not fit.
    """
    if (settings["size"], settings["channels"]) != (SIZE, CHANNELS):
        raise UserError(f"fashion_mnist has images of size {SIZE} with one channel: set `size` and `channels` so")
    names = " and ".join(file.name for file in FILES.values())
    by_hand = (
        f"install Debian's package dataset-fashion-mnist, or fetch {names} by hand "
        f"(github.com/zalandoresearch/fashion-mnist) and set datasets.{name}.local to their folder"
    )
    read = obtain(name, settings, list(FILES.values()), _look, by_hand, output_dir)
    seed = settings["split_seed"]
    kept, held_out = hold_out(len(read["train"]), settings["val_images"], seed, "fashion_mnist")
    splits = {"train": read["train"][kept], "val": read["train"][held_out], "test": read["test"]}
    return splits, {"files_sha256": {split: file.digest for split, file in FILES.items()}, "split_seed": seed}


def _look(where: Path) -> dict[str, np.ndarray]:
    """The images of both splits, from a folder."""
    if not where.is_dir():
        raise NotThere(f"{where} is no folder" if where.exists() else f"{where} does not exist")
    paths = {split: pick(where, file) for split, file in FILES.items()}
    return {split: decode(gzip.decompress(path.read_bytes())) for split, path in paths.items()}


def decode(content: bytes) -> np.ndarray:
    """The images of an idx file whose hash was checked: 16 bytes of header, the count in bytes 4 to 7, then the pixels.

    Returns:
        uint8 [N, 1, 28, 28].
    """
    count = int.from_bytes(content[4:8], "big")
    return np.frombuffer(content, np.uint8, offset=HEADER).reshape(count, CHANNELS, SIZE, SIZE)
