"""Fashion-MNIST (Xiao et al. 2017), grey; `local` is a folder with `train-` and `t10k-images-idx3-ubyte.gz`."""

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import Made
from vaeglow.data.seeds import HELD_OUT, hold_out
from vaeglow.data.sources import SOURCES, PinnedFile, obtain
from vaeglow.files import Config

SCHEMA = {"channels": {"const": 1}, "size": {"const": 28}, **SOURCES, **HELD_OUT}
HEADER = 16  # bytes before the pixels


def pinned(name: str, images: int, digest: str) -> PinnedFile:
    """One of its files, identified by its uncompressed content, as Debian recompresses it.

    `digest` is the content's sha256. Of longer content than `images` images one more byte is read: another hash.
    """

    def measure(path: Path) -> str:
        try:
            with gzip.open(path) as file:
                return hashlib.sha256(file.read(HEADER + images * 28 * 28 + 1)).hexdigest()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            return f"unknown (not a complete gzip file: {error})"

    return PinnedFile(name, digest, 1000 * images, measure)


TRAIN = "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
TEST = "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
FILES = {
    "train": pinned("train-images-idx3-ubyte.gz", 60_000, TRAIN),
    "test": pinned("t10k-images-idx3-ubyte.gz", 10_000, TEST),
}


def build(settings: Config, name: str, output_dir: Path, **_: Any) -> Made:
    """The val split is the end of a seeded permutation of the training images; see `vaeglow.data`."""
    where = "github.com/zalandoresearch/fashion-mnist, or Debian's package dataset-fashion-mnist"
    contents = [
        bytearray(gzip.decompress(path.read_bytes()))
        for path in obtain(name, settings, FILES.values(), where, output_dir)
    ]  # to be written to
    train, test = (np.frombuffer(content, np.uint8, offset=HEADER).reshape(-1, 1, 28, 28) for content in contents)
    return {**hold_out(train, settings), "test": test}, {
        "files_sha256": {split: file.digest for split, file in FILES.items()},
        "split_seed": settings["split_seed"],
    }
