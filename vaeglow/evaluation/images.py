"""The files FID works on: samples, reference statistics, and whether the two may be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data import arrays
from vaeglow.errors import UserError
from vaeglow.files import sha256_file
from vaeglow.results import Result, read_result

MINIMUM = 6  # images: an image and its k = 5 nearest neighbours (`neighbours`); KID needs 3, FID 2
REFERENCE_KEYS = (
    *("dataset", "protocol", "split", "images", "features", "sets", "stretch", "levels", "image_shape"),
    *("data_sha256", "inputs"),
)


@dataclasses.dataclass(frozen=True)
class Reference:
    """Real images as samples are compared with them, and by which protocol.

    Attributes:
        mean: of the features, float64 [F].
        covariance: of the features, float64 [F, F].
        features: of the images, or of `vaeglow.data.arrays.MOST_FEATURES` of them, spread evenly: float32 [n, F].
        metadata: what they are of, and how samples are measured against them; see `REFERENCE_KEYS`.
    """

    mean: np.ndarray
    covariance: np.ndarray
    features: np.ndarray
    metadata: dict[str, Any]

    @property
    def protocol(self) -> dict[str, Any]:
        """What every result that is measured against it says of the protocol."""
        about = self.metadata
        counts = {"fid_samples": about["images"], "fid_reference_images": about["images"]}
        return (
            {key: about[key] for key in ("protocol", "split", "stretch")} | counts | {"fid_features": about["features"]}
        )


def read_reference(path: str | Path) -> Reference:
    """Read a reference.

    Raises:
        UserError: missing, damaged or something else.
    """
    result = read_result(path, ("mean", "covariance", "features"))
    metadata = {key: result.value(key) for key in REFERENCE_KEYS}
    shape = arrays.kept_of(int(result.number("images"))), metadata["features"]
    if result.arrays["features"].shape != shape:
        raise UserError(
            f"{path} holds features {list(result.arrays['features'].shape)} where its metadata ask for {list(shape)}: "
            "delete it and run the step fid_reference again"
        )
    return Reference(**result.arrays, metadata=metadata)


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


def check_comparable(image_shape: Sequence[int], sampled: Result, reference: Mapping[str, Any], weights: Path) -> None:
    """Refuse to compare what does not belong together.

    Args:
        image_shape: of the samples, (C, H, W).
        sampled: what says what the samples are of: `dataset`, `data_sha256`.
        reference: the reference's metadata.
        weights: file of the Inception weights the samples would be measured with.

    Raises:
        UserError: another dataset or state of its data, other image shapes, other Inception weights.
    """
    pairs = {
        "dataset": (sampled.value("dataset"), reference["dataset"]),
        "data hash": (sampled.value("data_sha256"), reference["data_sha256"]),
        "image shape": (list(image_shape), list(reference["image_shape"])),
        "Inception weights": (sha256_file(weights), next(iter(reference["inputs"].values()), "none")),
    }
    for name, (mine, theirs) in pairs.items():
        if mine != theirs:
            raise UserError(
                f"samples and FID reference differ in {name} ({mine} and {theirs}): make the one that "
                "is out of date again (steps sample, fid_reference)"
            )
