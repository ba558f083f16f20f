"""Dataset kind `digits`: scikit-learn's 8x8 handwritten digits (UCI, Alpaydin & Kaynak 1998), enlarged. No download.

A small grey set for the demo's Table 1, where the paper has Fashion-MNIST.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from vaeglow.data.photos import FILTER
from vaeglow.data.seeds import Stream
from vaeglow.errors import UserError

HIGHEST = 16  # pixel values are 0..16


def build(settings: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Enlarge the 1,797 digits and deal them to the splits by a seeded permutation.

    Args:
        settings: size, channels (1), val_images, test_images, split_seed; the rest of the images train.

    Returns:
        The splits (uint8 [N, 1, size, size]) and how they were made.

    Raises:
        UserError: colour asked for, or no image left to train on.
    """
    from sklearn.datasets import load_digits

    if settings["channels"] != 1:
        raise UserError("digits are grey: set `channels: 1`")
    digits = load_digits().images  # float64 [1797, 8, 8]
    held_out = settings["val_images"] + settings["test_images"]
    if settings["val_images"] < 0 or settings["test_images"] < 1 or held_out >= len(digits):
        raise UserError(
            f"`val_images` + `test_images` is {held_out} of {len(digits)} digits: at least one must test, one train"
        )
    grey = np.round(digits * (255 / HIGHEST)).astype(np.uint8)
    size = settings["size"]
    images = np.stack([np.asarray(Image.fromarray(image).resize((size, size), FILTER)) for image in grey])[:, None]
    order = Stream(settings["split_seed"], "digits").permutation(len(images))
    cuts = np.cumsum([settings["test_images"], settings["val_images"]])
    test, val, train = np.split(order, cuts)
    splits = {"train": images[train], "val": images[val], "test": images[test]}
    source = {"package": "scikit-learn", "credit": "E. Alpaydin, C. Kaynak, UCI (1998); CC BY 4.0"}
    return splits, {**source, "split_seed": settings["split_seed"], "filter": FILTER.name.lower()}
