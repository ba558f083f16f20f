"""Seconds per epoch of Glow and of our two phases, and the speed-up: Table 4.

The paper's "Ours (Avg.)" is the mean of the VAE's and the Glow layer's time per epoch, as both train for equally many
epochs (section 4.3); the speed-up is Glow's time over that. Only times of one machine make a speed-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError
from vaeglow.reporting.columns import Column, fixed, named, significant
from vaeglow.reporting.rounds import CLOCKS, DISAGREE, TIMED, Timed, alone, clock_of, ranged, ratios, read_timings
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
SHOWN = """
    model preset seconds_per_epoch cpu_seconds_per_epoch speed_up images_per_second sampling_images_per_second
    batch_size peak_memory_mib parameters device threads dataset source
"""


def rows(spec: Mapping[str, Any], results_root: str | Path) -> Iterator[Timed]:
    """Each model's times, preset by preset; after each Glow layer the paper's "Ours (Avg.)", its mean with its VAE.

    Raises:
        UserError: a file is missing or of something else; a Glow layer whose VAE has no row.
    """
    for timings in read_timings(spec, spec["presets"], results_root):
        by_model = {one.model: one for one in timings}
        glow = next((one for one in timings if one.value("kind") == "glow"), None)
        for one in timings:
            kind, base = one.value("kind"), one.row.get("base")
            yield Timed(one.name + PHASES.get(kind, ""), [one])
            if kind == "vae_glow":
                if base not in by_model:
                    raise UserError(
                        f"tables.{spec['name']}: model {one.model} stands on {base}: give {base} a row as well"
                    )
                yield Timed(f"{one.name}: average of both phases", [one, by_model[base]], glow)


def epochs(row: Timed, clock: str = "seconds") -> np.ndarray:
    """Seconds of an epoch in each round, the mean over models: [rounds]."""
    return sum(one.epochs(clock) for one in row.models) / len(row.models)


def cpu_seconds(row: Timed) -> float | None:
    """CPU seconds of an epoch, the median of the rounds, where the CPU is what computes."""
    return median(epochs(row, "cpu_seconds")) if row.models[0].clock == "cpu_seconds" else None


def origin(row: Timed) -> str:
    """The file, or the models of a mean."""
    names = [one.model for one in row.models[::-1]]
    return TIMED["origin"].value(row) if len(names) == 1 else f"mean of {' and '.join(names)}"


COLUMNS = named(
    """
    model seconds_per_epoch seconds_per_epoch_low seconds_per_epoch_high cpu_seconds_per_epoch
    speed_up speed_up_low speed_up_high source dataset preset
    images_per_second images_per_second_low images_per_second_high
    sampling_images_per_second sampling_images_per_second_low sampling_images_per_second_high sampling_batch_size
    batch_size epoch_images windows steps_per_window peak_memory_mib peak_memory_of parameters device device_kind
    threads commit run origin
    """,
    *(*TIMED.values(), Column("origin", origin)),
    *ranged("seconds_per_epoch", "s/epoch", epochs),
    Column("cpu_seconds_per_epoch", cpu_seconds, "CPU s/epoch", significant),
    *ranged(
        "speed_up", "Glow / this", lambda row: ratios([row.glow], row.models, row.glow.clock) if row.glow else None
    ),
    *ranged(
        "images_per_second", "Images/s", lambda row: None if row.models[1:] else 1 / row.models[0].rounds("training")
    ),
    alone("batch_size", lambda one: one.value("batch_size"), "Batch"),
    alone("windows", lambda one: one.result.value("rounds")),
    alone("steps_per_window", lambda one: one.value("training", "steps")),
    alone("peak_memory_mib", lambda one: one.value("peak_memory_bytes") / 2**20, "Peak memory (MiB)", fixed(0)),
    alone("peak_memory_of", lambda one: one.value("peak_memory_of")),
)


def words(table: pd.DataFrame, spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the notes say of these rows."""
    measured = table[table["source"] == "measured"]
    ratio = measured[measured["speed_up"] != ""]
    far = ratio[ratio["speed_up_high"].astype(float) > DISAGREE * ratio["speed_up_low"].astype(float)]
    clocks = {clock_of(kind) for kind in measured["device_kind"]}
    return {
        "demo": "demo" in spec["presets"],
        "images": distinct(f"{int(count):,}" for count in measured["epoch_images"]),
        "clocks": " and ".join(words for clock, words in CLOCKS.items() if clock in clocks),
        "times": DISAGREE,
        "disagree": distinct(far["model"]),
        "batches": measured["batch_size"][measured["batch_size"] != ""].nunique() > 1,
    }


NOTES = """
- [demo] **Demo scale** in the rows of preset demo: small networks, whose ratio says little about the paper's. The claim
  is about networks of preset paper.
- [published] Published rows are cited, not measured; their batch size cannot be recovered {CITED}
- s/epoch is scaled, not run through: from windows of whole training steps (data, forward, backward, optimiser), after a
  warm-up, to an epoch of {images} images. Median of the windows (lowest to highest).
- All models of a preset were timed in turns, a window each in a round. Rounds: {windows}; steps in a window:
  {steps_per_window}. The networks are untrained: time does not depend on what they have learned.
- The average is the mean of the VAE's epoch and the Glow layer's, as both train for equally many epochs; Glow / this
  compares it with Glow at equal total epochs, round by round: in {clocks}. Median of the rounds (lowest to highest).
- Compare ratios of rows of one preset, device and thread count, never seconds of different devices.
- [disagree] **Rounds disagree** by more than {times} times ({disagree}): the machine was too busy for a ratio; time
  again on a quieter one.
- [batches] Batch sizes differ between rows: a larger batch is often faster per image.
- Peak memory: {peak_memory_of}. Parameters: all, frozen ones included.
- Timed on: {device}; commit {commit}.
{MADE}
"""
