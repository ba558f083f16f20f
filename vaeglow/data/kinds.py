"""The kinds of dataset, a module each. Pure: no torch.

A kind's module is named like the kind and has
- a docstring whose first line describes it in config/README.md;
- `SCHEMA`: the JSON schema of the keys of its own, with their defaults; a key without one is required;
- `build(settings, name=..., output_dir=..., threads=...)`: from its settings, all keys filled in and checked, to
  `{"train", "val", "test"}` (uint8 [N, C, size, size]; val may have N = 0) and how they were made (JSON, for
  dataset.json). `name` is the dataset's in config. Large arrays lie on the disk of `output_dir` while they are made
  (`arrays.on_disk`), and a download is kept in its folder `download`. No value depends on `threads`;
- `THREADS`, where it decodes many image files: how many threads are of use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vaeglow.config.schema import closed, validate
from vaeglow.data import celeba, cifar10, digits, fashion_mnist, folder, npz, photos
from vaeglow.errors import UserError

MODULES = (photos, digits, cifar10, fashion_mnist, celeba, folder, npz)
KINDS = {module.__name__.rpartition(".")[2]: module for module in MODULES}
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$(?!\n)"}
COMMON = {
    "channels": {"enum": [1, 3], "default": 3, "description": "3 (RGB) or 1 (luminance)"},
    "size": {
        "type": "integer",
        "minimum": 2,
        "description": "side of the square images; a power of two for the ResNet",
    },
    "levels": {
        "type": "integer",
        "minimum": 2,
        "maximum": 256,
        "default": 256,
        "description": "fewer than 256: pixel values become `x * levels // 256`",
    },
    "expected_sha256": {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {"train": SHA256, "val": SHA256, "test": SHA256},
        "default": None,
        "description": "`{train: ..., val: ..., test: ...}`: hashes of the prepared arrays; other content is an error. "
        "`null`: not checked; set it when you change the settings of an embedded dataset",
    },
}


def complete(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with all defaults filled in.

    Args:
        name: the dataset's name in config.
        settings: its entry there, without the keys that belong to runs.

    Raises:
        UserError: unknown kind, an unknown or missing key, or a value out of range.
    """
    kind = settings.get("kind")
    if kind not in KINDS:
        raise UserError(f"dataset {name}: no kind {kind!r}: the kinds are {', '.join(KINDS)}")
    keys = {"kind": {}, **COMMON, **KINDS[kind].SCHEMA}
    validate(settings, closed({"type": "object", "properties": keys}), f"datasets.{name}")
    defaults = {key: inner["default"] for key, inner in keys.items() if "default" in inner}
    return {**defaults, **settings}
