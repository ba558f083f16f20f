"""The results frame, what tables, figures and claims are made from, and the labels of its rows. No torch."""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from vaeglow.paths import RESULTS, result_path
from vaeglow.results import Result, check_together, read_result

if TYPE_CHECKING:
    import pandas  # else where a frame is made: it takes a quarter of a second

Lines: TypeAlias = "pandas.DataFrame"
Numbers: TypeAlias = "pandas.Series"
Row: TypeAlias = Mapping[str, Any]  # of a table or figure: its keys in config, filled in
Spec: TypeAlias = Mapping[str, Any]  # of a table or a figure: what `vaeglow.config.plan.spec` returned
Folder: TypeAlias = str | Path
BITS = "bits_per_dim_1"  # of likelihood.npz: bits/dim of each test image, K = 1
# What results state besides their identity, and the key of the protocol that sets it.
ONE_SET = {"split": "split", "fid_samples": "images", "fid_reference_images": "images", "fid_features": "features"}
CONDITIONS = {
    "snapshot_metrics": ONE_SET,
    "distance_source": ONE_SET,
    "floor": ONE_SET,
    "metrics": {**ONE_SET, "fid_sets": "sets"},
}
# JSON schemas of keys that several kinds of table and figure have.
PROTOCOL = {"protocol": {"$ref": "#/$defs/protocol_name", "default": None}}
PLAIN_ROWS = {"rows": {"$ref": "#/$defs/plain_rows"}}
DRAWN_ROWS = {"rows": {"$ref": "#/$defs/drawn_rows"}}


class Sources:
    """What one table or figure reads by its `spec`; `evidence` is all that was read, in order."""

    def __init__(self, spec: Spec, results_root: Folder) -> None:
        self.spec = spec
        self.results_root = results_root
        self.evidence: list[Result] = []

    def frame(
        self,
        *kinds: str,
        rows: Sequence[Row] | None = None,
        seeds: Sequence[int | None] | None = None,
        arrays: Sequence[str] = (),
    ) -> Lines:
        """The results of each row, at every temperature of it, under every seed: a line each.

        Args:
            *kinds: results to read of each run (keys of `vaeglow.paths.RESULTS`); the first names the device.
            rows: `preset`, `dataset`, `model`, and where samples are measured `temperature` or several `temperatures`;
                the spec's if left out.
            seeds: the spec's if left out.
            arrays: of npz files, those to read.

        Returns:
            Columns `row` (index in the rows), `label`, the identity, `at` (the temperature, empty for a model without
            one), `device`, `commit`, and `{kind}`, the `Result`.

        Raises:
            UserError: a file is missing, is of another preset, dataset, model, seed, temperature or protocol, or was
                not made from the same files as the others.
        """
        import pandas as pd

        lines = []
        for index, row in enumerate(rows or self.spec["rows"]):
            for temperature in row.get("temperatures") or [row.get("temperature")]:
                for seed in seeds or self.spec["seeds"]:
                    line = {
                        "preset": row["preset"],
                        "dataset": row["dataset"],
                        "model": row["model"],
                        "seed": seed,
                        "row": index,
                        "label": self.label(row),
                        "temperature": temperature,
                        "at": temperature_of({**row, "temperature": temperature}, self.spec["styles"]),
                    }
                    results = {kind: self.read(kind, line, *arrays) for kind in kinds}
                    made = results[kinds[0]]
                    device = made.value("provenance", "device")
                    lines.append({**line, **results, "device": device, "commit": made.commit})
        check_together(self.evidence)
        return pd.DataFrame(lines)

    def by_row(self, *kinds: str) -> list[Lines]:
        """The lines of each row, one a seed and temperature."""
        return [lines for _, lines in self.frame(*kinds).groupby("row")]

    def read(self, kind: str, row: Row, *arrays: str) -> Result:
        """One result of a row, under its seed or the first, with arrays: see `read`."""
        identity = {**self.spec, "seed": self.spec["seeds"][0], **row}
        result = read(self.results_root, kind, identity, self.spec, arrays)
        self.evidence.append(result)
        return result

    def label(self, row: Row) -> str:
        """What a row is called."""
        return row_label(row, self.spec["styles"])


