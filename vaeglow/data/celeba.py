"""CelebA's aligned faces (Liu et al. 2015), official partition; `local` is an `img_align_celeba.zip`, or its folder.

Its host often refuses programs, so img_align_celeba.zip is usually fetched by hand. It is read without unpacking, so
names in it cannot point outside.
"""

import functools
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from vaeglow.config.keys import choice
from vaeglow.data.arrays import Made, on_disk, ordered_map
from vaeglow.data.sources import SOURCES, PinnedFile, obtain
from vaeglow.files import Config

SCHEMA = {
    "channels": {"const": 3, "default": 3},
    **SOURCES,
    "crop": choice(
        "side of the centred square, 128 (Dai & Wipf's), 140 or 148, that is shrunk to `size`",
        128,
        140,
        148,
        default=128,
    ),
}
THREADS = 8  # that decode; Snakemake takes fewer where it has fewer cores
ARCHIVE = PinnedFile(
    "img_align_celeba.zip", "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74", max_bytes=1_443_490_838
)
# list_eval_partition.txt: training images come first, then validation, then test. Last image of each.
LAST = {"train": 162_770, "val": 182_637, "test": 202_599}
CENTRE = (89, 109)  # x, y of the 178x218 images; the crop of 128 is rows 45..173, columns 25..153


def build(settings: Config, name: str, output_dir: Path, threads: int) -> Made:
    """Crop and shrink all images of the official partition, in its order; see `vaeglow.data`."""
    size = settings["size"]
    cut = functools.partial(square, crop=settings["crop"], size=size)
    (path,) = obtain(name, settings, [ARCHIVE], "mmlab.ie.cuhk.edu.hk/projects/CelebA.html", output_dir)
    splits = {}
    with zipfile.ZipFile(path) as archive:
        for split, files in partition().items():
            splits[split] = on_disk(output_dir, (len(files), 3, size, size))
            contents = (archive.read(f"img_align_celeba/{file}") for file in files)
            for target, image in zip(
                splits[split], ordered_map(cut, contents, len(files), threads, f"{name}, {split}"), strict=True
            ):
                target[:] = image
    return splits, {
        "crop": settings["crop"],
        "partition": "official",
        "filter": "bilinear",
        "archive_sha256": ARCHIVE.digest,
    }


def partition() -> dict[str, list]:
    """The official partition: split -> file names, in the list's order.

    The list itself is not needed: tests/data/test_published.py writes it from this, with the published file's sha256.
    """
    names = {}
    first = 1
    for split, last in LAST.items():
        names[split] = [f"{number:06}.jpg" for number in range(first, last + 1)]
        first = last + 1
    return names


def square(content: bytes, crop: int, size: int) -> np.ndarray:
    """Crop the centre of an aligned image, a JPEG file, and shrink it: uint8 [3, size, size]."""
    left = CENTRE[0] - crop // 2
    top = CENTRE[1] - crop // 2
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        pixels = image.convert("RGB").crop((left, top, left + crop, top + crop))
    pixels = pixels.resize((size, size), Image.Resampling.BILINEAR)  # widened when shrinking: antialiased
    return np.asarray(pixels).transpose(2, 0, 1)
