"""The results frame: what tables, figures and claims compute with, numbers as numbers. No torch."""

from __future__ import annotations

import functools
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError
from vaeglow.paths import RESULTS, result_path
from vaeglow.reporting.labels import row_label

if TYPE_CHECKING:
    import pandas as pd

    from vaeglow.results import Result


def results_frame(
    rows: Sequence[Mapping[str, Any]], results_root: str | Path, kinds: Sequence[str], spec: Mapping[str, Any]
) -> pd.DataFrame:
    """The results of each row, at every temperature of it, under every seed: a line each.

    Args:
        rows: `preset`, `dataset`, `model`, and where samples are judged `temperature` or several `temperatures`.
        results_root: the folder that holds the presets' folders.
        kinds: JSON files to read of each run (keys of `vaeglow.paths.RESULTS`), first the one that names the device.
        spec: of the table, figure or claim: its seeds, its protocol and the protocol's values, its styles.

    Returns:
        Columns `row` (index in `rows`), `label`, the identity, `device` and `commit`; `{kind}`, the file (a
        `vaeglow.results.Result`); and for each value of it `{kind}.{key}`, as in `metrics.fid`, `likelihood.terms.kl`.

    Raises:
        UserError: a file is missing, lacks a key, is of another preset, dataset, model, seed, temperature or protocol,
            or was not made from what those beside it were made from.
    """
    import pandas as pd

    from vaeglow.results import check_together

    lines: list[dict[str, Any]] = []
    for index, row in enumerate(rows):
        run = {key: row[key] for key in ("preset", "dataset", "model")}
        about = {"row": index, "label": row_label(row, spec.get("styles")), **run, "protocol": spec["protocol"]}
        for temperature in row.get("temperatures") or [row.get("temperature")]:
            for seed in spec["seeds"]:
                line = about | {"temperature": temperature, "seed": seed}
                results = {kind: read(results_root, kind, line, spec) for kind in kinds}
                made = results[kinds[0]]
                device = made.value("provenance", "device")
                lines.append({**line, **results, "device": device, "commit": made.commit})
    check_together(line[kind] for line in lines for kind in kinds)
    contents = [{kind: line[kind].content for kind in kinds} for line in lines]
    frame = pd.concat([pd.DataFrame(lines), pd.json_normalize(contents, sep=".")], axis=1)
    if "likelihood" in kinds:
        alike(frame, "likelihood.images", "took bits/dim over different numbers of images")
        alike(frame, "likelihood.dequantisation", "were dequantised differently")
    return frame


def read(
    results_root: str | Path, kind: str, row: Mapping[str, Any], spec: Mapping[str, Any], arrays: Sequence[str] = ()
) -> Result:
    """One result, checked to be of what its path says, and measured as the spec asks.

    Tables, figures and claims read by this; `vaeglow.results.check_together` then judges all that one of them read.

    Args:
        results_root: the folder that holds the presets' folders.
        kind: a key of `vaeglow.paths.RESULTS`.
        row: what its path names: `preset`, `dataset`, `model`, `seed`, and `temperature` or `space` of some kinds.
        spec: of the table, figure or claim: the name of its protocol, and the protocol's values.
        arrays: of an npz file, those to read.

    Raises:
        UserError: missing, damaged, or of something else.
    """
    from vaeglow.results import read_result

    named = [name for _, name, _, _ in string.Formatter().parse(RESULTS[kind]) if name]
    whose = {name: spec["protocol"] if name == "protocol" else row[name] for name in named}
    path = result_path(results_root, kind, **whose)
    if kind == "reference":
        del whose["preset"]  # the real images are the same at every preset
    return read_result(path, arrays, **whose, **conditions(spec, kind))


def conditions(spec: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What else one kind of result must say of itself."""
    if kind == "likelihood":
        return {"split": "test"}
    if kind not in ("metrics", "snapshots"):
        return {}
    counts = {"fid_samples": "images", "fid_reference_images": "images", "fid_features": "features"}
    if kind == "metrics":
        counts["fid_sets"] = "sets"  # a snapshot has one set
    return {key: spec[key] for key in ("split", "stretch")} | {key: spec[value] for key, value in counts.items()}


def alike(frame: pd.DataFrame, column: str, problem: str) -> None:
    """A value that no two runs on one dataset may differ in.

    Raises:
        UserError: two do, or a file lacks it.
    """
    from vaeglow.results import REMEDY

    kind, *keys = column.split(".")
    for _, runs in frame.groupby(["preset", "dataset"]):
        values = {one.value(*keys): one.path for one in runs[kind]}
        if len(values) > 1:
            first, second = list(values.values())[:2]
            raise UserError(f"{first} and {second} {problem}: they cannot stand in one table; {REMEDY}")


def groups(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The lines of each row, in the rows' order."""
    for _, group in frame.groupby("row", sort=False):
        yield group


def numbers(frame: pd.DataFrame, column: str, null: bool = False) -> pd.Series:
    """A column as float64, every number of it finite; of lines that share a file the first one's.

    Args:
        frame: lines of the results frame.
        column: `{kind}.{key}`.
        null: whether a file may have no such number; it is NaN then.

    Raises:
        UserError: a file lacks the number, or it is not finite.
    """
    kind, *keys = column.split(".")
    frame = frame[~frame[kind].map(lambda file: file.path).duplicated()]
    for file in frame[kind]:
        if not null or functools.reduce(lambda found, key: (found or {}).get(key), keys, file.content) is not None:
            file.number(*keys)
    return frame.reindex(columns=[column])[column].astype(float)


def first(frame: pd.DataFrame, column: str) -> Any:
    """A value that is the same in all lines, from the first one's file.

    Raises:
        UserError: the file lacks it.
    """
    kind, *keys = column.split(".")
    return frame[kind].iloc[0].value(*keys)


def results_of(frame: pd.DataFrame) -> list[Result]:
    """The files behind these lines."""
    from vaeglow.results import Result

    return [value for line in frame.to_dict("records") for value in line.values() if isinstance(value, Result)]
