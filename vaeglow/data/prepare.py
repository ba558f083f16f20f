"""From a dataset's settings to arrays on disk: the one entry for every kind."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data import celeba, cifar10, digits, fashion_mnist, folder, photos
from vaeglow.data.arrays import SPLITS, array_sha256, write_dataset
from vaeglow.errors import UserError

REQUIRED = {
    "photos": ("size", "pictures", "crop_sides", "train_images", "val_images", "test_images"),
    "digits": ("size", "val_images", "test_images"),
    "cifar10": (),
    "fashion_mnist": (),
    "celeba": (),
    "folder": ("root", "size"),
}
# The one place of the optional keys' defaults, so that a user's overlay may be short.
COMMON_DEFAULTS = {
    "channels": 3,  # 3: RGB, 1: luminance
    "levels": 256,  # pixel values 0..levels-1
    "split_seed": 0,
    "expected_sha256": None,  # {split: sha256 of the array}: another content is an error
}
DEFAULTS = {
    "photos": COMMON_DEFAULTS,
    "digits": {**COMMON_DEFAULTS, "channels": 1},
    "cifar10": {**COMMON_DEFAULTS, "size": 32, "local": None, "val_images": 0},
    "fashion_mnist": {**COMMON_DEFAULTS, "channels": 1, "size": 28, "local": None, "val_images": 0},
    "celeba": {**COMMON_DEFAULTS, "size": 64, "local": None, "crop": 128},
    "folder": {**COMMON_DEFAULTS, "test_fraction": None, "val_fraction": 0.0, "on_broken": "error"},
}
DOWNLOADED = {"cifar10": cifar10, "fashion_mnist": fashion_mnist, "celeba": celeba}
NOT_DATA = ("models", "training", "evaluation", "train_subset")  # what a dataset's entry may change in its runs


def prepare(name: str, settings: dict[str, Any], output_dir: str | Path) -> dict[str, Any]:
    """Make a dataset and write it with `arrays.write_dataset`.

    Args:
        name: the dataset's name in config.
        settings: its entry there; keys of `REQUIRED` and `DEFAULTS`.
        output_dir: where the arrays and dataset.json go.

    Returns:
        What dataset.json says, but for counts and hashes.

    Raises:
        UserError: settings or images that will not do, or content other than expected.
    """
    settings = complete(name, settings)
    kind, levels = settings["kind"], settings["levels"]
    if kind == "photos":
        splits, source, _ = photos.build(settings)
    elif kind == "digits":
        splits, source = digits.build(settings)
    elif kind in DOWNLOADED:
        splits, source = DOWNLOADED[kind].build(settings, Path(output_dir))
    else:
        splits, source = folder.build(settings)
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
    info = {"name": name, "kind": kind, **shape, "mean": mean, "std": std, "source": source}
    write_dataset(output_dir, splits, info)
    return info


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


def quantise(images: np.ndarray, levels: int) -> np.ndarray:
    """8-bit values to 0..levels-1: x * levels // 256."""
    if levels == 256:
        return images
    return (np.arange(256) * levels // 256).astype(np.uint8)[images]


def channel_statistics(images: np.ndarray, levels: int) -> tuple[list[float], list[float]]:
    """Mean and sd of each channel of (x + 1/2) / levels: of the dequantised image, but for its noise.

    Args:
        images: uint8 [N, C, H, W], N > 0.
        levels: 2..256.

    Returns:
        Two lists of C numbers in 0..1, from exact counts of each value, so the same on every machine.
    """
    values = (np.arange(levels) + 0.5) / levels
    means, deviations = [], []
    for channel in range(images.shape[1]):
        counts = np.zeros(levels, dtype=np.int64)
        for start in range(0, len(images), 1000):
            counts += np.bincount(images[start : start + 1000, channel].ravel(), minlength=levels)
        mean = float(counts @ values / counts.sum())
        means.append(round(mean, 9))
        deviations.append(round(float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum())), 9))
    return means, deviations
