"""The files FID works on: samples, reference statistics, and whether the two may be compared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data import arrays
from vaeglow.data.samples import read_arrays, read_samples
from vaeglow.errors import UserError
from vaeglow.files import atomic_path

__all__ = [
    "Reference",
    "check_comparable",
    "evenly_spaced",
    "read_reference",
    "read_samples",
    "require",
    "write_features",
    "write_reference",
]

MINIMUM = 4  # images: an image and its k = 3 nearest neighbours (`neighbours`); KID needs 3, FID 2
REFERENCE_KEYS = (
    *("dataset", "protocol", "split", "images", "features", "levels", "image_shape"),
    *("data_sha256", "inception_sha256"),
)


@dataclasses.dataclass(frozen=True)
class Reference:
    """Real images as samples are compared with them.

    Attributes:
        mean: of the features, float64 [F].
        covariance: of the features, float64 [F, F].
        features: of each image, float32 [N, F].
        metadata: what they are of; see `REFERENCE_KEYS`.
    """

    mean: np.ndarray
    covariance: np.ndarray
    features: np.ndarray
    metadata: dict[str, Any]


def read_reference(path: str | Path) -> Reference:
    """Read a reference.

    Raises:
        UserError: missing, damaged, something else, or of an older vaeglow that kept no features.
    """
    found, metadata = read_arrays(path, ("mean", "covariance", "features"), REFERENCE_KEYS, "fid_reference")
    shape = metadata["images"], metadata["features"]
    if found["features"].shape != shape:
        raise UserError(
            f"{path} holds features {list(found['features'].shape)} where its metadata say {list(shape)}: delete it "
            "and run the step fid_reference again"
        )
    return Reference(**found, metadata=metadata)


def write_reference(path: str | Path, reference: Reference) -> None:
    """Write a reference with what it is of."""
    arrays = {name: getattr(reference, name) for name in ("mean", "covariance", "features")}
    _write(path, arrays, reference.metadata)


def write_features(path: str | Path, features: np.ndarray, metadata: dict[str, Any]) -> None:
    """Write the features of samples, float32 [N, F] in the samples' order, with what they are of."""
    _write(path, {"features": features}, metadata)


def _write(path: str | Path, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, metadata=np.array(json.dumps(metadata)))


def evenly_spaced(images: np.ndarray, count: int, what: str, protocol: str) -> np.ndarray:
    """The images of a split that a protocol takes: `count`, spread over all of it.

    Raises:
        UserError: fewer images than `count`, or a count below `MINIMUM`.
    """
    require(len(images), count, what, protocol)
    return arrays.evenly_spaced(images, count)


def require(have: int, count: int, what: str, protocol: str) -> None:
    """Refuse to measure with fewer images than the protocol says.

    Raises:
        UserError: fewer images than `count`, or a count below `MINIMUM`.
    """
    if count < MINIMUM:
        raise UserError(
            f"protocol {protocol} asks for {count} images: FID, KID, precision and recall together need at least "
            f"{MINIMUM} (protocols in the config)"
        )
    remedy = f"choose or add a protocol with images: {have} or fewer (protocols in the config), or get more images"
    arrays.require_images(have, count, what, f"protocol {protocol}", remedy)


def check_comparable(
    image_shape: Sequence[int], sampled: dict[str, Any], reference: dict[str, Any], inception_sha256: str
) -> None:
    """Refuse to compare what does not belong together.

    Args:
        image_shape: of the samples, (C, H, W).
        sampled: what the samples are of: `dataset`, `data_sha256`.
        reference: the reference's metadata.
        inception_sha256: content hash of the Inception weights the samples would be measured with.

    Raises:
        UserError: another dataset or state of its data, other image shapes, other Inception weights.
    """
    pairs = {
        "dataset": (sampled["dataset"], reference["dataset"]),
        "data hash": (sampled["data_sha256"], reference["data_sha256"]),
        "image shape": (list(image_shape), list(reference["image_shape"])),
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
