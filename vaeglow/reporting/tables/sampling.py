"""Images sampled per second, for any model there is; seconds of training are in `timing`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.reporting import columns, notes
from vaeglow.reporting.columns import significant
from vaeglow.reporting.rounds import TIMED, Timed, Timing, alone, read_timings

if TYPE_CHECKING:
    import pandas as pd

READS = ("timing",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
RATE = "sampling_images_per_second"


def milliseconds(one: Timing) -> float:
    """Of one image."""
    return 1000 * statistics.median(one.rounds("sampling"))


COLUMNS = [
    *(TIMED[name] for name in ("model", RATE, f"{RATE}_low", f"{RATE}_high")),
    alone(
        "milliseconds_per_image",
        milliseconds,
        "ms an image",
        significant,
    ),
    *(TIMED[name] for name in ("sampling_batch_size", "parameters", "source", "dataset", "preset", "device")),
    *(TIMED[name] for name in ("device_kind", "threads", "commit", "run", "origin")),
]
SHOWN = ("model", RATE, "milliseconds_per_image", "sampling_batch_size", "parameters", "device", "threads", "dataset")


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows; see `vaeglow.reporting.tables.build_table`."""
    timings = [one for group in read_timings(spec, [spec["preset"]], results_root) for one in group]
    rows = [Timed(one.name, [one]) for one in timings]
    return columns.table_of([columns.row_of(COLUMNS, row, row.evidence()) for row in rows], COLUMNS)


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: the median with its range."""
    return columns.readable(table.assign(**{RATE: columns.with_range(table, RATE)}), SHOWN)


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
