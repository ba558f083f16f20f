"""Open one file of a results folder and check all that it says of itself. No torch."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from vaeglow.data.arrays import array_sha256
from vaeglow.errors import UserError
from vaeglow.files import read_json
from vaeglow.provenance import SEAL, content_sha256
from vaeglow.reporting import traced
from vaeglow.verification.places import Place
from vaeglow.verification.report import REDO, Mismatch
from vaeglow.verification.tensors import read_described

IDENTITY = ("preset", "dataset", "model", "seed", "protocol", "temperature", "space")  # of a path, repeated in the file
MOVED = "put it back where it belongs, or delete it and run snakemake again"


@dataclasses.dataclass
class Content:
    """What a file says.

    Attributes:
        place: of the file.
        about: a JSON file's content, the metadata of arrays or tensors; empty where the file holds none.
        evidence: of a table, the claims or a figure: path of each file that was read -> its hash then.
    """

    place: Place
    about: dict[str, Any] = dataclasses.field(default_factory=dict)
    evidence: dict[str, str] = dataclasses.field(default_factory=dict)


def read(place: Place) -> Content:
    """A file's content, checked against the hashes in it and against its path.

    Raises:
        Mismatch: it was changed, belongs under another path, or is no such file.
        Exception: whatever else damaged bytes make the libraries raise that read them.
    """
    suffix = place.path.suffix
    if suffix == ".png":
        evidence = traced.read_figure(place.path)
        if evidence is None:
            raise unsealed(traced.FIGURE_KEY)
        return Content(place, evidence=evidence)
    if suffix == ".csv":
        return read_table(place)
    if suffix == ".safetensors":
        content = Content(place, read_described(place.path))
        if not isinstance(content.about["config"], dict) or "sha256" not in content.about["data"]:
            raise Mismatch("its description is of another form", "config and data of a run", "something else")
    elif suffix == ".npz":
        content = read_arrays(place)
    else:
        content = read_object(place)
    check_identity(content)
    return content


def read_object(place: Place) -> Content:
    """A JSON file.

    Raises:
        Mismatch: it is none, or not what was written.
    """
    try:
        about = read_json(place.path)
    except UserError as error:
        raise Mismatch("not JSON", "a whole file", str(error)) from None
    if not isinstance(about, dict):
        raise Mismatch("not a JSON object", "an object", type(about).__name__)
    if place.what != "config":  # files beside it say what it should be
        check_seal(about, {})
    return Content(place, about)


def unsealed(name: str) -> Mismatch:
    """A file without the hash that every vaeglow writes with it: its name may be what was changed."""
    return Mismatch("no hash of its content stands in it", name, "none")


def read_arrays(place: Place) -> Content:
    """An npz file, array by array; zip's own checksums are checked, too.

    Raises:
        Mismatch: not what was written.
    """
    hashes, about = {}, {}
    with np.load(place.path, allow_pickle=False) as archive:
        for name in archive.files:
            if name == "metadata":
                about = json.loads(str(archive[name]))
            else:
                hashes[name] = array_sha256(archive[name])
    check_seal(about, hashes)
    return Content(place, about)


def check_seal(about: Mapping[str, Any], arrays: Mapping[str, str]) -> None:
    """Compare a file's content with the hash of it that it carries (`vaeglow.provenance.seal`).

    Raises:
        Mismatch: it carries none, or that of other content.
    """
    provenance = about.get("provenance")
    if not isinstance(provenance, dict) or SEAL not in provenance:
        raise unsealed(SEAL)
    found = content_sha256(about, arrays)
    if found != provenance[SEAL]:
        raise Mismatch("its content is not what was written", provenance[SEAL], found)


def read_table(place: Place) -> Content:
    """A table or the claims, every row checked.

    Raises:
        Mismatch: no CSV, or a row is not what was written.
    """
    with open(place.path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        rows = list(reader)
    if any(None in row or None in row.values() for row in rows):
        raise Mismatch("rows of different length", "whole rows", "more or fewer cells than the header")
    if place.what == "history":  # training.json beside it has its hash
        return Content(place)
    if traced.SEAL not in (reader.fieldnames or ()):
        raise unsealed(traced.SEAL)
    found = traced.row_hashes(rows)
    changed = [number for number, row in enumerate(rows) if row[traced.SEAL] != found[number]]
    if changed:
        number = changed[0]
        which = f"row {number + 1} ({', '.join(list(rows[number].values())[:2])})"
        if len(changed) == len(rows) > 1:
            which = "every row (or a row came or went)"
        remedy = REDO if place.what == "table" else "delete it and run snakemake results/claims.csv again"
        raise Mismatch(f"{which} is not what was written", rows[number][traced.SEAL], found[number], remedy)
    evidence: dict[str, str] = {}
    for row in rows:
        evidence |= traced.evidence_of(row)
    return Content(place, evidence=evidence)


def check_identity(content: Content) -> None:
    """A file is of the run, temperature, ... that its path names.

    Raises:
        Mismatch: it is not.
    """
    place, about = content.place, content.about
    said = about["config"] if place.path.suffix == ".safetensors" else about
    for key in IDENTITY:
        if key in place.names and key in said and said[key] != place.names[key]:
            wanted, found = str(place.names[key]), str(said[key])
            raise Mismatch(f"{key} in the file and in its path differ", wanted, found, MOVED)
