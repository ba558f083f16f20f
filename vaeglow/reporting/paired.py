"""Two models compared in pairs, the same seed and the same test images: what tables and the ledger share. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.errors import UserError


def finite_values(path: Path, values: Any, remedy: str = "run snakemake again, or delete the file") -> np.ndarray:
    """Numbers of images as float64 [n]; `path` is where they stand, `remedy` what to do, for the message.

    Raises:
        UserError: no numbers, or not all finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if not array.size or not np.isfinite(array).all():
        raise UserError(f"{path} does not hold a finite number for each image: {remedy}")
    return array


def standard_error(differences: Sequence[np.ndarray]) -> float | None:
    """Of the mean difference over test images, from an array [N] of each seed; None for a single image.

    The images are the same under every seed, so seeds are averaged first.
    """
    values = np.mean(differences, axis=0)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def bound_note(one: str, other: str, name: str, other_name: str) -> str:
    """What it means for a difference of bits/dim, `name` minus `other_name`, that one or both are upper bounds.

    `one` and `other` are the `bound` of their likelihood.json, "<=" or "="; empty where both are exact.
    """
    if one == other:
        return "both numbers are upper bounds, and compared as such" if one == "<=" else ""
    bounded, exact, turn = (name, other_name, "smaller") if one == "<=" else (other_name, name, "larger")
    return (
        f"the number of {exact} is exact for dequantised data, that of {bounded} an upper bound: its own bits/dim can "
        f"only be lower, and the difference {turn}"
    )
