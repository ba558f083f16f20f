"""Seconds per epoch of Glow and of our two phases, and the speed-up: Table 4. No torch.

The paper's "Ours (Avg.)" is the mean of the VAE's and the Glow layer's time per epoch, as both train for equally many
epochs (section 4.3); the speed-up is Glow's time over that. Only times of one machine make a speed-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vaeglow.errors import UserError
from vaeglow.reporting import cells, notes
from vaeglow.reporting.published import read_published
from vaeglow.reporting.rounds import CLOCKS, DISAGREE, Timing, clock_of, ratios, read_timings, shared_cells, spread

COLUMNS = (
    "model",
    "seconds_per_epoch",
    "seconds_per_epoch_low",
    "seconds_per_epoch_high",
    "cpu_seconds_per_epoch",
    "speed_up",
    "speed_up_low",
    "speed_up_high",
    "source",
    "dataset",
    "preset",
    "images_per_second",
    "images_per_second_low",
    "images_per_second_high",
    "sampling_images_per_second",
    "sampling_images_per_second_low",
    "sampling_images_per_second_high",
    "sampling_batch_size",
    "batch_size",
    "epoch_images",
    "windows",
    "steps_per_window",
    "peak_memory_mib",
    "peak_memory_of",
    "parameters",
    "device",
    "device_kind",
    "threads",
    "commit",
    "run",
    "origin",
)
HEADERS = {
    "model": "Model",
    "preset": "Networks of preset",
    "seconds_per_epoch": "s/epoch",
    "cpu_seconds_per_epoch": "CPU s/epoch",
    "speed_up": "Glow / this",
    "images_per_second": "Images/s",
    "sampling_images_per_second": "Sampled images/s",
    "batch_size": "Batch",
    "peak_memory_mib": "Peak memory (MiB)",
    "parameters": "Parameters",
    "device": "Device",
    "threads": "Threads",
    "dataset": "Dataset",
    "source": "Source",
}
RANGES = ("seconds_per_epoch", "speed_up", "images_per_second", "sampling_images_per_second")


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows, preset by preset; see `vaeglow.reporting.tables.build_table`.

    Raises:
        UserError: also a Glow layer whose VAE has no row, or rows timed on different machines.
    """
    rows = read_published(published, spec["published"], COLUMNS)
    for timings in read_timings(spec, results_root):
        rows += list(preset_rows(spec, timings))
    return cells.frame(rows, COLUMNS)


def preset_rows(spec: Mapping[str, Any], timings: Sequence[Timing]) -> Iterator[dict[str, str]]:
    """A row for each model of one preset; after each Glow layer the average with its VAE.

    Raises:
        UserError: a Glow layer whose VAE has no row.
    """
    by_model = {one.model: one for one in timings}
    glow = next((one for one in timings if one.value("kind") == "glow"), None)
    for one in timings:
        yield timed_row(one)
        if one.value("kind") == "vae_glow":
            base = one.row.get("base")
            if base not in by_model:
                raise UserError(f"tables.{spec['name']}: model {one.model} stands on {base}: give {base} a row as well")
            yield average_row(by_model[base], one, glow)


def timed_row(one: Timing) -> dict[str, str]:
    """One model's row."""
    steps = one.value("training", "steps")
    return {
        **shared_cells(one),
        "model": one.label,
        **epoch_cells([one]),
        **range_cells("images_per_second", 1 / one.rounds("training")),
        **range_cells("sampling_images_per_second", 1 / one.rounds("sampling")),
        "sampling_batch_size": str(one.value("batch_size")),
        "batch_size": str(one.value("batch_size")),
        "windows": str(one.shared("rounds")),
        "steps_per_window": str(steps),
        "peak_memory_mib": f"{one.value('peak_memory_bytes') / 2**20:.0f}",
        "peak_memory_of": one.value("peak_memory_of"),
        "parameters": str(one.value("parameters")),
    }


def average_row(vae: Timing, layer: Timing, glow: Timing | None) -> dict[str, str]:
    """The paper's "Ours (Avg.)": the mean of both phases, and the speed-up, round by round, where a Glow was timed."""
    return {
        **shared_cells(layer, vae, *([glow] if glow else [])),
        "model": f"{layer.name}: average of both phases",
        **epoch_cells([vae, layer]),
        **(range_cells("speed_up", ratios([glow], [vae, layer], glow.clock)) if glow else {}),
        "origin": f"mean of {vae.model} and {layer.model}",
    }


def epoch_cells(timings: Sequence[Timing]) -> dict[str, str]:
    """Seconds of an epoch, the mean over models; CPU seconds where the CPU is what computes."""
    found = range_cells("seconds_per_epoch", sum(one.epochs() for one in timings) / len(timings))
    if timings[0].clock == "cpu_seconds":
        cpu = sum(one.epochs("cpu_seconds") for one in timings) / len(timings)
        found["cpu_seconds_per_epoch"] = cells.significant(spread(cpu)[0])
    return found


def range_cells(name: str, rounds: Sequence[float]) -> dict[str, str]:
    """Three cells: median, lowest and highest of the rounds."""
    values = zip(("", "_low", "_high"), spread(rounds), strict=True)
    return {f"{name}{suffix}": cells.significant(value) for suffix, value in values}


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: medians with their range."""
    shown = table.copy()
    for name in RANGES:
        triples = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        shown[name] = [cells.with_range(*triple) for triple in triples]
    return cells.readable(shown, HEADERS, list(HEADERS))


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
    images = cells.distinct(f"{int(count):,}" for count in measured["epoch_images"])
    clocks = [clock_of(kind) for kind in measured["device_kind"]]
    said += [
        "s/epoch is scaled, not run through: from windows of whole training steps (data, forward, backward, "
        f"optimiser), after a warm-up, to an epoch of {images} images. Median of the windows (lowest to highest).",
        "All models of a preset were timed in turns, a window each in a round. Rounds: "
        f"{cells.distinct(measured['windows'], ' or ')}; steps in a window: "
        f"{cells.distinct(measured['steps_per_window'], ' or ')}. The networks are untrained: time does not "
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
            f"**Rounds disagree** by more than {DISAGREE} times ({cells.distinct(far['model'])}): the machine was "
            "too busy for a ratio; time again on a quieter one."
        )
    if measured["batch_size"][measured["batch_size"] != ""].nunique() > 1:
        said.append("Batch sizes differ between rows: a larger batch is often faster per image.")
    said.append(f"Peak memory: {cells.distinct(measured['peak_memory_of'])}. Parameters: all, frozen ones included.")
    return said + notes.made_notes(measured, spec, "Timed on")
