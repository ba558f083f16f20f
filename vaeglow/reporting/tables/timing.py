"""Seconds per epoch of Glow and of our two phases, and the speed-up: Table 4.

The paper's "Ours (Avg.)" is the mean of the VAE's and the Glow layer's time per epoch, as both train for equally many
epochs (section 4.3); the speed-up is Glow's time over that. Only times of one machine make a speed-up.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError
from vaeglow.reporting import columns, notes
from vaeglow.reporting.columns import Column, fixed, significant
from vaeglow.reporting.published import read_published
from vaeglow.reporting.rounds import (
    CLOCKS,
    DISAGREE,
    TIMED,
    Timed,
    Timing,
    alone,
    clock_of,
    ranged,
    ratios,
    read_timings,
)
from vaeglow.reporting.traced import distinct

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

READS = ("timing",)
SCHEMA = {
    "published": {"$ref": "#/$defs/published_name"},
    "presets": {
        "$ref": "#/$defs/models",
        "description": "the presets whose networks are timed, each row under each of them",
    },
    "rows": {"$ref": "#/$defs/plain_rows"},
}
PHASES = {"vae": " (phase 1)", "vae_glow": ": Glow layer (phase 2)"}  # what of ours a row times


def epochs(row: Timed, clock: str = "seconds") -> np.ndarray:
    """Seconds of an epoch in each round, the mean over models: [rounds]."""
    return sum(one.epochs(clock) for one in row.models) / len(row.models)


def cpu_seconds(row: Timed) -> float | None:
    """CPU seconds of an epoch, the median of the rounds, where the CPU is what computes."""
    return statistics.median(epochs(row, "cpu_seconds")) if row.models[0].clock == "cpu_seconds" else None


def trained(row: Timed) -> np.ndarray | None:
    """Images trained on a second in each round, [rounds]."""
    return 1 / row.models[0].rounds("training") if len(row.models) == 1 else None


def speed_up(row: Timed) -> np.ndarray | None:
    """Glow's time over the row's, round by round: [rounds]."""
    return ratios([row.glow], row.models, row.glow.clock) if row.glow else None


def origin(row: Timed) -> str:
    """The file, or the models of a mean."""
    names = [one.model for one in row.models[::-1]]
    return TIMED["origin"].value(row) if len(names) == 1 else f"mean of {' and '.join(names)}"


COLUMNS = [
    *(TIMED["model"], *ranged("seconds_per_epoch", "s/epoch", epochs)),
    Column("cpu_seconds_per_epoch", cpu_seconds, "CPU s/epoch", significant),
    *(*ranged("speed_up", "Glow / this", speed_up), TIMED["source"], TIMED["dataset"], TIMED["preset"]),
    *ranged("images_per_second", "Images/s", trained),
    *(column for name, column in TIMED.items() if name.startswith("sampling_")),
    alone("batch_size", lambda one: one.value("batch_size"), "Batch"),
    TIMED["epoch_images"],
    alone("windows", lambda one: one.result.value("rounds")),
    alone("steps_per_window", lambda one: one.value("training", "steps")),
    alone("peak_memory_mib", lambda one: one.value("peak_memory_bytes") / 2**20, "Peak memory (MiB)", fixed(0)),
    alone("peak_memory_of", lambda one: one.value("peak_memory_of")),
    *(TIMED[name] for name in ("parameters", "device", "device_kind", "threads", "commit", "run")),
    Column("origin", origin),
]
RANGES = ("seconds_per_epoch", "speed_up", "images_per_second", "sampling_images_per_second")
SHOWN = (
    *("model", "preset", "seconds_per_epoch", "cpu_seconds_per_epoch", "speed_up", "images_per_second"),
    *("sampling_images_per_second", "batch_size", "peak_memory_mib", "parameters", "device", "threads", "dataset"),
    "source",
)


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows, preset by preset; see `vaeglow.reporting.tables.build_table`.

    Raises:
        UserError: also a Glow layer whose VAE has no row.
    """
    found = [row for group in read_timings(spec, spec["presets"], results_root) for row in rows_of(spec, group)]
    rows = [columns.row_of(COLUMNS, row, row.evidence()) for row in found]
    return columns.table_of([*read_published(published, spec["published"]), *rows], COLUMNS)


def rows_of(spec: Mapping[str, Any], timings: Sequence[Timing]) -> Iterator[Timed]:
    """A row for each model of one preset; after each Glow layer the paper's "Ours (Avg.)", its mean with its VAE.

    Raises:
        UserError: a Glow layer whose VAE has no row.
    """
    by_model = {one.model: one for one in timings}
    glow = next((one for one in timings if one.value("kind") == "glow"), None)
    for one in timings:
        kind, base = one.value("kind"), one.row.get("base")
        yield Timed(one.name + PHASES.get(kind, ""), [one])
        if kind == "vae_glow":
            if base not in by_model:
                raise UserError(f"tables.{spec['name']}: model {one.model} stands on {base}: give {base} a row as well")
            yield Timed(f"{one.name}: average of both phases", [one, by_model[base]], glow)


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: medians with their range."""
    return columns.readable(table.assign(**{name: columns.with_range(table, name) for name in RANGES}), SHOWN)


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """How times were taken, and what a speed-up is worth."""
    measured = table[table["source"] == "measured"]
    said = []
    if "demo" in set(measured["preset"]):
        said.append(
            "**Demo scale** in the rows of preset demo: small networks, whose ratio says little about the paper's. "
            "The claim is about networks of preset paper."
        )
    said += notes.published_note(table, "batch size")
    images = distinct(f"{int(count):,}" for count in measured["epoch_images"])
    clocks = [clock_of(kind) for kind in measured["device_kind"]]
    said += [
        "s/epoch is scaled, not run through: from windows of whole training steps (data, forward, backward, "
        f"optimiser), after a warm-up, to an epoch of {images} images. Median of the windows (lowest to highest).",
        "All models of a preset were timed in turns, a window each in a round. Rounds: "
        f"{distinct(measured['windows'], ' or ')}; steps in a window: "
        f"{distinct(measured['steps_per_window'], ' or ')}. The networks are untrained: time does not "
        "depend on what they have learned.",
        "The average is the mean of the VAE's epoch and the Glow layer's, as both train for equally many epochs; "
        "Glow / this compares it with Glow at equal total epochs, round by round: in "
        + " and ".join(words for clock, words in CLOCKS.items() if clock in clocks)
        + ". Median of the rounds (lowest to highest).",
        "Compare ratios of rows of one preset, device and thread count, never seconds of different devices.",
    ]
    ratio = measured[measured["speed_up"] != ""]
    far = ratio[ratio["speed_up_high"].astype(float) > DISAGREE * ratio["speed_up_low"].astype(float)]
    if len(far):
        said.append(
            f"**Rounds disagree** by more than {DISAGREE} times ({distinct(far['model'])}): the machine was "
            "too busy for a ratio; time again on a quieter one."
        )
    if measured["batch_size"][measured["batch_size"] != ""].nunique() > 1:
        said.append("Batch sizes differ between rows: a larger batch is often faster per image.")
    said.append(f"Peak memory: {distinct(measured['peak_memory_of'])}. Parameters: all, frozen ones included.")
    return said + notes.made_notes(measured, spec, "Timed on")
