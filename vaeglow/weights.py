"""Weights that describe themselves: one safetensors file with the run's config, data statistics and provenance."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from os import strerror
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vaeglow.device import image_layout
from vaeglow.errors import MAKE_AGAIN, DamagedFile, UserError, first_line
from vaeglow.files import AnyPath, Facts, atomic_path, explain_os_error, sha256_json
from vaeglow.models.base import GenerativeModel, build

# Of the metadata entry, a JSON text, that describes a model, a state of training, the snapshots of a run.
KEY = "vaeglow"
STATE_KEY = "vaeglow_checkpoint"
SNAPSHOTS_KEY = "vaeglow_snapshots"
HALF = torch.float16  # of released weights; a model computes in float32
Tensors = dict[str, Tensor]  # by name
SEAL = "sha256"  # in the description, the hash of all else in it. One entry: safetensors writes several in any order


def tensors_sha256(tensors: Tensors) -> str:
    """Hex sha256 of named tensors: names, types, shapes and bytes, in order of name."""
    digest = sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_tensors(path: AnyPath, tensors: Tensors, key: str, about: Facts) -> str:
    """Write tensors and a JSON description to one safetensors file, atomically, both under hashes of their own.

    Args:
        path: of the file.
        tensors: on any device.
        key: of the metadata entry for `about`.
        about: JSON-able; `weights_sha256`, the hash of the tensors, is added.

    Returns:
        The sha256 of the tensors.

    Raises:
        UserError: no room or no permission to write there.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    digest = tensors_sha256(tensors)
    about = {**about, "weights_sha256": digest}
    text = json.dumps(about | {SEAL: sha256_json(about)})
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={key: text})
        except SafetensorError as error:
            match = re.search(r"os error (\d+)", str(error))
            if match is None:
                raise
            number = int(match[1])
            raise OSError(number, strerror(number)) from error  # such as a full disk
    return digest


def read_tensors(path: AnyPath, key: str) -> tuple[Tensors, Facts]:
    """The tensors of a file that `write_tensors` wrote, and its description under `key`.

    Raises:
        DamagedFile: the file is missing, truncated, not a safetensors file, not one of ours, or changed since it was
            written.
        UserError: it cannot be read at the moment: permission, memory, too many open files.
    """
    if not Path(path).is_file():
        raise DamagedFile(f"{path} is missing or not a file: train the model first, or check the path")
    try:
        open(path, "rb").close()  # safetensors reports any unreadable file as missing
    except OSError as error:
        raise explain_os_error(error, path) from None
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(key)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DamagedFile(
            f"{path} is truncated or not a safetensors file ({first_line(error)}): check the path; {MAKE_AGAIN}"
        ) from None
    if text is None:
        raise DamagedFile(f"{path} has no '{key}' metadata, so it is another kind of file: check the path")
    with suppress(ValueError, RecursionError):
        about = json.loads(text)
        sealed = isinstance(about, dict) and about.pop(SEAL, None) == sha256_json(about)
        if sealed and tensors_sha256(tensors) == about.get("weights_sha256"):
            return tensors, about
    raise DamagedFile(f"{path} is corrupt: its content does not have the hash written with it; {MAKE_AGAIN}")


def load_model(path: AnyPath, device: torch.device | str) -> tuple[GenerativeModel, Facts]:
    """Rebuild a model from its file alone, in evaluation mode.

    The file may be untrusted: the sizes in its config are compared with its tensors before memory is allocated.

    Returns:
        The model on `device`, and the file's metadata: config, weights_sha256, data, provenance.

    Raises:
        UserError: see `read_tensors`; also when the tensors are not those of the model that the config describes.
    """
    tensors, about = read_tensors(path, KEY)
    most = sum(tensor.numel() for tensor in tensors.values())
    try:
        for size in sizes(about["config"]):
            if not size <= most:  # NaN is neither more nor less
                raise ValueError(f"a size of {size} in a model of {most} numbers")
        with torch.device("meta"):
            model = build(about["config"])
        # copied: a tensor in a file may be unaligned in memory, and kernels then round differently
        whole = {name: tensor.float() if tensor.dtype == HALF else tensor.clone() for name, tensor in tensors.items()}
        model.load_state_dict(whole, assign=True)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} does not fit the model its own config describes ({reason})") from None
    return model.to(device, memory_format=image_layout(device)).eval(), about


def sizes(config: Any) -> Iterator[float]:
    """All numbers in a config that could be sizes of a network, at any depth."""
    if isinstance(config, Mapping):
        for key in config.keys() - {"training", "seed", "data"}:
            yield from sizes(config[key])
    elif isinstance(config, int | float):
        yield config
