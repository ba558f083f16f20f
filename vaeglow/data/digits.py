"""scikit-learn's 8x8 handwritten digits (UCI, Alpaydin & Kaynak 1998), enlarged; grey, no download.

A small grey set for the demo's Table 1, where the paper has Fashion-MNIST.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from vaeglow.data.arrays import Made
from vaeglow.data.seeds import SPLIT_SEED, Stream
from vaeglow.errors import UserError

SCHEMA = {
    "channels": {"const": 1},
    "val_images": {"type": "integer", "minimum": 0, "description": "how many of the 1,797 images validate"},
    "test_images": {"type": "integer", "minimum": 1, "description": "how many images test; the rest train"},
    **SPLIT_SEED,
}


def build(settings: Mapping[str, Any], **_: Any) -> Made:
    """Enlarge the 1,797 digits and divide them by a seeded permutation; see `vaeglow.data`."""
    from sklearn.datasets import load_digits

    digits = load_digits().images  # float64 [1797, 8, 8], 0..16
    held_out = settings["val_images"] + settings["test_images"]
    if held_out >= len(digits):
        raise UserError(f"`val_images` + `test_images` is {held_out} of {len(digits)} digits: at least one must train")
    grey = np.round(digits * (255 / 16)).astype(np.uint8)
    side = settings["size"]
    enlarged = [Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC) for image in grey]  # as `photos`
    images = np.stack([np.asarray(image) for image in enlarged])[:, None]
    order = Stream(settings["split_seed"], "digits").permutation(len(images))
    test, val, train = np.split(images[order], [settings["test_images"], held_out])
    source = {"package": "scikit-learn", "credit": "E. Alpaydin, C. Kaynak, UCI (1998); CC BY 4.0"}
    made = {**source, "split_seed": settings["split_seed"], "filter": "bicubic"}
    return {"train": train, "val": val, "test": test}, made
