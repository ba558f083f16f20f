"""The files FID works on: samples, reference statistics, and whether the two may be compared."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.files import atomic_path

SAMPLES_KEYS = ("preset", "dataset", "model", "seed", "temperature", "config_sha256", "data_sha256", "weights_sha256")
REFERENCE_KEYS = ("dataset", "protocol", "split", "images", "features", "levels", "image_shape")
REFERENCE_KEYS = (*REFERENCE_KEYS, "data_sha256", "inception_sha256")


def read_samples(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Read a samples file.

    Returns:
        Images uint8 [N, C, H, W] and their metadata.

    Raises:
        UserError: missing, damaged or something else.
    """
    arrays, metadata = _read(path, ("images",), SAMPLES_KEYS, "sample")
    return arrays["images"], metadata


def read_reference(path: str | Path) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Read reference statistics.

    Returns:
        Mean [F], covariance [F, F], metadata.

    Raises:
        UserError: missing, damaged or something else.
    """
    arrays, metadata = _read(path, ("mean", "covariance"), REFERENCE_KEYS, "fid_reference")
    return arrays["mean"], arrays["covariance"], metadata


def write_reference(path: str | Path, mean: np.ndarray, covariance: np.ndarray, metadata: dict[str, Any]) -> None:
    """Write reference statistics with what they are of."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, mean=mean, covariance=covariance, metadata=np.array(json.dumps(metadata)))


def _read(
    path: str | Path, names: tuple[str, ...], keys: tuple[str, ...], step: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names}
            metadata = json.loads(str(archive["metadata"]))
        missing = [key for key in keys if key not in metadata]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run the step {step} first") from None
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path} is damaged or not made by the step {step} ({error}): delete it and run again"
        ) from None
    if missing:
        raise UserError(f"{path} does not say its {', '.join(missing)}: delete it and run the step {step} again")
    return arrays, metadata


def evenly_spaced(images: np.ndarray, count: int, what: str, protocol: str) -> np.ndarray:
    """Take `count` images spread over the whole array (all of them when it has just as many).

    Spread, because a folder's or a picture's images may lie side by side.

    Raises:
        UserError: fewer images than `count`, or a count below 2.
    """
    require(len(images), count, what, protocol)
    return images[np.arange(count) * len(images) // count]


def require(have: int, count: int, what: str, protocol: str) -> None:
    """Refuse to measure with fewer images than the protocol says.

    Raises:
        UserError: fewer images than `count`, or a count below 2.
    """
    if count < 2:
        raise UserError(
            f"protocol {protocol} asks for {count} images: an FID needs at least 2 (protocols in the config)"
        )
    if have < count:
        raise UserError(
            f"{what} has {have} images but protocol {protocol} asks for {count}: "
            f"choose or add a protocol with images: {have} or fewer (protocols in the config), or get more images"
        )


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
