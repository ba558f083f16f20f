"""The files FID works on: samples, reference statistics, and whether the two may be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data import arrays
from vaeglow.data.samples import kept_of, read_arrays, read_samples, write_arrays
from vaeglow.errors import UserError

__all__ = [
    "Reference",
    "Spread",
    "check_comparable",
    "evenly_spaced",
    "read_reference",
    "read_samples",
    "require",
    "write_features",
    "write_reference",
]

MINIMUM = 6  # images: an image and its k = 5 nearest neighbours (`neighbours`); KID needs 3, FID 2
REFERENCE_KEYS = (
    *("dataset", "protocol", "split", "images", "features", "sets", "stretch", "levels", "image_shape"),
    *("data_sha256", "inception_sha256"),
)


@dataclasses.dataclass(frozen=True)
class Reference:
    """Real images as samples are compared with them, and by which protocol.

    Attributes:
        mean: of the features, float64 [F].
        covariance: of the features, float64 [F, F].
        features: of the images, or of `vaeglow.data.samples.KEPT` of them, spread evenly: float32 [n, F].
        metadata: what they are of, and how samples are measured against them; see `REFERENCE_KEYS`.
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
    shape = kept_of(metadata["images"]), metadata["features"]
    if found["features"].shape != shape:
        raise UserError(
            f"{path} holds features {list(found['features'].shape)} where its metadata ask for {list(shape)}: "
            "delete it and run the step fid_reference again"
        )
    return Reference(**found, metadata=metadata)


def write_reference(path: str | Path, reference: Reference) -> None:
    """Write a reference with what it is of."""
    arrays = {name: getattr(reference, name) for name in ("mean", "covariance", "features")}
    write_arrays(path, reference.metadata, arrays)


def write_features(path: str | Path, features: np.ndarray, metadata: dict[str, Any]) -> None:
    """Write the features of samples, float32 [n, F] in the samples' order, with what they are of."""
    write_arrays(path, metadata, {"features": features})


class Spread:
    """`count` images spread over a split, read from it as they are asked for: never all in memory.

    Has what `vaeglow.evaluation.fid.extract_features` asks of an array: length, shape, type and slices.

    Args:
        images: uint8 [N, C, H, W], memory-mapped perhaps, N at least `count`.
        count: how many.
    """

    def __init__(self, images: np.ndarray, count: int) -> None:
        self.images, self.indices = images, arrays.evenly_spaced(np.arange(len(images)), count)
        self.shape, self.dtype, self.ndim = (count, *images.shape[1:]), images.dtype, images.ndim

    def __len__(self) -> int:
        """How many images."""
        return len(self.indices)

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        """Some of the images, in memory."""
        return self.images[self.indices[which]]


def evenly_spaced(images: np.ndarray, count: int, what: str, protocol: str) -> Spread:
    """The images of a split that a protocol takes: `count`, spread over all of it.

    Raises:
        UserError: fewer images than `count`, or a count below `MINIMUM`.
    """
    require(len(images), count, what, protocol)
    return Spread(images, count)


def require(have: int, count: int, what: str, protocol: str, sets: int = 1) -> None:
    """Refuse to measure with fewer images than the protocol says.

    Args:
        have: images there are.
        count: images of a set.
        what: where they are, for the message.
        protocol: its name.
        sets: how many sets are wanted.

    Raises:
        UserError: fewer images than `sets` times `count`, or a count below `MINIMUM`.
    """
    if count < MINIMUM:
        raise UserError(
            f"protocol {protocol} asks for {count} images: FID, KID, precision, recall, density and coverage together "
            f"need at least {MINIMUM} (protocols in the config)"
        )
    fewer = f"sets: {max(1, have // count)} or fewer" if sets > 1 else f"images: {have} or fewer"
    remedy = f"choose or add a protocol with {fewer} (protocols in the config), or get more images"
    arrays.require_images(have, sets * count, what, f"protocol {protocol}", remedy)


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
