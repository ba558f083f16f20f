"""What a prepared dataset holds, in numbers: counts, ranges, statistics, histograms, images that are there twice."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import SPLITS, open_split, read_info, slabs
from vaeglow.data.prepare import moments, value_counts
from vaeglow.files import sha256_json


def inspect(data_dir: str | Path) -> dict[str, Any]:
    """Look through all images, a slab at a time.

    Args:
        data_dir: folder of a prepared dataset.

    Returns:
        `dataset`, `kind`, `channels`, `size`, `levels`, `data_sha256` (as every result on these data carries it),
        `source`, and `splits`: for each its count, sha256 and `repeated` (images that are the same as an earlier one
        of the split, pixel by pixel), `in_train` (as one of train; not for train), and for each channel the lowest and
        the highest value, mean and sd (of the value plus a half, divided by the levels, as in dataset.json), and the
        histogram: how often each value is there. A split without images has counts only.

    Raises:
        UserError: not a prepared dataset, or changed since.
    """
    info = read_info(data_dir)
    seen: dict[str, set[bytes]] = {}
    splits = {}
    for split in SPLITS:
        images = open_split(data_dir, split)
        digests = image_digests(images)
        seen[split] = set(digests)
        splits[split] = {
            "count": len(images),
            "sha256": info["sha256"][split],
            "repeated": len(digests) - len(seen[split]),
            **({} if split == "train" else {"in_train": sum(digest in seen["train"] for digest in digests)}),
            **(channels_of(images, info["levels"]) if len(images) else {}),
        }
    shape = {key: info[key] for key in ("kind", "channels", "size", "levels")}
    hashes = {"data_sha256": sha256_json(info["sha256"])}
    return {"dataset": info["name"], **shape, **hashes, "source": info["source"], "splits": splits}


def image_digests(images: np.ndarray) -> list[bytes]:
    """A short hash of each image [N, C, H, W]."""
    return [hashlib.blake2b(image, digest_size=16).digest() for slab in slabs(images) for image in slab]


def channels_of(images: np.ndarray, levels: int) -> dict[str, list[Any]]:
    """Lowest and highest value, mean, sd and histogram of each channel of uint8 [N, C, H, W], N > 0."""
    counts = value_counts(images, levels)
    there = [np.flatnonzero(channel) for channel in counts]
    mean, std = moments(counts)
    return {
        "lowest": [int(values[0]) for values in there],
        "highest": [int(values[-1]) for values in there],
        "mean": mean,
        "std": std,
        "histogram": counts.tolist(),
    }
