"""Two models compared in pairs, the same seed and the same test images: what tables and the ledger share. No torch."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.reporting.measured import finite, value_of


def finite_values(path: Path, values: Any, remedy: str) -> np.ndarray:
    """Per-image numbers as float64 [n].

    Args:
        path: where they stand, for the message.
        values: what should be such numbers.
        remedy: what to do, for the message.

    Raises:
        UserError: none, not numbers in one row, or not finite.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise UserError(f"{path} does not hold a finite number for each image: {remedy}")
    return array


def image_bits(path: Path, content: Mapping[str, Any], images: Path, remedy: str) -> np.ndarray:
    """The bits/dim of each test image behind a run's headline number (K = 1): float64 [N].

    Args:
        path: the run's likelihood.json.
        content: of that file.
        images: its likelihood.npz.
        remedy: what to do, for messages.

    Raises:
        UserError: a file is missing or damaged, or the two are not of one evaluation.
    """
    finite(path, content, "bits_per_dim")
    try:
        with np.load(images, allow_pickle=False) as archive:
            values = finite_values(images, archive["bits_per_dim_1"], remedy)
    except FileNotFoundError:
        raise UserError(f"{images} does not exist: run the step likelihood first") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{images} is damaged or not made by the step likelihood ({error}): {remedy}") from None
    if len(values) != value_of(path, content, "images") or abs(values.mean() - content["bits_per_dim"]) > 1e-6:
        raise UserError(f"{images} is not what {path} sums up: {remedy}")
    return values


def difference(one: np.ndarray, other: np.ndarray, names: Sequence[str], remedy: str) -> np.ndarray:
    """The first model's number minus the second's, image by image: [N].

    Args:
        one: [N].
        other: [N], of the same images in the same order.
        names: of both runs, for the message.
        remedy: what to do, for the message.

    Raises:
        UserError: not as many images.
    """
    if len(one) != len(other):
        raise UserError(
            f"{names[0]} and {names[1]} have bits/dim of {len(one)} and {len(other)} images, which cannot be paired: "
            f"{remedy}"
        )
    return one - other


def standard_error(differences: Sequence[np.ndarray]) -> float | None:
    """Of the mean difference over test images: every seed's are of the same images, so seeds are averaged first.

    Args:
        differences: one array [N] a seed.

    Returns:
        None for a single image.
    """
    values = np.mean(differences, axis=0)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def bound_note(one: str, other: str, name: str, other_name: str) -> str:
    """What it means for a difference of bits/dim, `name` minus `other_name`, that one or both are upper bounds.

    Args:
        one: `bound` of the first model's likelihood.json, "<=" or "=".
        other: of the second's.
        name: of the first.
        other_name: of the second.

    Returns:
        A clause; empty where both are exact.
    """
    if one == other:
        return "both numbers are upper bounds, and compared as such" if one == "<=" else ""
    bounded, exact, turn = (name, other_name, "smaller") if one == "<=" else (other_name, name, "larger")
    return (
        f"the number of {exact} is exact for dequantised data, that of {bounded} an upper bound: its own bits/dim can "
        f"only be lower, and the difference {turn}"
    )
