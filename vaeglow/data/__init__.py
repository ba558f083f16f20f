"""The kinds of dataset, a module each, and how an entry of config becomes arrays on disk. No torch but in `loader`.

A kind's module is named like the kind and has
- a docstring whose first line describes it in config/README.md;
- `SCHEMA`: the JSON schema of its own keys, with their defaults; a key without one is required;
- `build(settings, name=..., output_dir=..., threads=...)`: from its settings, all keys filled in and checked, to
  `{"train", "val", "test"}` (uint8 [N, C, size, size]; val may have N = 0) and how they were made (JSON, for
  dataset.json); UserError where files or settings do not fit. `name` is the dataset's in config. Large arrays lie on
  the disk of `output_dir` while they are made (`arrays.on_disk`), a download is kept in its folder `download`. No
  value depends on `threads`;
- `THREADS`, where it decodes many image files: how many threads are useful.
"""

from pathlib import Path

import numpy as np
from numpy import ndarray

from vaeglow.config.keys import choice, count
from vaeglow.data import celeba, cifar10, digits, fashion_mnist, folder, npz, photos
from vaeglow.data.arrays import array_sha256, slabs, write_dataset
from vaeglow.errors import UserError
from vaeglow.files import Config, Facts

MODULES = (photos, digits, cifar10, fashion_mnist, celeba, folder, npz)
KINDS = {module.__name__.rpartition(".")[2]: module for module in MODULES}
SHA256 = {"$ref": "#/$defs/sha256"}
COMMON = {
    "channels": choice("3 (RGB) or 1 (luminance)", 1, 3, default=3),
    "size": count("side of the square images; a power of two for the ResNet", 2),
    "levels": count("fewer than 256: pixel values become `x * levels // 256`", 2, maximum=256, default=256),
    "expected_sha256": {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {"train": SHA256, "val": SHA256, "test": SHA256},
        "default": None,
        "description": "`{train: ..., val: ..., test: ...}`: hashes of the prepared arrays; other content is an error. "
        "`null`: not checked; set it when you change the settings of an embedded dataset",
    },
}


def complete(settings: Config) -> Facts:
    """The settings of a checked config, with all defaults filled in."""
    keys = COMMON | KINDS[settings["kind"]].SCHEMA
    return {**{key: inner["default"] for key, inner in keys.items() if "default" in inner}, **settings}


def prepare(name: str, settings: Config, output_dir: str | Path, threads: int = 1) -> Facts:
    """Make a dataset and write it with `arrays.write_dataset`; returns the content of dataset.json.

    Args:
        name: the dataset's name in config.
        settings: its entry there, checked, without the keys that belong to runs.
        output_dir: where the arrays and dataset.json go.
        threads: that decode image files; what is written does not depend on it.

    Raises:
        UserError: images that do not fit, or content other than expected.
    """
    settings = complete(settings)
    splits, source = KINDS[settings["kind"]].build(settings, name=name, output_dir=Path(output_dir), threads=threads)
    levels = settings["levels"]
    if levels < 256:
        table = (np.arange(256) * levels // 256).astype(np.uint8)
        for images in splits.values():
            for slab in slabs(images):
                slab[:] = table[slab]
    for split, expected in (settings["expected_sha256"] or {}).items():
        digest = array_sha256(splits[split])
        if digest != expected:
            raise UserError(
                f"dataset {name}: sha256 of the {split} split is {digest}, expected_sha256 says {expected}: changed "
                "settings, other images, or another JPEG decoder (another Pillow) whose last bits differ; to accept "
                f"the new data, remove datasets.{name}.expected_sha256 or set it to null in an overlay"
            )
    mean, std = moments(value_counts(splits["train"], levels))
    return write_dataset(
        output_dir,
        splits,
        {**settings, "name": name, "mean": mean, "std": std, "source": source},
    )


def value_counts(images: ndarray, levels: int) -> ndarray:
    """How often each value occurs in each channel, int64 [C, levels], of uint8 [N, C, H, W]."""
    counts = np.zeros((images.shape[1], levels), dtype=np.int64)
    for slab in slabs(images):
        counts += [np.bincount(values.ravel(), minlength=levels) for values in np.moveaxis(slab, 1, 0)]
    return counts


def moments(counts: ndarray) -> tuple[list, list]:
    """Mean and sd of each channel of (x + 1/2) / levels, from counts of the values x, [C, levels]: numbers in 0..1.

    Counts are exact, so the result is the same on every machine.
    """
    values = (np.arange(counts.shape[1]) + 0.5) / counts.shape[1]
    shares = counts / counts.sum(1, keepdims=True)  # [C, levels]
    means = shares @ values
    variances = (shares * (values - means[:, None]) ** 2).sum(1)
    return means.round(9).tolist(), np.sqrt(variances).round(9).tolist()
