"""Dataset kind `celeba` (Liu et al. 2015): the aligned faces, official partition, cropped and shrunk.

Its host often refuses downloads, so the two files are fetched by hand: img_align_celeba.zip (or its folder, unpacked)
and list_eval_partition.txt.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vaeglow.data.arrays import SPLITS
from vaeglow.errors import UserError

ALIGNED = (178, 218)  # width, height
CROPS = (128, 140, 148)  # sides of the centred squares in use; 128 is Dai & Wipf's
CENTRE = (89, 109)  # x, y; the crop of 128 is rows 45..173, columns 25..153
FOLDER, ARCHIVE, PARTITION = "img_align_celeba", "img_align_celeba.zip", "list_eval_partition.txt"
FILTER = Image.Resampling.BILINEAR  # Pillow widens it when shrinking: antialiased


def build(settings: dict[str, Any], output_dir: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Crop and shrink all images of the official partition.

    Args:
        settings: local (the folder that holds both files), crop (128 | 140 | 148), size, channels (3).
        output_dir: for the arrays while they are made; they are memory-mapped, so memory stays bounded.

    Returns:
        The splits (uint8 [N, 3, size, size]), in the order of the list, and how they were made.

    Raises:
        UserError: a file is missing or not CelebA's.
    """
    if settings["local"] is None:
        raise UserError(
            f"datasets.celeba64.local is not set: fetch {ARCHIVE} and {PARTITION} by hand from CelebA's page "
            "(mmlab.ie.cuhk.edu.hk/projects/CelebA.html; its host often refuses programs) and set it to their folder"
        )
    if settings["channels"] != 3 or settings["crop"] not in CROPS:
        raise UserError(f"celeba has 3 channels, and `crop` must be one of {', '.join(map(str, CROPS))}")
    root = Path(settings["local"]).expanduser()
    names = read_partition(root / PARTITION)
    left, top = (centre - settings["crop"] // 2 for centre in CENTRE)
    box = (left, top, left + settings["crop"], top + settings["crop"])
    size = settings["size"]
    output_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        read = stack.enter_context(_Reader(root))
        # on POSIX a map outlives its file's name, so the disk is freed when the arrays are
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=output_dir, prefix=".temporary-"))
        splits = {}
        for split in SPLITS:
            shape = (len(names[split]), 3, size, size)
            array = np.lib.format.open_memmap(Path(folder) / f"{split}.npy", "w+", np.uint8, shape)
            for index, name in enumerate(names[split]):
                array[index] = _square(read(name), name, box, size)
            splits[split] = array
    return splits, {"crop": settings["crop"], "partition": "official", "filter": FILTER.name.lower()}


def read_partition(path: Path) -> dict[str, list[str]]:
    """The official partition: split -> file names, in the list's order.

    Raises:
        UserError: missing, or a line that is not `name 0|1|2`.
    """
    if not path.is_file():
        raise UserError(f"datasets.celeba64.local: {path} does not exist: fetch {PARTITION} (CelebA, folder Eval)")
    names: dict[str, list[str]] = {split: [] for split in SPLITS}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        parts = line.split()
        if len(parts) != 2 or parts[1] not in ("0", "1", "2") or Path(parts[0]).name != parts[0]:
            raise UserError(f"{path}, line {number}: {line[:40]!r} is not `file 0|1|2`: fetch it again")
        names[SPLITS[int(parts[1])]].append(parts[0])
    empty = [split for split in ("train", "test") if not names[split]]
    if empty:
        raise UserError(f"{path} names no {empty[0]} images: fetch it again")
    return names


class _Reader:
    """Opens images by name, from the unpacked folder or the archive, whichever is there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.archive: zipfile.ZipFile | None = None

    def __enter__(self) -> Callable[[str], bytes]:
        if (self.root / FOLDER).is_dir():
            return self.from_folder
        path = self.root / ARCHIVE
        if not path.is_file():
            raise UserError(f"datasets.celeba64.local: {self.root} has neither {ARCHIVE} nor a folder {FOLDER}")
        try:
            self.archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise UserError(f"{path} is cut short or no zip file: fetch it again") from None
        return self.from_archive

    def __exit__(self, *_: object) -> None:
        if self.archive is not None:
            self.archive.close()

    def from_folder(self, name: str) -> bytes:
        try:
            return (self.root / FOLDER / name).read_bytes()
        except FileNotFoundError:
            raise UserError(f"{self.root / FOLDER / name} is missing: unpack {ARCHIVE} again") from None

    def from_archive(self, name: str) -> bytes:
        try:
            return self.archive.read(f"{FOLDER}/{name}")
        except (KeyError, zipfile.BadZipFile):
            raise UserError(f"{self.root / ARCHIVE} lacks a whole {name}: fetch it again") from None


def _square(content: bytes, name: str, box: tuple[int, int, int, int], size: int) -> np.ndarray:
    """One image, cropped and shrunk: uint8 [3, size, size]."""
    try:
        image = Image.open(io.BytesIO(content)).convert("RGB")
    except (OSError, SyntaxError) as error:
        raise UserError(f"CelebA image {name} cannot be read ({error}): fetch the archive again") from error
    if image.size != ALIGNED:
        raise UserError(f"CelebA image {name} is {image.size[0]}x{image.size[1]}, not the aligned 178x218")
    return np.asarray(image.crop(box).resize((size, size), FILTER)).transpose(2, 0, 1)
