"""Read the files behind a table's measured rows, and refuse those that do not belong in one table. No torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaeglow.errors import UserError
from vaeglow.files import read_json

IDENTITY = ("preset", "dataset", "model", "seed")
HASHES = ("config_sha256", "data_sha256", "weights_sha256")
REMEDY = "run snakemake for the table again, or delete the file that is out of date"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One run (a model under one seed) at one temperature: the three files that describe it."""

    row: Mapping[str, Any]
    seed: int
    metrics: dict[str, Any]
    likelihood: dict[str, Any]
    training: dict[str, Any]


def read_measurements(spec: Mapping[str, Any], results_root: str | Path) -> list[Measurement]:
    """All of a table's runs, row by row and seed by seed, checked one by one and against each other.

    Args:
        spec: see `vaeglow.plan.table_spec`.
        results_root: the folder that holds the presets' folders.

    Raises:
        UserError: a file is missing, lacks a key, holds a NaN, or belongs to another preset, dataset, protocol,
            version of the data, reference, or to other weights than the files beside it.
    """
    root = Path(results_root) / spec["preset"] / spec["dataset"]
    found = [read_one(spec, root, row, seed) for row in spec["rows"] for seed in spec["seeds"]]
    same_for_all(found, "training", "data_sha256", "were trained on different versions of the data")
    same_for_all(found, "metrics", "inception_sha256", "were measured with different Inception weights")
    same_for_all(found, "metrics", "reference_sha256", "were measured against different FID references")
    same_for_all(found, "likelihood", "images", "took bits/dim over different numbers of images")
    same_for_all(found, "likelihood", "dequantisation", "were dequantised differently")
    return found


def read_one(spec: Mapping[str, Any], root: Path, row: Mapping[str, Any], seed: int) -> Measurement:
    """The files of one run at one temperature.

    Raises:
        UserError: see `read_measurements`.
    """
    temperature = float(row["temperature"])
    run = root / row["model"] / f"seed{seed}"
    paths = {
        "metrics": run / "metrics" / spec["protocol"] / f"T{temperature}.json",
        "likelihood": run / "likelihood.json",
        "training": run / "training.json",
    }
    read = {name: read_json(path) for name, path in paths.items()}
    identity = {"preset": spec["preset"], "dataset": spec["dataset"], "model": row["model"], "seed": seed}
    protocol = {
        "protocol": spec["protocol"],
        "split": spec["split"],
        "fid_samples": spec["images"],
        "fid_reference_images": spec["images"],
        "fid_features": spec["features"],
        "temperature": temperature,
    }
    expect(paths["training"], read["training"], identity)
    hashes = {key: value_of(paths["training"], read["training"], key) for key in HASHES}
    expect(paths["likelihood"], read["likelihood"], identity | hashes | {"split": "test"})
    expect(paths["metrics"], read["metrics"], identity | hashes | protocol)
    finite(paths["metrics"], read["metrics"], "fid")
    finite(paths["metrics"], read["metrics"], "exploded_samples")
    finite(paths["likelihood"], read["likelihood"], "bits_per_dim")
    return Measurement(row, seed, **read)


def value_of(path: Path, content: Any, key: str) -> Any:
    """`content[key]`.

    Raises:
        UserError: the file has no such key.
    """
    if not isinstance(content, dict) or key not in content:
        raise UserError(f"{path} lacks '{key}': {REMEDY}")
    return content[key]


def expect(path: Path, content: Any, expected: Mapping[str, Any]) -> None:
    """Every key of `expected` has that value in the file.

    Raises:
        UserError: one has not; the message names key, found and expected value.
    """
    for key, wanted in expected.items():
        found = value_of(path, content, key)
        if found != wanted:
            raise UserError(f"{path}: {key} is {shorten(found)}, the table needs {shorten(wanted)}: {REMEDY}")


def finite(path: Path, content: Mapping[str, Any], key: str) -> None:
    """The value is a finite number.

    Raises:
        UserError: it is not.
    """
    value = value_of(path, content, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{path}: {key} is {value}, not a finite number: evaluate the run again")


def same_for_all(found: list[Measurement], file: str, key: str, problem: str) -> None:
    """A value that no two rows of one table may differ in.

    Raises:
        UserError: two rows differ.
    """
    values: dict[Any, str] = {}
    for one in found:
        name = f"{one.row['model']} (seed {one.seed}, T={float(one.row['temperature'])})"
        values.setdefault(value_of(Path(f"{file}.json of {name}"), getattr(one, file), key), name)
    if len(values) > 1:
        first, second = list(values.values())[:2]
        raise UserError(f"{first} and {second} {problem}: they cannot stand in one table; {REMEDY}")


def shorten(value: Any) -> str:
    """A value for a message: the first 12 digits of a hash."""
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else repr(value)
