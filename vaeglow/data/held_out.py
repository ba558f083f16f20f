"""A val split taken off the training images."""

from __future__ import annotations

import numpy as np

from vaeglow.data.seeds import Stream
from vaeglow.errors import UserError


def hold_out(count: int, val_images: int, seed: int, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Deal training images to train and val, by a seeded permutation.

    Args:
        count: of training images.
        val_images: so many off its end are val.
        seed: `split_seed` of the dataset.
        key: which kind of dataset.

    Returns:
        Indices int64 [count - val_images] and [val_images]; the first ones of either are a fair subset.

    Raises:
        UserError: nothing is left to train on.
    """
    if not 0 <= val_images < count:
        raise UserError(f"`val_images` is {val_images}: it must lie in 0..{count - 1}, some images must train")
    order = Stream(seed, key).permutation(count)
    return order[: count - val_images], order[count - val_images :]
