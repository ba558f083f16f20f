"""Images sampled per second, for any model; seconds of training are in `timing`."""

from collections.abc import Iterator
from pathlib import Path

from vaeglow.reporting.columns import named
from vaeglow.reporting.frame import Lines, Spec
from vaeglow.reporting.tables.timing import TIMED, median, of_row, timings

READS = ("timing",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
COLUMNS = named(
    """
    model sampling_images_per_second sampling_images_per_second_low sampling_images_per_second_high
    milliseconds_per_image sampling_batch_size parameters source dataset preset device device_kind threads commit run
    origin
    """,
    *TIMED,
    median("milliseconds_per_image", lambda lines: 1000 * of_row(lines, what="sampling"), "ms an image"),
)
SHOWN = "model sampling_images_per_second milliseconds_per_image sampling_batch_size parameters device threads dataset"


def rows(spec: Spec, results_root: str | Path) -> Iterator[Lines]:
    """Each model's times."""
    yield from (lines for _, lines in timings(spec, results_root).groupby("row"))
