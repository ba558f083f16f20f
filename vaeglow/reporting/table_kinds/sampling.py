"""Images sampled per second, for any model there is; seconds of training are in `timing`. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from vaeglow.reporting import cells, notes
from vaeglow.reporting.rounds import Timing, read_timings, shared_cells, spread
from vaeglow.reporting.table_kinds.timing import range_cells

RATE = "sampling_images_per_second"
COLUMNS = (
    "model",
    RATE,
    f"{RATE}_low",
    f"{RATE}_high",
    "milliseconds_per_image",
    "sampling_batch_size",
    "parameters",
    "source",
    "dataset",
    "preset",
    "device",
    "device_kind",
    "threads",
    "commit",
    "run",
    "origin",
)
HEADERS = {
    "model": "Model",
    RATE: "Sampled images/s",
    "milliseconds_per_image": "ms an image",
    "sampling_batch_size": "Batch",
    "parameters": "Parameters",
    "device": "Device",
    "threads": "Threads",
    "dataset": "Dataset",
}


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows; see `vaeglow.reporting.tables.build_table`."""
    groups = read_timings({**spec, "presets": [spec["preset"]]}, results_root)
    return cells.frame([measured_row(one) for timings in groups for one in timings], COLUMNS)


def measured_row(one: Timing) -> dict[str, str]:
    """One model's row."""
    seconds = one.rounds("sampling")
    return {
        **shared_cells(one),
        "model": one.name,
        **range_cells(RATE, 1 / seconds),
        "milliseconds_per_image": cells.significant(1000 * spread(seconds)[0]),
        "sampling_batch_size": str(one.value("batch_size")),
        "parameters": str(one.value("parameters")),
    }


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: the median with its range."""
    triples = zip(table[RATE], table[f"{RATE}_low"], table[f"{RATE}_high"], strict=True)
    shown = table.assign(**{RATE: [cells.with_range(*triple) for triple in triples]})
    return cells.readable(shown, HEADERS, list(HEADERS))


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """How it was timed, and what may be compared."""
    return [
        *notes.demo_note(spec),
        "Whole samples, latents and noise included, of untrained networks at temperature 1, after a warm-up: median of "
        "the timed windows (lowest to highest). Time depends on neither weights nor temperature.",
        "A model trained jointly or fine-tuned has the networks of the one trained in two phases, and so its speed. "
        "Models that share all but their decoder's noise differ by the spread of the measurement.",
        "Compare rows of one device and thread count only.",
        *notes.made_notes(table, spec, "Timed on"),
    ]
