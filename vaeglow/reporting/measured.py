"""Read the files behind a table's measured rows, and refuse those that do not belong in one table. No torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vaeglow.errors import UserError
from vaeglow.files import read_json
from vaeglow.paths import result_path
from vaeglow.results import Result, check_together

IDENTITY = ("preset", "dataset", "model", "seed")
HASHES = ("config_sha256", "data_sha256", "weights_sha256")
REMEDY = "run snakemake for the table again, or delete the file that is out of date"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One run (a model under one seed), at one temperature where its row has one: the files that describe it.

    Attributes:
        row: of the table's spec.
        seed: of the run.
        paths: kind of result (a key of `vaeglow.paths.RESULTS`) -> file.
        files: kind of result -> content.
    """

    row: Mapping[str, Any]
    seed: int
    paths: Mapping[str, Path]
    files: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The run in words, for messages."""
        drawn = f", T={float(self.row['temperature'])}" if "temperature" in self.row else ""
        return f"{self.row['model']} (seed {self.seed}{drawn})"

    def value(self, what: str, *keys: str) -> Any:
        """A value of one file, by its key or keys from the outermost in.

        Raises:
            UserError: the file has no such key.
        """
        content = self.files[what]
        for key in keys:
            content = value_of(self.paths[what], content, key)
        return content

    def commit(self, what: str) -> str:
        """The commit a file was made from; see `commit_of`.

        Raises:
            UserError: the file does not say.
        """
        self.value(what, "provenance", "commit")
        return commit_of(self.value(what, "provenance"))

    def number(self, what: str, *keys: str) -> float:
        """The same, a finite number.

        Raises:
            UserError: it is none, or missing.
        """
        finite(self.paths[what], self.value(what, *keys[:-1]), keys[-1])
        return self.value(what, *keys)

    def number_or_none(self, what: str, *keys: str) -> float | None:
        """The same, where the file may say that there is no such number (null).

        Raises:
            UserError: it is neither a finite number nor null, or missing.
        """
        return None if self.value(what, *keys) is None else self.number(what, *keys)


def read_groups(
    spec: Mapping[str, Any], results_root: str | Path, what: Sequence[str]
) -> list[tuple[Measurement, ...]]:
    """All of a table's runs: for each row, one under every seed; each checked, and all against each other.

    Args:
        spec: see `vaeglow.config.plan.spec`.
        results_root: the folder that holds the presets' folders.
        what: the results to read of each run (keys of `vaeglow.paths.RESULTS`), the one to be trusted first.

    Raises:
        UserError: a file is missing, lacks a key, or belongs to another preset, dataset, model, seed, temperature
            or protocol, or to other weights than the files beside it; or two runs on one dataset differ in what
            makes their numbers comparable.
    """
    groups = [tuple(read_run(spec, row, seed, results_root, what) for seed in spec["seeds"]) for row in spec["rows"]]
    found = [one for group in groups for one in group]
    for runs in by_dataset(found):
        same_for_all(runs, what[0], "data_sha256", "were trained on different versions of the data")
        if "metrics" in what:
            check_together(Result(one.paths["metrics"], dict(one.files["metrics"])) for one in runs)
        if "likelihood" in what:
            same_for_all(runs, "likelihood", "images", "took bits/dim over different numbers of images")
            same_for_all(runs, "likelihood", "dequantisation", "were dequantised differently")
    return groups


def by_dataset(found: Iterable[Measurement]) -> Iterator[list[Measurement]]:
    """The runs of one dataset (and preset) at a time: others have data and references of their own."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for one in found:
        groups.setdefault((one.row["preset"], one.row["dataset"]), []).append(one)
    yield from groups.values()


def read_run(
    spec: Mapping[str, Any], row: Mapping[str, Any], seed: int, results_root: str | Path, what: Sequence[str]
) -> Measurement:
    """The files of one run, each checked.

    Raises:
        UserError: see `read_groups`.
    """
    identity = {key: row[key] for key in ("preset", "dataset", "model")} | {"seed": seed}
    drawn = {"protocol": spec["protocol"], "temperature": row.get("temperature", 0)}
    paths = {kind: result_path(results_root, kind, **identity, **drawn) for kind in what}
    read = {kind: read_json(path) for kind, path in paths.items()}
    hashes = {key: value_of(paths[what[0]], read[what[0]], key) for key in HASHES}
    for kind, path in paths.items():
        expect(path, read[kind], identity | hashes | conditions(spec, row, kind))
    return Measurement(row, seed, paths, read)


def conditions(spec: Mapping[str, Any], row: Mapping[str, Any], what: str) -> dict[str, Any]:
    """What else one kind of result must say of itself to stand in a table."""
    if what == "likelihood":
        return {"split": "test"}
    if what != "metrics":
        return {}
    return {
        "protocol": spec["protocol"],
        "split": spec["split"],
        "fid_samples": spec["images"],
        "fid_reference_images": spec["images"],
        "fid_features": spec["features"],
        "fid_sets": spec["sets"],
        "stretch": spec["stretch"],
        "temperature": float(row["temperature"]),
    }


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
            raise UserError(f"{path}: {key} is {shorten(found)}, wanted is {shorten(wanted)}: {REMEDY}")


def finite(path: Path, content: Mapping[str, Any], key: str) -> None:
    """The value is a finite number.

    Raises:
        UserError: it is not.
    """
    value = value_of(path, content, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{path}: {key} is {value}, not a finite number: evaluate the run again")


def same_for_all(found: Sequence[Measurement], what: str, key: str, problem: str) -> None:
    """A value that no two of these runs may differ in.

    Raises:
        UserError: two differ.
    """
    values: dict[Any, str] = {}
    for one in found:
        values.setdefault(one.value(what, key), one.name)
    if len(values) > 1:
        first, second = list(values.values())[:2]
        raise UserError(f"{first} and {second} {problem}: they cannot stand in one table; {REMEDY}")


def commit_of(provenance: Mapping[str, Any]) -> str:
    """The commit in a file's provenance; `+dirty` when the source differed from it."""
    return provenance["commit"] + ("+dirty" if provenance.get("dirty") else "")


def shorten(value: Any) -> str:
    """A value for a message: the first 12 digits of a hash."""
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else repr(value)
