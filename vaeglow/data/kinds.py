"""The kinds of dataset, a module each. Pure: no torch.

A kind's module is named like the kind and has
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

from vaeglow.config import validate
from vaeglow.data import celeba, cifar10, digits, fashion_mnist, folder, npz, photos
from vaeglow.errors import UserError

MODULES = (photos, digits, cifar10, fashion_mnist, celeba, folder, npz)
KINDS = {module.__name__.rpartition(".")[2]: module for module in MODULES}
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$(?!\n)"}
COMMON = {
    "channels": {"enum": [1, 3], "default": 3, "description": "3: RGB, 1: luminance"},
    "size": {"type": "integer", "minimum": 2, "description": "side of the square images"},
    "levels": {"type": "integer", "minimum": 2, "maximum": 256, "default": 256, "description": "values 0..levels-1"},
    "expected_sha256": {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {"train": SHA256, "val": SHA256, "test": SHA256},
        "default": None,
        "description": "hashes of the arrays: other content is an error",
    },
}


def schema_of(kind: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of a dataset of one kind.

    Args:
        kind: a key of `KINDS`.
        more: optional keys besides those of the data.
    """
    keys = {"kind": {"const": kind}, **COMMON, **KINDS[kind].SCHEMA}
    required = [key for key, schema in keys.items() if "default" not in schema]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": {**keys, **more}}


def add_to(schema: dict[str, Any]) -> None:
    """Fill in the definition `dataset` of the config's schema, which has the keys that belong to runs."""
    dataset = schema["$defs"]["dataset"]
    for kind in KINDS:
        schema["$defs"][f"dataset_{kind}"] = schema_of(kind, dataset["properties"])
    dataset["properties"] = {"kind": {"enum": list(KINDS)}}
    dataset["allOf"] = [
        {
            "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
            "then": {"$ref": f"#/$defs/dataset_{kind}"},
        }
        for kind in KINDS
    ]


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
    schema = schema_of(kind, {})
    validate(settings, schema, f"datasets.{name}")
    defaults = {key: inner["default"] for key, inner in schema["properties"].items() if "default" in inner}
    return {**defaults, **settings}
