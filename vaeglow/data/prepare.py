"""From a dataset's settings to arrays on disk: the one entry for every kind."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data import celeba, cifar10, digits, fashion_mnist, folder, npz, photos
from vaeglow.data.arrays import SPLITS, array_sha256, write_dataset
from vaeglow.data.stored import Images, StoredImages, slabs
from vaeglow.errors import UserError

REQUIRED = {
    "photos": ("size", "pictures", "crop_sides", "train_images", "val_images", "test_images"),
    "digits": ("size", "val_images", "test_images"),
    "cifar10": (),
    "fashion_mnist": (),
    "celeba": (),
    "folder": ("root", "size"),
    "npz": ("file", "size"),
}
# The one place of the optional keys' defaults, so that a user's overlay may be short.
COMMON_DEFAULTS = {
    "channels": 3,  # 3: RGB, 1: luminance
    "levels": 256,  # pixel values 0..levels-1
    "split_seed": 0,
    "expected_sha256": None,  # {split: sha256 of the array}: another content is an error
}
SOURCES = {"local": None, "sources": ()}  # where files of a published dataset come from
DEFAULTS = {
    "photos": COMMON_DEFAULTS,
    "digits": {**COMMON_DEFAULTS, "channels": 1},
    "cifar10": {**COMMON_DEFAULTS, **SOURCES, "size": 32, "val_images": 0},
    "fashion_mnist": {**COMMON_DEFAULTS, **SOURCES, "channels": 1, "size": 28, "val_images": 0},
    "celeba": {**COMMON_DEFAULTS, **SOURCES, "size": 64, "crop": 128},
    "folder": {**COMMON_DEFAULTS, "test_fraction": None, "val_fraction": 0.0, "on_broken": "error"},
    "npz": {**COMMON_DEFAULTS, "val_images": 0},
}
NOT_DATA = ("models", "training", "evaluation", "train_subset")  # what a dataset's entry may change in its runs


def prepare(name: str, settings: dict[str, Any], output_dir: str | Path, workers: int = 1) -> dict[str, Any]:
    """Make a dataset and write it with `arrays.write_dataset`.

    Args:
        name: the dataset's name in config.
        settings: its entry there; keys of `REQUIRED` and `DEFAULTS`.
        output_dir: where the arrays and dataset.json go.
        workers: processes that read image files, where there are many; what is written does not depend on it.

    Returns:
        What dataset.json says, but for counts and hashes.

    Raises:
        UserError: settings or images that will not do, or content other than expected.
    """
    settings = complete(name, settings)
    levels = settings["levels"]
    splits, source = build(name, settings, Path(output_dir), workers)
    splits = {split: quantise(splits[split], levels) for split in SPLITS}
    for split, expected in (settings["expected_sha256"] or {}).items():
        found = array_sha256(splits[split])
        if found != expected:
            raise UserError(
                f"dataset {name}: sha256 of the {split} split is {found}, expected_sha256 says {expected}: changed "
                "settings, other images, or another JPEG decoder (another Pillow) whose last bits differ; to accept "
                f"the new data, remove datasets.{name}.expected_sha256 or set it to null in an overlay"
            )
    mean, std = channel_statistics(splits["train"], levels)
    shape = {key: settings[key] for key in ("channels", "size", "levels")}
    info = {"name": name, "kind": settings["kind"], **shape, "mean": mean, "std": std, "source": source}
    write_dataset(output_dir, splits, info)
    return info


def build(
    name: str, settings: dict[str, Any], output_dir: Path, workers: int
) -> tuple[dict[str, np.ndarray] | dict[str, StoredImages], dict[str, Any]]:
    """The splits of a dataset, uint8 [N, C, size, size], and how they were made; see `prepare`."""
    match settings["kind"]:
        case "photos":
            return photos.build(settings)[:2]
        case "digits":
            return digits.build(settings)
        case "cifar10":
            return cifar10.build(name, settings, output_dir)
        case "fashion_mnist":
            return fashion_mnist.build(name, settings, output_dir)
        case "celeba":
            return celeba.build(name, settings, output_dir, workers)
        case "npz":
            return npz.build(settings, output_dir)
        case _:
            return folder.build(settings, workers)


def complete(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with all defaults filled in.

    Raises:
        UserError: unknown kind, an unknown or missing key, or a common value out of range.
    """
    kind = settings.get("kind")
    if kind not in DEFAULTS:
        raise UserError(f"dataset {name}: no kind {kind!r}: the kinds are {', '.join(DEFAULTS)}")
    legal = ("kind", *REQUIRED[kind], *DEFAULTS[kind], *NOT_DATA)
    for key in settings:
        if key not in legal:
            close = get_close_matches(key, legal, 1)
            hint = f"did you mean {close[0]}?" if close else f"legal keys are {', '.join(legal)}"
            raise UserError(f"dataset {name}: kind {kind} has no key {key!r}: {hint}")
    missing = [key for key in REQUIRED[kind] if key not in settings]
    if missing:
        raise UserError(f"dataset {name}: kind {kind} needs {', '.join(missing)}: set it in datasets.{name}")
    full = {**DEFAULTS[kind], **settings}
    if full["channels"] not in (1, 3):
        raise UserError(f"dataset {name}: `channels` is {full['channels']}: it must be 1 or 3")
    if not (isinstance(full["size"], int) and full["size"] > 0):
        raise UserError(f"dataset {name}: `size` is {full['size']}: it must be a positive whole number")
    if not (isinstance(full["levels"], int) and 2 <= full["levels"] <= 256):
        raise UserError(f"dataset {name}: `levels` is {full['levels']}: it must be a whole number in 2..256")
    unknown = set(full["expected_sha256"] or {}) - set(SPLITS)
    if unknown:
        raise UserError(
            f"dataset {name}: expected_sha256 names {', '.join(unknown)}: the splits are {', '.join(SPLITS)}"
        )
    return full


def quantise(images: Images, levels: int) -> Images:
    """8-bit values to 0..levels-1: x * levels // 256."""
    if levels == 256:
        return images
    table = (np.arange(256) * levels // 256).astype(np.uint8)
    return images.mapped(table.__getitem__) if isinstance(images, StoredImages) else table[images]


def channel_statistics(images: Images, levels: int) -> tuple[list[float], list[float]]:
    """Mean and sd of each channel of (x + 1/2) / levels: of the dequantised image, but for its noise.

    Args:
        images: uint8 [N, C, H, W], N > 0.
        levels: 2..256.

    Returns:
        Two lists of C numbers in 0..1, from exact counts of each value, so the same on every machine.
    """
    return moments(value_counts(images, levels))


def value_counts(images: Images, levels: int) -> np.ndarray:
    """How often each value is there in each channel, int64 [C, levels], of uint8 [N, C, H, W]."""
    counts = np.zeros((images.shape[1], levels), dtype=np.int64)
    for slab in slabs(images):
        for channel, values in enumerate(np.moveaxis(slab, 1, 0)):
            counts[channel] += np.bincount(values.ravel(), minlength=levels)
    return counts


def moments(counts: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and sd of each channel of (x + 1/2) / levels, from counts [C, levels] of the values x; N > 0."""
    levels = counts.shape[1]
    values = (np.arange(levels) + 0.5) / levels
    means, deviations = [], []
    for channel in counts:
        mean = float(channel @ values / channel.sum())
        means.append(round(mean, 9))
        deviations.append(round(float(np.sqrt(channel @ (values - mean) ** 2 / channel.sum())), 9))
    return means, deviations
