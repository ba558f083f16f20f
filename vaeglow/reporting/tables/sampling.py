"""Images sampled per second, for any model there is; seconds of training are in `timing`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from vaeglow.reporting.columns import named, significant
from vaeglow.reporting.rounds import TIMED, Timed, alone, read_timings

READS = ("timing",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
COLUMNS = named(
    """
    model sampling_images_per_second sampling_images_per_second_low sampling_images_per_second_high
    milliseconds_per_image sampling_batch_size parameters source dataset preset device device_kind threads commit run
    origin
    """,
    *TIMED.values(),
    alone("milliseconds_per_image", lambda one: 1000 * median(one.rounds("sampling")), "ms an image", significant),
)
SHOWN = """
    model sampling_images_per_second milliseconds_per_image sampling_batch_size parameters device threads dataset
"""


def rows(spec: Mapping[str, Any], results_root: str | Path) -> Iterator[Timed]:
    """Each model's times."""
    for group in read_timings(spec, [spec["preset"]], results_root):
        yield from (Timed(one.name, [one]) for one in group)


NOTES = """
{DEMO}
- Whole samples, latents and noise included, of untrained networks at temperature 1, after a warm-up: median of the
  timed windows (lowest to highest). Time depends on neither weights nor temperature.
- A model trained jointly or fine-tuned has the networks of the one trained in two phases, and so its speed. Models that
  share all but their decoder's noise differ by the spread of the measurement.
- Compare rows of one device and thread count only.
- Timed on: {device}; commit {commit}.
{MADE}
"""