def read(results_root: Folder, kind: str, row: Row, spec: Spec, arrays: Sequence[str] = ()) -> Result:
    """One result, checked to match its path and to be measured as the spec says.

    Tables, figures and claims read with it; `vaeglow.results.check_together` then checks all that one of them read.

    Args:
        results_root: the folder that holds the presets' folders.
        kind: a key of `vaeglow.paths.RESULTS`.
        row: what the path names, including `temperature` or `space`.
        spec: its protocol and the protocol's values.
        arrays: of an npz file, those to read.

    Raises:
        UserError: missing, damaged, or of something else.
    """
    values = {**row, "protocol": spec["protocol"]}
    identity = {name: values[name] for name in re.findall(r"{(\w+)}", RESULTS[kind])}
    measured = {key: spec[name] for key, name in CONDITIONS.get(kind, {}).items()}
    path = result_path(results_root, kind, **identity)
    return read_result(path, arrays, **identity, **measured)


def results_of(lines: Lines) -> list[Result]:
    """The files of lines, in the lines' order."""
    return [value for value in lines.to_numpy().flat if isinstance(value, Result)]


def files(lines: Lines, kind: str) -> Numbers:
    """The results of one kind in lines without duplicates, indexed by the first line that has each."""
    results = lines.reindex(columns=[kind])[kind].dropna()
    paths = results.map(lambda result: result.path)
    return results[~paths.duplicated()]


def numbers(lines: Lines, source: str, null: bool = False) -> Numbers:
    """A number of each result in lines, float64, by the first line that has it.

    `source` is `{kind}.{key}`, as in `metrics.fid`, `likelihood.terms.kl`. With `null` a file may have no such number,
    which is NaN then.

    Raises:
        UserError: a file lacks the number, or it is not finite.
    """
    kind, *keys = source.split(".")

    def number(result: Result) -> float:
        value = functools.reduce(lambda part, key: (part or {}).get(key), keys, result.content)
        return math.nan if null and value is None else result.number(*keys)

    return files(lines, kind).map(number).astype(float)


def first(lines: Lines, source: str) -> Any:
    """A value that all lines share: of a column, or of `{kind}.{key}`; None where lines have no such result.

    Raises:
        UserError: the file lacks it.
    """
    kind, *keys = source.split(".")
    if not keys:
        return lines[kind].iloc[0]
    results = files(lines, kind)
    return None if results.empty else results.iloc[0].value(*keys)


def row_label(row: Row, styles: Row) -> str:
    """The label of a row: its own, or its model's (`label` in config) and, where it has one, its temperature."""
    if row.get("label"):
        return row["label"]
    model = styles.get(row["model"], {}).get("label", row["model"])
    return joined(model, drawn_at(temperature_of(row, styles)))


def joined(*texts: str) -> str:
    """The texts that are not empty, with commas."""
    return ", ".join(filter(None, texts))


def temperature_of(row: Row, styles: Row) -> float | str:
    """A row's temperature; empty where it has none, or its model."""
    drawn = styles.get(row["model"], {}).get("temperature", True)
    return row.get("temperature", "") if drawn else ""


def drawn_at(temperature: float | str) -> str:
    """The temperature of a sample, in words, empty as it is. Without noise a VAE's sample is its decoder's mean."""
    if temperature == "":
        return ""
    return f"T={float(temperature)}" if float(temperature) else "without noise"


def bound_note(one: str, other: str, name: str, other_name: str) -> str:
    """What it means for a difference of bits/dim, `name` minus `other_name`, that one or both are upper bounds.

    `one` and `other` are the `bound` of their likelihood.json, "<=" or "="; empty where both are exact.
    """
    if one == other:
        return "both numbers are upper bounds, and compared as such" if one == "<=" else ""
    bounded, exact, turn = (name, other_name, "smaller") if one == "<=" else (other_name, name, "larger")
    return (
        f"the number of {exact} is exact for dequantised data, that of {bounded} an upper bound: its own bits/dim can "
        f"only be lower, and the difference {turn}"
    )
