"""What `time_epoch` measured: windows of several models in turns, and ratios taken round by round. No torch.

A load that comes and goes slows neighbours in time alike, so a ratio is of two windows of one round. It is a ratio of
CPU seconds on a CPU, which leave out what other processes take, and of seconds on the clock on a GPU. Other processes
also slow a CPU's caches, and threads that wait for each other use CPU time: rounds then disagree.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.files import read_json
from vaeglow.paths import result_path
from vaeglow.reporting import paired, traced
from vaeglow.reporting.labels import model_label
from vaeglow.reporting.measured import REMEDY, commit_of, expect, finite, value_of

PHASES = {"vae": " (phase 1)", "vae_glow": ": Glow layer (phase 2)"}  # what of ours a row times
CLOCKS = {"seconds": "seconds on the clock", "cpu_seconds": "CPU seconds"}
DISAGREE = 1.5  # by so many times the ratios of two rounds may differ, and the intervals of two clocks


def clock_of(device_kind: str) -> str:
    """Which of `CLOCKS` ratios are of."""
    return "cpu_seconds" if device_kind == "cpu" else "seconds"


@dataclasses.dataclass(frozen=True)
class Timing:
    """One model of a timing.json.

    Attributes:
        row: of the table's spec: at least `model`; `base` names the VAE a Glow layer stands on.
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
    def name(self) -> str:
        """What a reader calls the model."""
        return self.row.get("label", model_label(self.model))

    @property
    def label(self) -> str:
        """The same, and the phase of ours that was timed."""
        return self.name + PHASES.get(self.value("kind"), "")

    @property
    def clock(self) -> str:
        """Which of `CLOCKS` ratios are of."""
        return clock_of(self.shared("device_kind"))

    def shared(self, key: str) -> Any:
        """A value that all models of the file have in common.

        Raises:
            UserError: the file has no such key.
        """
        return value_of(self.path, self.content, key)

    def value(self, *keys: str) -> Any:
        """A value of the model.

        Raises:
            UserError: the file has no such key.
        """
        content = value_of(self.path, self.shared("models"), self.model)
        for key in keys:
            content = value_of(self.path, content, key)
        return content

    def rounds(self, what: str, clock: str = "seconds") -> np.ndarray:
        """Seconds an image in each round, [rounds].

        Args:
            what: `training` or `sampling`.
            clock: one of `CLOCKS`.

        Raises:
            UserError: they are missing, not one for each of 2 rounds or more, or not above 0.
        """
        seconds = paired.finite_values(self.path, self.value(what, clock), REMEDY)
        for key, content in (("steps", self.value(what)), ("batch_size", self.value())):
            finite(self.path, content, key)
            seconds = seconds / content[key]
        if not 2 <= len(seconds) == self.shared("rounds") or seconds.min() <= 0:
            raise UserError(f"{self.path}: {clock} of {self.model} are not of 2 rounds and more, all above 0: {REMEDY}")
        return seconds

    def epochs(self, clock: str = "seconds") -> np.ndarray:
        """Seconds of an epoch by each round, [rounds]; see `rounds`."""
        return self.rounds("training", clock) * self.shared("epoch_images")


def read_timings(spec: Mapping[str, Any], results_root: str | Path) -> list[list[Timing]]:
    """The times behind a table: for each of its presets (and datasets), in order, the models' in the rows' order.

    Raises:
        UserError: a file is missing, or of another preset or dataset.
    """
    groups: dict[Path, list[Timing]] = {}
    for row in sorted(spec["rows"], key=lambda row: spec["presets"].index(row["preset"])):
        path = result_path(results_root, "timing", **row)
        groups.setdefault(path, []).append(Timing(row, path, {}))
    for path, timings in groups.items():
        content = read_json(path)
        expect(path, content, {key: timings[0].row[key] for key in ("preset", "dataset")})
        groups[path] = [dataclasses.replace(one, content=content) for one in timings]
    return list(groups.values())


def shared_cells(*timings: Timing) -> dict[str, str]:
    """The cells that say where and on what the models of a row were timed."""
    one = timings[0]
    one.shared("provenance")
    config_sha256 = traced.distinct(each.value("config_sha256") for each in timings)
    return {
        "source": "measured",
        "dataset": one.row["dataset"],
        "preset": one.row["preset"],
        "epoch_images": str(one.shared("epoch_images")),
        "device": one.shared("device"),
        "device_kind": one.shared("device_kind"),
        "threads": str(one.shared("threads")),
        "commit": commit_of(one.shared("provenance")),
        "run": one.model,
        "origin": f"results/{one.row['preset']}/{one.row['dataset']}/timing.json",
        **traced.trace_cells({one.path: {**one.content, "config_sha256": config_sha256}}),
    }


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lowest and highest."""
    return statistics.median(values), min(values), max(values)


def ratios(slow: Sequence[Timing], fast: Sequence[Timing], clock: str) -> np.ndarray:
    """Time of some models over that of others, means over each side, in each round: [rounds]."""
    above, below = (np.mean([one.rounds("training", clock) for one in side], axis=0) for side in (slow, fast))
    return above / below
