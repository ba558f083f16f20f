"""What `time_epoch` measured: windows of several models in turns, and ratios taken round by round. No torch.

A load that comes and goes slows neighbours in time alike, so a ratio is of two windows of one round. It is a ratio of
CPU seconds on a CPU, which leave out what other processes take, and of seconds on the clock on a GPU. Other processes
also slow a CPU's caches, and threads that wait for each other use CPU time: rounds then disagree.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vaeglow.reporting import traced
from vaeglow.reporting.columns import Column, significant
from vaeglow.reporting.frame import read, row_label
from vaeglow.reporting.paired import finite_values

if TYPE_CHECKING:
    from vaeglow.results import Result

CLOCKS = {"seconds": "seconds on the clock", "cpu_seconds": "CPU seconds"}
DISAGREE = 1.5  # by so many times the ratios of two rounds may differ, and the intervals of two clocks


def clock_of(device_kind: str) -> str:
    """Which of `CLOCKS` ratios are of."""
    return "cpu_seconds" if device_kind == "cpu" else "seconds"


class Timing(NamedTuple):
    """One model of a timing.json.

    Attributes:
        row: of the table's spec: at least `model` and `label`; `base` names the VAE a Glow layer stands on.
        result: the file.
    """

    row: Mapping[str, Any]
    result: Result

    @property
    def model(self) -> str:
        """Its name in config."""
        return self.row["model"]

    @property
    def name(self) -> str:
        """What a reader calls the model."""
        return self.row["label"]

    @property
    def clock(self) -> str:
        """Which of `CLOCKS` ratios are of."""
        return clock_of(self.result.value("device_kind"))

    def value(self, *keys: str) -> Any:
        """A value of the model."""
        return self.result.value("models", self.model, *keys)

    def rounds(self, what: str, clock: str = "seconds") -> np.ndarray:
        """Seconds an image in each round of `training` or `sampling` by one of `CLOCKS`, [rounds]."""
        seconds = finite_values(self.result.path, self.value(what, clock))
        return seconds / self.value(what, "steps") / self.value("batch_size")

    def epochs(self, clock: str = "seconds") -> np.ndarray:
        """Seconds of an epoch by each round, [rounds]; see `rounds`."""
        return self.rounds("training", clock) * self.result.value("epoch_images")


def ratios(slow: Sequence[Timing], fast: Sequence[Timing], clock: str) -> np.ndarray:
    """Time of some models over that of others, means over each side, in each round: [rounds]."""
    above, below = (np.mean([one.rounds("training", clock) for one in side], axis=0) for side in (slow, fast))
    return above / below


def read_timings(spec: Mapping[str, Any], presets: Sequence[str], results_root: str | Path) -> list[list[Timing]]:
    """The times behind a table: for each preset (and dataset), in order, the models' in the rows' order.

    Raises:
        UserError: a file is missing, or of another preset or dataset.
    """
    found: dict[tuple[str, str], list[Timing]] = {}
    for row in sorted(spec["rows"], key=lambda row: presets.index(row["preset"])):
        timing = Timing({**row, "label": row_label(row, spec.get("styles"))}, read(results_root, "timing", row, spec))
        found.setdefault((row["preset"], row["dataset"]), []).append(timing)
    return list(found.values())


class Timed(NamedTuple):
    """What a row of times is of.

    Attributes:
        name: of the row.
        models: one, or several of which the row is the mean.
        glow: whose time the row's is compared with.
    """

    name: str
    models: Sequence[Timing]
    glow: Timing | None = None

    def evidence(self) -> list[Result]:
        """The file, with the hashes of these models' configs."""
        every = [*self.models, *([self.glow] if self.glow else [])]
        result = self.models[0].result
        hashes = traced.distinct(one.value("config_sha256") for one in every)
        return [dataclasses.replace(result, content={**result.content, "config_sha256": hashes})]


def alone(name: str, value: Callable[[Timing], Any], header: str = "", form: Callable[[Any], str] = str) -> Column:
    """A column of rows of one model; empty for a mean of several."""
    return Column(name, lambda row: value(row.models[0]) if len(row.models) == 1 else None, header, form)


def shared(name: str, header: str = "") -> Column:
    """A value of the file."""
    return Column(name, lambda row: row.models[0].result.value(name), header)


def ranged(name: str, header: str, rounds: Callable[[Timed], np.ndarray | None]) -> list[Column]:
    """Three columns: the median, lowest and highest of the rounds, where there are any."""

    def column(end: str, summary: Callable[[Sequence[float]], float]) -> Column:
        value = lambda row: None if (values := rounds(row)) is None else summary(values)  # noqa: E731
        return Column(f"{name}{end}", value, "" if end else header, significant)

    return [column("", statistics.median), column("_low", min), column("_high", max)]


# What every table of times has.
TIMED = {
    column.name: column
    for column in (
        Column("model", lambda row: row.name, "Model"),
        Column("source", lambda row: "measured", "Source"),
        *(shared("dataset", "Dataset"), shared("preset", "Networks of preset"), shared("epoch_images")),
        *(shared("device", "Device"), shared("device_kind"), shared("threads", "Threads")),
        Column("commit", lambda row: row.models[0].result.commit),
        Column("run", lambda row: row.models[0].model),
        Column("origin", lambda row: "results/{preset}/{dataset}/timing.json".format(**row.models[0].row)),
        *ranged(
            "sampling_images_per_second",
            "Sampled images/s",
            lambda row: 1 / row.models[0].rounds("sampling") if len(row.models) == 1 else None,
        ),
        alone("sampling_batch_size", lambda one: one.value("batch_size"), "Batch"),
        alone("parameters", lambda one: one.value("parameters"), "Parameters"),
    )
}
