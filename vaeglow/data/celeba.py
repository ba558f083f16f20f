"""Dataset kind `celeba` (Liu et al. 2015): the aligned faces, official partition, cropped and shrunk.

Its host often refuses programs, so img_align_celeba.zip is usually fetched by hand. Images go from the archive to the
arrays one by one: memory stays bounded.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from vaeglow.data.arrays import SPLITS
from vaeglow.data.celeba_archive import ARCHIVE, look, partition
from vaeglow.data.parallel import ordered_map
from vaeglow.data.progress import progress
from vaeglow.data.sources import obtain
from vaeglow.data.stored import StoredImages
from vaeglow.errors import UserError

ALIGNED = (178, 218)  # width, height
CROPS = (128, 140, 148)  # sides of the centred squares in use; 128 is Dai & Wipf's
CENTRE = (89, 109)  # x, y; the crop of 128 is rows 45..173, columns 25..153
FILTER = Image.Resampling.BILINEAR  # Pillow widens it when shrinking: antialiased

Box = tuple[int, int, int, int]


def build(
    name: str, settings: Mapping[str, Any], output_dir: Path, workers: int
) -> tuple[dict[str, StoredImages], dict[str, Any]]:
    """Crop and shrink all images of the official partition.

    Args:
        name: the dataset's, in config.
        settings: local, sources (the archive, or folders that hold it), crop (128 | 140 | 148), size, channels (3).
        output_dir: on its disk the arrays lie while they are made; a download is kept in its folder `download`.
        workers: processes that decode; neither values nor order depend on it.

    Returns:
        The splits (uint8 [N, 3, size, size]), in the order of the partition, and how they were made.

    Raises:
        UserError: the archive cannot be had, or is not CelebA's.
    """
    if settings["channels"] != 3 or settings["crop"] not in CROPS:
        raise UserError(f"celeba has 3 channels, and `crop` must be one of {', '.join(map(str, CROPS))}")
    by_hand = (
        f"fetch {ARCHIVE.name} by hand from CelebA's page (mmlab.ie.cuhk.edu.hk/projects/CelebA.html; its host often "
        f"refuses programs) and set datasets.{name}.local to it or its folder"
    )
    square = functools.partial(cut, box=box_of(settings["crop"]), size=settings["size"])
    names, splits = partition(), {}
    with (
        obtain(name, settings, [ARCHIVE], look, by_hand, output_dir) as archive,
        progress(name, sum(map(len, names.values())), "images") as advance,
    ):
        read = ((file, archive.read(file)) for split in SPLITS for file in names[split])
        images = ordered_map(square, read, workers)
        for split in SPLITS:
            splits[split] = StoredImages(output_dir, (3, settings["size"], settings["size"]))
            for image in itertools.islice(images, len(names[split])):
                splits[split].add(image[None])
                advance(1)
    made = {"crop": settings["crop"], "partition": "official", "filter": FILTER.name.lower()}
    return splits, {**made, "archive_sha256": ARCHIVE.digest}


def box_of(crop: int) -> Box:
    """Left, top, right, bottom of the centred square of that side."""
    left, top = (centre - crop // 2 for centre in CENTRE)
    return left, top, left + crop, top + crop


def cut(item: tuple[str, bytes], box: Box, size: int) -> np.ndarray:
    """One image, cropped and shrunk.

    Args:
        item: name and content of a JPEG file.
        box: the part that is kept.
        size: side of the result.

    Returns:
        uint8 [3, size, size].

    Raises:
        UserError: not an aligned image, or damaged.
    """
    name, content = item
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if image.size != ALIGNED:  # before its pixels are decoded: they could be many
                raise UserError(f"CelebA image {name} is {image.size[0]}x{image.size[1]}, not the aligned 178x218")
            ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have set it
            pixels = image.convert("RGB").crop(box).resize((size, size), FILTER)
    except (OSError, SyntaxError) as error:
        raise UserError(f"CelebA image {name} cannot be read ({error}): fetch the archive again") from error
    return np.ascontiguousarray(np.asarray(pixels).transpose(2, 0, 1))
