"""Weights that describe themselves: one safetensors file with the run's config, data statistics and provenance."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vaeglow.errors import UserError
from vaeglow.files import atomic_path
from vaeglow.models.base import GenerativeModel
from vaeglow.models.build import build

KEY = "vaeglow"  # of the one metadata entry, a JSON text


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hex sha256 of named tensors: names, types, shapes and bytes, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_model(path: str | Path, model: GenerativeModel, config: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Write a model's weights to one file, atomically.

    Args:
        path: of the .safetensors file.
        model: the trained model.
        config: its resolved config, from which `load_model` rebuilds it.
        about: what else to keep: data statistics, provenance.

    Returns:
        The sha256 of the tensors, also kept in the file.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    digest = tensors_sha256(tensors)
    text = json.dumps({"config": config, "weights_sha256": digest, **about})
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={KEY: text})
    return digest


def read_tensors(path: str | Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a safetensors file and the JSON its metadata holds under `key`.

    Raises:
        UserError: the file is missing, truncated, no safetensors file, or not one of ours.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = (file.metadata() or {}).get(key)
            if metadata is None:
                raise UserError(f"{path} is a safetensors file but not one that vaeglow wrote: it lacks '{key}' metadata")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata)  # noqa: SIM118
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path} does not exist: train the model first, or check the path") from None
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is truncated or no safetensors file ({reason}): delete it and run again") from None


def load_model(path: str | Path, device: torch.device | str) -> tuple[GenerativeModel, dict[str, Any]]:
    """Rebuild a model from its file alone, in evaluation mode.

    Returns:
        The model on `device`, and the file's metadata: config, weights_sha256, data, provenance.

    Raises:
        UserError: see `read_tensors`; also when tensors are missing, of other shapes, or changed since they
            were written.
    """
    tensors, about = read_tensors(path, KEY)
    if tensors_sha256(tensors) != about.get("weights_sha256"):
        raise UserError(f"{path} is corrupt: its tensors do not have the hash written with them; delete it, run again")
    model = build(about["config"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not fit the model its own config describes ({reason})") from None
    return model.to(device).eval(), about
