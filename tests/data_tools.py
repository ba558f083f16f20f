"""Prepared datasets of arrays that a test makes."""

from pathlib import Path

import numpy as np

from vaeglow.data.arrays import write_dataset


def prepared(folder: Path, levels: int = 256, name: str | None = None, **splits: np.ndarray) -> Path:
    """A prepared dataset of these arrays, named like its folder if not otherwise."""
    channels, size = splits["train"].shape[1:3]
    info = {
        "name": name or folder.name,
        "kind": "folder",
        "channels": channels,
        "size": size,
        "levels": levels,
        "mean": [0.5] * channels,
        "std": [0.1] * channels,
        "source": {"root": "x"},
    }
    write_dataset(folder, splits, info)
    return folder
