"""Fashion-MNIST (Xiao et al. 2017), grey; `local` is a folder with `train-` and `t10k-images-idx3-ubyte.gz`."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.fetch import PinnedFile
from vaeglow.data.seeds import HELD_OUT, hold_out
from vaeglow.data.sources import SOURCES, NotThere, obtain, pick

SCHEMA = {"channels": {"const": 1}, "size": {"const": 28}, **SOURCES, **HELD_OUT}
HEADER = 16  # bytes before the pixels


def pinned(name: str, images: int, digest: str, max_bytes: int) -> PinnedFile:
    """One of its files, known by what is in it: Debian compresses it anew, so its own bytes differ from copy to copy.

    Args:
        name: file name.
        images: how many it holds; one byte more is read, which gives another hash, and no further.
        digest: sha256 of the content.
        max_bytes: of the compressed file.
    """

    def measure(path: Path) -> str:
        try:
            with gzip.open(path) as file:
                return hashlib.sha256(file.read(HEADER + images * 28 * 28 + 1)).hexdigest()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            return f"that of no whole gzip file ({error})"

    return PinnedFile(name, digest, max_bytes, measure, "content's sha256")


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


def build(
    settings: Mapping[str, Any], name: str, output_dir: Path, **_: Any
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the images and take the val split off the end of a seeded permutation of the training images; see `kinds`.

    Raises:
        UserError: no copy is found, or it is not Fashion-MNIST.
    """
    names = " and ".join(file.name for file in FILES.values())
    by_hand = (
        f"install Debian's package dataset-fashion-mnist, or fetch {names} by hand "
        f"(github.com/zalandoresearch/fashion-mnist) and set datasets.{name}.local to their folder"
    )
    images = obtain(name, settings, list(FILES.values()), _look, by_hand, output_dir)
    seed = settings["split_seed"]
    kept, held_out = hold_out(len(images["train"]), settings["val_images"], seed, "fashion_mnist")
    splits = {"train": images["train"][kept], "val": images["train"][held_out], "test": images["test"]}
    return splits, {"files_sha256": {split: file.digest for split, file in FILES.items()}, "split_seed": seed}


def _look(where: Path) -> dict[str, np.ndarray]:
    """The images of both splits, from a folder, uint8 [N, 1, 28, 28]."""
    if not where.is_dir():
        raise NotThere(f"{where} is no folder" if where.exists() else f"{where} does not exist")
    paths = {split: pick(where, file) for split, file in FILES.items()}
    contents = {split: bytearray(gzip.decompress(path.read_bytes())) for split, path in paths.items()}
    return {
        split: np.frombuffer(content, np.uint8, offset=HEADER).reshape(-1, 1, 28, 28)
        for split, content in contents.items()
    }
