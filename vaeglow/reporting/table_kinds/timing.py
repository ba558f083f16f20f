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
from vaeglow.reporting import cells, notes, traced
from vaeglow.reporting.published import read_published
from vaeglow.reporting.table_kinds.windows import Timing, read_timings

COLUMNS = (
    "model",
    "seconds_per_epoch",
    "seconds_per_epoch_low",
    "seconds_per_epoch_high",
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
    glow = next((one for one in timings if one.kind == "glow"), None)
    for one in timings:
        yield timed_row(one)
        if one.kind == "vae_glow":
            base = one.row.get("base")
            if base not in by_model:
                raise UserError(f"tables.{spec['name']}: model {one.model} stands on {base}: give {base} a row as well")
            yield average_row(by_model[base], one, glow)


def timed_row(one: Timing) -> dict[str, str]:
    """One model's row."""
    return {
        **shared_cells(one),
        "model": one.label,
        **range_cells("seconds_per_epoch", one.seconds),
        **range_cells("images_per_second", one.triple("images_per_second")),
        **range_cells("sampling_images_per_second", one.triple("sampling", "images_per_second")),
        "sampling_batch_size": str(one.value("sampling", "batch_size")),
        "batch_size": str(one.value("batch_size")),
        "windows": str(one.value("windows")),
        "steps_per_window": cells.distinct((str(count) for count in one.value("steps_per_window")), " "),
        "peak_memory_mib": f"{one.number('peak_memory_bytes') / 2**20:.0f}",
        "peak_memory_of": str(one.value("peak_memory_of")),
        "parameters": str(one.value("parameters")),
        "origin": f"results/{one.row['preset']}/{one.row['dataset']}/{one.model}/timing.json",
    }


def average_row(vae: Timing, layer: Timing, glow: Timing | None) -> dict[str, str]:
    """The paper's "Ours (Avg.)": the mean of both phases, and the speed-up where a Glow was timed.

    The ranges are the widest that the windows allow: fastest with fastest, slowest with slowest.
    """
    median, low, high = ((a + b) / 2 for a, b in zip(vae.seconds, layer.seconds, strict=True))
    row = {
        **shared_cells(layer),
        "model": f"{layer.name}: average of both phases",
        **range_cells("seconds_per_epoch", (median, low, high)),
        "origin": f"mean of {vae.model} and {layer.model}",
        **traced.trace_cells({one.path: one.content for one in (vae, layer, *([glow] if glow else []))}),
    }
    if glow is not None:
        row |= range_cells("speed_up", (glow.seconds[0] / median, glow.seconds[1] / high, glow.seconds[2] / low))
    return row


def shared_cells(one: Timing) -> dict[str, str]:
    """What the rows of one preset have in common."""
    return {
        "source": "measured",
        "dataset": one.row["dataset"],
        "preset": one.row["preset"],
        "epoch_images": str(one.value("epoch_images")),
        "device": one.value("device"),
        "device_kind": one.value("device_kind"),
        "threads": str(one.value("threads")),
        "commit": one.commit,
        "run": one.model,
        **traced.trace_cells({one.path: one.content}),
    }


def range_cells(name: str, values: tuple[float, float, float]) -> dict[str, str]:
    """Three cells: median, lowest and highest."""
    return {
        f"{name}{suffix}": cells.significant(value) for suffix, value in zip(("", "_low", "_high"), values, strict=True)
    }


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
    said += [
        "s/epoch is scaled, not run through: from windows of whole training steps (data, forward, backward, "
        f"optimiser), after a warm-up, to an epoch of {images} images. Median of the windows (lowest to highest).",
        f"Windows: {cells.distinct(measured['windows'], ' or ')}; steps in each: "
        f"{cells.distinct(measured['steps_per_window'], ' or ')}. The networks are untrained: time does not "
        "depend on what they have learned.",
        "The average is the mean of the VAE's epoch and the Glow layer's, as both train for equally many epochs; "
        "Glow / this compares it with Glow at equal total epochs. Its range pairs the windows as unfavourably, and as "
        "favourably, as they allow.",
        "Compare ratios of rows of one preset, device and thread count, never seconds of different devices.",
    ]
    if measured["batch_size"][measured["batch_size"] != ""].nunique() > 1:
        said.append("Batch sizes differ between rows: a larger batch is often faster per image.")
    said.append(f"Peak memory: {cells.distinct(measured['peak_memory_of'])}. Parameters: all, frozen ones included.")
    return said + notes.made_notes(measured, spec, "Timed on")
