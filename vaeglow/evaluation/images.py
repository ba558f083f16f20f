"""The files FID works on: samples, reference statistics, and whether the two may be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data import arrays
from vaeglow.data.samples import read_arrays, read_samples
from vaeglow.errors import UserError
from vaeglow.files import atomic_path

__all__ = ["check_comparable", "evenly_spaced", "read_reference", "read_samples", "require", "write_reference"]

REFERENCE_KEYS = (
    *("dataset", "protocol", "split", "images", "features", "levels", "image_shape"),
    *("data_sha256", "inception_sha256"),
)


def read_reference(path: str | Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Read reference statistics.

    Returns:
        Mean [F], covariance [F, F], metadata.

    Raises:
        UserError: missing, damaged or something else.
    """
    found, metadata = read_arrays(path, ("mean", "covariance"), REFERENCE_KEYS, "fid_reference")
    return found["mean"], found["covariance"], metadata


def write_reference(path: str | Path, mean: np.ndarray, covariance: np.ndarray, metadata: dict[str, Any]) -> None:
    """Write reference statistics with what they are of."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, mean=mean, covariance=covariance, metadata=np.array(json.dumps(metadata)))


def evenly_spaced(images: np.ndarray, count: int, what: str, protocol: str) -> np.ndarray:
    """The images of a split that a protocol takes: `count`, spread over all of it.

    Raises:
        UserError: fewer images than `count`, or a count below 2.
    """
    require(len(images), count, what, protocol)
    return arrays.evenly_spaced(images, count)


def require(have: int, count: int, what: str, protocol: str) -> None:
    """Refuse to measure with fewer images than the protocol says.

    Raises:
        UserError: fewer images than `count`, or a count below 2.
    """
    if count < 2:
        raise UserError(
            f"protocol {protocol} asks for {count} images: an FID needs at least 2 (protocols in the config)"
        )
    remedy = f"choose or add a protocol with images: {have} or fewer (protocols in the config), or get more images"
    arrays.require_images(have, count, what, f"protocol {protocol}", remedy)


def check_comparable(
    samples: np.ndarray, sampled: dict[str, Any], reference: dict[str, Any], inception_sha256: str
) -> None:
    """Refuse to compare what does not belong together.

    Args:
        samples: the images, [N, C, H, W].
        sampled: their metadata.
        reference: the reference statistics' metadata.
        inception_sha256: content hash of the Inception weights the samples would be measured with.

    Raises:
        UserError: another dataset or state of its data, other image shapes, other Inception weights.
    """
    pairs = {
        "dataset": (sampled["dataset"], reference["dataset"]),
        "data hash": (sampled["data_sha256"], reference["data_sha256"]),
        "image shape": (list(samples.shape[1:]), list(reference["image_shape"])),
        "Inception weights": (inception_sha256, reference["inception_sha256"]),
    }
    for name, (mine, theirs) in pairs.items():
        if mine != theirs:
            raise UserError(
                f"samples and FID reference differ in {name} ({_short(mine)} and {_short(theirs)}): make the one that "
                "is out of date again (steps sample, fid_reference)"
            )


def _short(value: Any) -> str:
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)
