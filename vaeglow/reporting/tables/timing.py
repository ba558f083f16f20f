"""Seconds per epoch of Glow and of our two phases, and the speed-up: Table 4. No torch.

The paper's "Ours (Avg.)" is the mean of the VAE's and the Glow layer's time per epoch, as both train for equally many
epochs (section 4.3); the speed-up is Glow's time over that. Only times of one machine make a speed-up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError
from vaeglow.reporting import columns, notes
from vaeglow.reporting.columns import Column, fixed
from vaeglow.reporting.published import read_published
from vaeglow.reporting.timings import TIMED, Timing, ranged, read_timings, timed
from vaeglow.reporting.traced import distinct

if TYPE_CHECKING:
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
SECONDS = ranged("seconds_per_epoch", lambda one: one.range("seconds_per_epoch"), "s/epoch")
SPEED_UP = ranged("speed_up", lambda one: None, "Glow / this")  # of the averages alone
SAMPLING = [column for name, column in TIMED.items() if name.startswith("sampling_")]
COMMON = ("source", "dataset", "preset", "epoch_images", "device", "device_kind", "threads", "commit", "run")
COLUMNS = [
    Column("model", lambda one: one.name + PHASES.get(one.result.value("kind"), ""), "Model"),
    *(*SECONDS, *SPEED_UP, TIMED["source"], TIMED["dataset"], TIMED["preset"]),
    *ranged("images_per_second", lambda one: one.range("images_per_second"), "Images/s"),
    *(*SAMPLING, dataclasses.replace(timed("batch_size"), header="Batch"), TIMED["epoch_images"], timed("windows")),
    Column("steps_per_window", lambda one: distinct(map(str, one.result.value("steps_per_window")), " ")),
    Column(
        "peak_memory_mib",
        lambda one: one.result.number("peak_memory_bytes") / 2**20,
        "Peak memory (MiB)",
        fixed(0),
    ),
    timed("peak_memory_of"),
    *(TIMED[name] for name in ("parameters", "device", "device_kind", "threads", "commit", "run", "origin")),
]
RANGES = ("seconds_per_epoch", "speed_up", "images_per_second", "sampling_images_per_second")
SHOWN = (
    *("model", "preset", *RANGES, "batch_size", "peak_memory_mib", "parameters", "device", "threads", "dataset"),
    "source",
)


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows, preset by preset; see `vaeglow.reporting.tables.build_table`.

    Raises:
        UserError: also a Glow layer whose VAE has no row, or rows timed on different machines.
    """
    rows = read_published(published, spec["published"])
    for timings in read_timings(spec, spec["presets"], results_root):
        rows += preset_rows(spec, timings)
    return columns.table_of(rows, COLUMNS)


def preset_rows(spec: Mapping[str, Any], timings: Sequence[Timing]) -> Iterator[dict[str, Any]]:
    """A row for each model of one preset; after each Glow layer the average with its VAE.

    Raises:
        UserError: a Glow layer whose VAE has no row.
    """
    by_model = {one.row["model"]: one for one in timings}
    glow = next((one for one in timings if one.result.value("kind") == "glow"), None)
    for one in timings:
        yield columns.row_of(COLUMNS, one, [one.result])
        if one.result.value("kind") == "vae_glow":
            model, base = one.row["model"], one.row.get("base")
            if base not in by_model:
                raise UserError(f"tables.{spec['name']}: model {model} stands on {base}: give {base} a row as well")
            yield average_row(by_model[base], one, glow)


def average_row(vae: Timing, layer: Timing, glow: Timing | None) -> dict[str, Any]:
    """The paper's "Ours (Avg.)": the mean of both phases, and the speed-up where a Glow was timed.

    The ranges are the widest that the windows allow: fastest with fastest, slowest with slowest.
    """
    pairs = zip(vae.range("seconds_per_epoch"), layer.range("seconds_per_epoch"), strict=True)
    median, low, high = ours = [(one + other) / 2 for one, other in pairs]
    read = [one.result for one in (vae, layer, glow) if one is not None]
    row = columns.row_of([TIMED[name] for name in COMMON], layer, read)
    row |= {
        "model": f"{layer.name}: average of both phases",
        "origin": f"mean of {vae.row['model']} and {layer.row['model']}",
    }
    row |= {column.name: seconds for column, seconds in zip(SECONDS, ours, strict=True)}
    if glow is not None:
        speed_up = [
            one / other for one, other in zip(glow.range("seconds_per_epoch"), (median, high, low), strict=True)
        ]
        row |= {column.name: value for column, value in zip(SPEED_UP, speed_up, strict=True)}
    return row


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
    said += [
        "s/epoch is scaled, not run through: from windows of whole training steps (data, forward, backward, "
        f"optimiser), after a warm-up, to an epoch of {images} images. Median of the windows (lowest to highest).",
        f"Windows: {distinct(measured['windows'], ' or ')}; steps in each: "
        f"{distinct(measured['steps_per_window'], ' or ')}. The networks are untrained: time does not "
        "depend on what they have learned.",
        "The average is the mean of the VAE's epoch and the Glow layer's, as both train for equally many epochs; "
        "Glow / this compares it with Glow at equal total epochs. Its range pairs the windows as unfavourably, and as "
        "favourably, as they allow.",
        "Compare ratios of rows of one preset, device and thread count, never seconds of different devices.",
    ]
    if measured["batch_size"][measured["batch_size"] != ""].nunique() > 1:
        said.append("Batch sizes differ between rows: a larger batch is often faster per image.")
    said.append(f"Peak memory: {distinct(measured['peak_memory_of'])}. Parameters: all, frozen ones included.")
    return said + notes.made_notes(measured, spec, "Timed on")
