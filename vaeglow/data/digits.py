"""scikit-learn's 8x8 handwritten digits (UCI, Alpaydin & Kaynak 1998), enlarged; grey, no download.

A small grey set for the demo's Table 1, where the paper has Fashion-MNIST.
"""

from typing import Any

import numpy as np
from PIL import Image

from vaeglow.config.keys import count
from vaeglow.data.arrays import Made
from vaeglow.data.seeds import SPLIT_SEED, Stream
from vaeglow.errors import UserError
from vaeglow.files import Config

SCHEMA = {
    "channels": {"const": 1},
    "val_images": count("how many of the 1,797 images validate", 0),
    "test_images": count("how many images test; the rest train"),
    **SPLIT_SEED,
}


def build(settings: Config, **_: Any) -> Made:
    """Enlarge the 1,797 digits and divide them by a seeded permutation; see `vaeglow.data`."""
    from sklearn.datasets import load_digits

    digits = load_digits().images  # float64 [1797, 8, 8], 0..16
    held_out = settings["val_images"] + settings["test_images"]
    if held_out >= len(digits):
        raise UserError(f"`val_images` + `test_images` is {held_out} of {len(digits)} digits: at least one must train")
    enlarged = [
        Image.fromarray(image).resize([settings["size"]] * 2, Image.Resampling.BICUBIC)  # as `photos`
        for image in np.round(digits * (255 / 16)).astype(np.uint8)
    ]
    test, val, train = np.split(
        np.stack(enlarged)[Stream(settings["split_seed"], "digits").permutation(len(digits)), None],
        [settings["test_images"], held_out],
    )
    return {"train": train, "val": val, "test": test}, {
        "package": "scikit-learn",
        "credit": "E. Alpaydin, C. Kaynak, UCI (1998); CC BY 4.0",
        "split_seed": settings["split_seed"],
        "filter": "bicubic",
    }
