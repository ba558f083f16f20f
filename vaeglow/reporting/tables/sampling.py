"""Images sampled per second, for any model; seconds of training are in `timing`."""

from vaeglow.reporting.columns import in_order
from vaeglow.reporting.frame import PLAIN_ROWS, PerRow, Sources
from vaeglow.reporting.tables.timing import TIMED, median, seconds_of_row, timings

READS = ("timing",)
SCHEMA = PLAIN_ROWS
COLUMNS = in_order(
    """
    model sampling_images_per_second sampling_images_per_second_low sampling_images_per_second_high
    milliseconds_per_image sampling_batch_size parameters source dataset preset device device_kind threads commit run
    origin
    """,
    *TIMED,
    median("milliseconds_per_image", lambda lines: 1000 * seconds_of_row(lines, what="sampling"), "ms an image"),
)
SHOWN = "model sampling_images_per_second milliseconds_per_image sampling_batch_size parameters device threads dataset"


def rows(sources: Sources) -> PerRow:
    """Each model's times."""
    for _, lines in timings(sources).groupby("row"):
        yield lines
