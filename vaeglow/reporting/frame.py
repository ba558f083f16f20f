"""The results frame, what tables, figures and claims are made from, and the labels of its rows. No torch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from math import nan
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vaeglow.files import AnyPath
from vaeglow.paths import RESULTS, result_path
from vaeglow.results import Result, check_together, read_result

if TYPE_CHECKING:
    import pandas  # else where a frame is made: it takes a quarter of a second

Lines: TypeAlias = "pandas.DataFrame"
Numbers: TypeAlias = "pandas.Series"
Row = Mapping[str, Any]  # of a table or figure: its keys in config, filled in
Spec = Row  # of a table or a figure: what `vaeglow.config.plan.spec` returned
Array = np.ndarray
Words = Sequence[str]
PerRow = Iterator[Lines]  # those of each row of a table
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
    """What one table, figure or claim reads by its `spec`; `evidence` is all that was read, in order."""

    def __init__(self, spec: Spec, results_root: AnyPath) -> None:
        self.spec = spec
        self.results_root = results_root
        self.evidence = []

    def __getitem__(self, key: str) -> Any:
        """A value of the spec."""
        return self.spec[key]

    def frame(
        self,
        *kinds: str,
        rows: Sequence[Row] = (),
        seeds: Sequence[int | None] = (),
    ) -> Lines:
        """The results of each row, at every temperature of it, under every seed: a line each.

        Args:
            *kinds: results to read of each run (keys of `vaeglow.paths.RESULTS`), of likelihood.npz the array `BITS`;
                the first names the device.
            rows: `preset`, `dataset`, `model`, and where samples are measured `temperature` or several `temperatures`;
                the spec's if left out.
            seeds: the row's or the spec's if left out.

        Returns:
            Columns `row` (index in the rows), the row's own keys, `label`, `seed`, `at` (the temperature, empty for a
            model without one), `{kind}`, the `Result`, `device` and `commit`.

        Raises:
            UserError: a file is missing, is of another preset, dataset, model, seed, temperature or protocol, or was
                not made from the same files as the others.
        """
        import pandas as pd

        lines = []
        for index, row in enumerate(rows or self["rows"]):
            for temperature in row.get("temperatures") or [row.get("temperature")]:
                for seed in seeds or row.get("seeds") or self["seeds"]:
                    line = {**row, "row": index, "label": self.label(row), "temperature": temperature, "seed": seed}
                    line["at"] = self.temperature(line)
                    line |= {kind: self.read(kind, line, BITS) for kind in kinds}
                    made = line[kinds[0]]
                    lines.append({**line, "device": made.value("provenance", "device"), "commit": made.commit})
        check_together(self.evidence)
        return pd.DataFrame(lines)

    def by_row(self, *kinds: str) -> list[Lines]:
        """The lines of each row, one a seed and temperature."""
        return [lines for _, lines in self.frame(*kinds).groupby("row")]

    def read(self, kind: str, row: Row, *arrays: str) -> Result:
        """One result of a row, checked to match its path and to be measured as the spec says.

        Args:
            kind: a key of `vaeglow.paths.RESULTS`.
            row: what the path names, as `temperature` or `space`, that is not the spec's; without a `seed` the first.
            *arrays: of an npz file, those to read.

        Raises:
            UserError: missing, damaged, or of something else.
        """
        values = {**self.spec, "seed": self["seeds"][0], **row}
        identity = {name: values[name] for name in re.findall(r"{(\w+)}", RESULTS[kind])}
        result = read_result(
            result_path(self.results_root, kind, **identity),
            arrays,
            **identity,
            **{key: self[name] for key, name in CONDITIONS.get(kind, {}).items()},
        )
        self.evidence.append(result)
        return result

    def label(self, row: Row) -> str:
        """What a row is called: its own label, or its model's (`label` in config) and its temperature, if any."""
        if row.get("label"):
            return row["label"]
        return with_commas(self["styles"][row["model"]]["label"], drawn_at(self.temperature(row)))

    def temperature(self, row: Row) -> float | str:
        """A row's temperature; empty where it has none, or its model."""
        return row.get("temperature", "") if self["styles"][row["model"]].get("temperature", True) else ""


def files(lines: Lines, kind: str) -> Numbers:
    """The results of one kind in lines without duplicates, indexed by the first line that has each."""
    results = lines.reindex(columns=[kind])[kind].dropna()
    return results[~results.map(lambda result: result.path).duplicated()]


def numbers(lines: Lines, source: str, null: bool = False) -> Numbers:
    """A number of each result in lines, float64, by the first line that has it.

    `source` is `{kind}.{key}`, as in `metrics.fid`, `likelihood.terms.kl`. With `null` a file may have no such number,
    which is NaN then.

    Raises:
        UserError: a file lacks the number, or it is not finite.
    """
    kind, *keys = source.split(".")

    def number(result: Result) -> float:
        value = reduce(lambda part, key: (part or {}).get(key), keys, result.content)
        return nan if null and value is None else result.number(*keys)

    return files(lines, kind).map(number).astype(float)


def first(lines: Lines, source: str) -> Any:
    """A value that all lines share: of a column, or of `{kind}.{key}`; None where lines have no such result.

    Raises:
        UserError: the file lacks it.
    """
    kind, *keys = source.split(".")
    if not keys:
        return lines[kind].iloc[0]
    return next((result.value(*keys) for result in files(lines, kind)), None)


def with_commas(*texts: str) -> str:
    """The texts that are not empty, with commas."""
    return ", ".join(filter(None, texts))


def drawn_at(temperature: float | str) -> str:
    """A temperature in words: `T=0.5`; `without noise` for 0, a VAE's decoder mean; nothing for an empty one."""
    if temperature == "":
        return ""
    return f"T={float(temperature)}" if float(temperature) else "without noise"


def bound_note(bound: str, other_bound: str, name: str, other_name: str) -> str:
    """What it means for a difference of bits/dim, `name` minus `other_name`, that one or both are upper bounds.

    A `bound` is that of a likelihood.json, "<=" or "="; empty where both are exact.
    """
    if bound == other_bound:
        return "both numbers are upper bounds, and compared as such" if bound == "<=" else ""
    bounded, exact, turn = (name, other_name, "smaller") if bound == "<=" else (other_name, name, "larger")
    return (
        f"the number of {exact} is exact for dequantised data, that of {bounded} an upper bound: its own bits/dim can "
        f"only be lower, and the difference {turn}"
    )
