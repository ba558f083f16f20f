"""Images sampled per second, for any model; seconds of training are in `timing`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaeglow.reporting.columns import Column, named, significant
from vaeglow.reporting.tables.timing import TIMED, of_row, timings

if TYPE_CHECKING:
    import pandas as pd

READS = ("timing",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
COLUMNS = named(
    """
    model sampling_images_per_second sampling_images_per_second_low sampling_images_per_second_high
    milliseconds_per_image sampling_batch_size parameters source dataset preset device device_kind threads commit run
    origin
    """,
    *TIMED,
    Column(
        "milliseconds_per_image",
        lambda lines: 1000 * np.median(of_row(lines, what="sampling")),
        "ms an image",
        significant,
    ),
)
SHOWN = """
    model sampling_images_per_second milliseconds_per_image sampling_batch_size parameters device threads dataset
"""


def rows(spec: Mapping[str, Any], results_root: str | Path) -> Iterator[pd.DataFrame]:
    """Each model's times."""
    yield from (lines for _, lines in timings(spec, results_root).groupby("row"))


NOTES = """
{DEMO}
- Whole samples, latents and noise included, of untrained networks at temperature 1, after a warm-up: median of the
  timed windows (lowest to highest). Time depends on neither weights nor temperature.
- A model trained jointly or fine-tuned has the networks of the one trained in two phases, and so its speed. Models that
  share all but their decoder's noise differ by the spread of the measurement.
- Compare rows of one device and thread count only.
- Timed on: {device}; commit {commit}.
"""
