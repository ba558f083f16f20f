"""Files of arrays with a JSON text that says what they are of, such as the samples that the step `sample` drew."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.files import explain_os_error

SAMPLES_KEYS = ("preset", "dataset", "model", "seed", "temperature", "config_sha256", "data_sha256", "weights_sha256")


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
