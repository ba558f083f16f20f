"""Files of arrays with a JSON text that says what they are of, such as the samples that the step `sample` drew."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.files import atomic_path, explain_os_error
from vaeglow.provenance import seal

KEPT = 10_000  # images of a set whose Inception features are kept: memory, disk and time do not grow beyond
SAMPLES_KEYS = ("preset", "dataset", "model", "seed", "temperature", "config_sha256", "data_sha256", "weights_sha256")


def kept_of(images: int) -> int:
    """Of how many images of a set the Inception features are kept, for KID, precision and the like; FID takes all."""
    return min(images, KEPT)


def read_samples(path: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Read a samples file.

    Returns:
        Images uint8 [N, C, H, W] and their metadata.

    Raises:
        UserError: missing, damaged or something else.
    """
    arrays, metadata = read_arrays(path, ("images",), SAMPLES_KEYS, "sample")
    return arrays["images"], metadata


def read_arrays(
    path: str | Path, names: tuple[str, ...], keys: tuple[str, ...], step: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read an npz file that holds `metadata`, a JSON text, beside its arrays.

    Args:
        path: of the file.
        names: the arrays wanted.
        keys: what the metadata must say.
        step: the step that writes such files, for messages.

    Raises:
        UserError: missing, damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names}
            metadata = json.loads(str(archive["metadata"]))
        missing = [key for key in keys if key not in metadata]
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run the step {step} first") from None
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and isinstance(known := explain_os_error(error, path), UserError):
            raise known from None  # permission, too many open files: the file may be as good as ever
        raise UserError(
            f"{path} is damaged or not made by the step {step} ({error}): delete it and run again"
        ) from None
    if missing:
        raise UserError(f"{path} does not say its {', '.join(missing)}: delete it and run the step {step} again")
    return arrays, metadata


def write_arrays(path: str | Path, metadata: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz file that `read_arrays` reads; whole or not at all.

    Args:
        path: of the file.
        metadata: JSON-able; what has a `provenance` is sealed (`vaeglow.provenance.seal`).
        arrays: by name.

    Raises:
        UserError: no room or no permission to write there.
    """
    sealed = seal(metadata, arrays) if "provenance" in metadata else metadata
    text = json.dumps(sealed, allow_nan=False)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, metadata=np.array(text))
