"""What `time_epoch` measured, and which times make no ratio. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError
from vaeglow.paths import result_path
from vaeglow.reporting.columns import Column, significant
from vaeglow.reporting.labels import row_label

if TYPE_CHECKING:
    from vaeglow.results import Result

Range = tuple[float, float, float]  # median, lowest and highest of the windows


@dataclasses.dataclass(frozen=True)
class Timing:
    """One model's timing.json.

    Attributes:
        row: of the table's spec; `base` names the VAE a Glow layer stands on.
        name: what a reader calls the model.
        result: the file.
    """

    row: Mapping[str, Any]
    name: str
    result: Result

    def range(self, *keys: str) -> Range:
        """Median, lowest and highest of the windows.

        Raises:
            UserError: one is missing, no number, or not above 0.
        """
        from vaeglow.results import REMEDY

        median, low, high = (self.result.number(*keys, which) for which in ("median", "low", "high"))
        if not 0 < low <= median <= high:
            raise UserError(
                f"{self.result.path}: {keys[-1]} does not rise from low over median to high above 0: {REMEDY}"
            )
        return median, low, high


def read_timings(spec: Mapping[str, Any], presets: Sequence[str], results_root: str | Path) -> list[list[Timing]]:
    """The times behind a table: for each of its presets (and datasets), in order, the models' in the rows' order.

    Raises:
        UserError: a file is missing, of another model, or timed on another machine than the others of its preset.
    """
    from vaeglow.results import read_result

    found: dict[tuple[str, str], list[Timing]] = {}
    for row in sorted(spec["rows"], key=lambda row: presets.index(row["preset"])):
        identity = {key: row[key] for key in ("preset", "dataset", "model")}
        result = read_result(result_path(results_root, "timing", **identity), **identity)
        group = found.setdefault((row["preset"], row["dataset"]), [])
        group.append(Timing(row, row_label(row, spec.get("styles")), result))
        for key in ("device", "threads", "epoch_images"):
            first = group[0].result
            if result.value(key) != first.value(key):
                raise UserError(
                    f"{first.path} and {result.path} were timed with different {key} ({first.value(key)} and "
                    f"{result.value(key)}): their ratio says nothing; delete both and time them on one machine"
                )
    return list(found.values())


def timed(name: str, *keys: str) -> Column:
    """A value of timing.json, `name` if no keys are given."""
    return Column(name, lambda one: one.result.value(*(keys or (name,))))


def ranged(name: str, value: Callable[[Timing], Range | None], header: str) -> list[Column]:
    """Three columns: median, lowest and highest; empty where there is none."""

    def part(index: int) -> Callable[[Timing], float | None]:
        return lambda one: (value(one) or (None, None, None))[index]

    return [
        Column(f"{name}{suffix}", part(index), "" if suffix else header, significant)
        for index, suffix in enumerate(("", "_low", "_high"))
    ]


# What every table of times has.
TIMED = {
    column.name: column
    for column in (
        Column("model", lambda one: one.name, "Model"),
        Column("source", lambda one: "measured", "Source"),
        Column("dataset", lambda one: one.row["dataset"], "Dataset"),
        Column("preset", lambda one: one.row["preset"], "Networks of preset"),
        dataclasses.replace(timed("device"), header="Device"),
        timed("device_kind"),
        dataclasses.replace(timed("threads"), header="Threads"),
        Column("commit", lambda one: one.result.commit),
        Column("run", lambda one: one.row["model"]),
        Column("origin", lambda one: "results/{preset}/{dataset}/{model}/timing.json".format(**one.row)),
        timed("epoch_images"),
        dataclasses.replace(timed("parameters"), header="Parameters"),
        *ranged(
            "sampling_images_per_second", lambda one: one.range("sampling", "images_per_second"), "Sampled images/s"
        ),
        timed("sampling_batch_size", "sampling", "batch_size"),
    )
}
