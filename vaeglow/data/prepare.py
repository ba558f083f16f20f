"""From a dataset's settings to arrays on disk: the one entry for every kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import SPLITS, array_sha256, slabs, write_dataset
from vaeglow.data.kinds import KINDS, complete
from vaeglow.errors import UserError


def prepare(name: str, settings: Mapping[str, Any], output_dir: str | Path, threads: int = 1) -> dict[str, Any]:
    """Make a dataset and write it with `arrays.write_dataset`.

    Args:
        name: the dataset's name in config.
        settings: its entry there; see `kinds`.
        output_dir: where the arrays and dataset.json go.
        threads: that decode image files; what is written does not depend on it.

    Returns:
        What dataset.json says, but for counts and hashes.

    Raises:
        UserError: settings or images that will not do, or content other than expected.
    """
    settings = complete(name, settings)
    levels = settings["levels"]
    kind = KINDS[settings["kind"]]
    splits, source = kind.build(settings, name=name, output_dir=Path(output_dir), threads=threads)
    splits = {split: quantise(splits[split], levels) for split in SPLITS}
    for split, expected in (settings["expected_sha256"] or {}).items():
        found = array_sha256(splits[split])
        if found != expected:
            raise UserError(
                f"dataset {name}: sha256 of the {split} split is {found}, expected_sha256 says {expected}: changed "
                "settings, other images, or another JPEG decoder (another Pillow) whose last bits differ; to accept "
                f"the new data, remove datasets.{name}.expected_sha256 or set it to null in an overlay"
            )
    mean, std = moments(value_counts(splits["train"], levels))
    shape = {key: settings[key] for key in ("channels", "size", "levels")}
    info = {"name": name, "kind": settings["kind"], **shape, "mean": mean, "std": std, "source": source}
    write_dataset(output_dir, splits, info)
    return info


def quantise(images: np.ndarray, levels: int) -> np.ndarray:
    """8-bit values to 0..levels-1, x * levels // 256, in place."""
    if levels < 256:
        table = (np.arange(256) * levels // 256).astype(np.uint8)
        for slab in slabs(images):
            slab[:] = table[slab]
    return images


def value_counts(images: np.ndarray, levels: int) -> np.ndarray:
    """How often each value is there in each channel, int64 [C, levels], of uint8 [N, C, H, W]."""
    counts = np.zeros((images.shape[1], levels), dtype=np.int64)
    for slab in slabs(images):
        for channel, values in enumerate(np.moveaxis(slab, 1, 0)):
            counts[channel] += np.bincount(values.ravel(), minlength=levels)
    return counts


def moments(counts: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and sd of each channel of the dequantised image (x + 1/2) / levels, but for its noise.

    Args:
        counts: of the values x, [C, levels]; exact, so the result is the same on every machine.

    Returns:
        Two lists of C numbers in 0..1.
    """
    levels = counts.shape[1]
    values = (np.arange(levels) + 0.5) / levels
    means, deviations = [], []
    for channel in counts:
        mean = float(channel @ values / channel.sum())
        means.append(round(mean, 9))
        deviations.append(round(float(np.sqrt(channel @ (values - mean) ** 2 / channel.sum())), 9))
    return means, deviations
