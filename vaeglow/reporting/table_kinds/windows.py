"""Read what `time_epoch` measured, and refuse times that make no ratio. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vaeglow.errors import UserError
from vaeglow.files import read_json
from vaeglow.paths import result_path
from vaeglow.reporting.labels import model_label
from vaeglow.reporting.measured import REMEDY, commit_of, expect, finite, value_of

PHASES = {"vae": " (phase 1)", "vae_glow": ": Glow layer (phase 2)"}  # what of ours a row times


@dataclasses.dataclass(frozen=True)
class Timing:
    """One model's timing.json.

    Attributes:
        row: of the table's spec; `base` names the VAE a Glow layer stands on.
        path: of the file.
        content: of the file.
    """

    row: Mapping[str, Any]
    path: Path
    content: Mapping[str, Any]

    @property
    def model(self) -> str:
        """Its name in config."""
        return self.row["model"]

    @property
    def kind(self) -> str:
        """vae | vae_glow | glow."""
        return self.value("kind")

    @property
    def name(self) -> str:
        """What a reader calls the model."""
        return self.row.get("label", model_label(self.model))

    @property
    def label(self) -> str:
        """The same, and the phase of ours that was timed."""
        return self.name + PHASES.get(self.kind, "")

    @property
    def commit(self) -> str:
        """The commit it was timed from."""
        self.value("provenance", "commit")
        return commit_of(self.value("provenance"))

    @property
    def seconds(self) -> tuple[float, float, float]:
        """Seconds per epoch: median, lowest and highest of the windows."""
        return self.triple("seconds_per_epoch")

    def value(self, *keys: str) -> Any:
        """A value of the file.

        Raises:
            UserError: the file has no such key.
        """
        content: Any = self.content
        for key in keys:
            content = value_of(self.path, content, key)
        return content

    def number(self, *keys: str) -> float:
        """The same, a finite number.

        Raises:
            UserError: it is none.
        """
        finite(self.path, self.value(*keys[:-1]), keys[-1])
        return self.value(*keys)

    def triple(self, *keys: str) -> tuple[float, float, float]:
        """Median, lowest and highest of the windows.

        Raises:
            UserError: one is missing, no number, or not above 0.
        """
        values = tuple(self.number(*keys, which) for which in ("median", "low", "high"))
        if not 0 < values[1] <= values[0] <= values[2]:
            raise UserError(f"{self.path}: {keys[-1]} does not rise from low over median to high above 0: {REMEDY}")
        return values


def read_timings(spec: Mapping[str, Any], results_root: str | Path) -> list[list[Timing]]:
    """The times behind a table: for each of its presets (and datasets), in order, the models' in the rows' order.

    Raises:
        UserError: a file is missing, of another model, or timed on another machine than the others of its preset.
    """
    groups: dict[tuple[str, str], list[Timing]] = {}
    for row in sorted(spec["rows"], key=lambda row: spec["presets"].index(row["preset"])):
        identity = {key: row[key] for key in ("preset", "dataset", "model")}
        path = result_path(results_root, "timing", **identity)
        content = read_json(path)
        expect(path, content, identity)
        groups.setdefault((row["preset"], row["dataset"]), []).append(Timing(row, path, content))
    for timings in groups.values():
        for key in ("device", "threads", "epoch_images"):
            same(timings, key)
    return list(groups.values())


def same(timings: Sequence[Timing], key: str) -> None:
    """What may not differ between times whose ratio is taken.

    Raises:
        UserError: it does.
    """
    first = timings[0]
    for one in timings[1:]:
        if one.value(key) != first.value(key):
            raise UserError(
                f"{first.model} and {one.model} (preset {one.row['preset']}) were timed with different {key} "
                f"({first.value(key)} and {one.value(key)}): their ratio says nothing; delete {first.path} and "
                f"{one.path} and time both on one machine"
            )
