"""A safetensors file against the two hashes in it: of its tensors and of its description. No torch, no model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vaeglow.verification.report import Mismatch

SEAL = "sha256"  # of the metadata entry that holds the description's hash, as `vaeglow.weights` writes it


def read_described(path: Path) -> dict[str, Any]:
    """What a file that `vaeglow.weights.write_tensors` wrote says of itself, both its hashes checked.

    Raises:
        Mismatch: truncated, no safetensors file, not one of vaeglow's, or changed since it was written.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = tensors_sha256(file)
    except SafetensorError as error:
        reason = str(error).splitlines()[0]
        raise Mismatch("truncated or no safetensors file", "a whole file", reason) from None
    key = next((name for name in metadata if name.startswith("vaeglow")), None)
    if key is None or SEAL not in metadata:
        raise Mismatch("not one of vaeglow's", "metadata of vaeglow", ", ".join(metadata) or "none")
    found = hashlib.sha256(metadata[key].encode()).hexdigest()
    if found != metadata[SEAL]:
        raise Mismatch("its description is not what was written", metadata[SEAL], found)
    about = json.loads(metadata[key])
    if tensors != about["weights_sha256"]:
        raise Mismatch("its tensors are not what was written", about["weights_sha256"], tensors)
    return about


def tensors_sha256(file: safe_open) -> str:
    """`vaeglow.weights.tensors_sha256`, tensor by tensor from disk."""
    digest = hashlib.sha256()
    for name in sorted(file.keys()):
        array = file.get_tensor(name)
        digest.update(f"{name} torch.{array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
