"""All the training of a model, its base's included, over that of Glow: steps timed in turns, as in `timing`."""

from vaeglow.errors import UserError
from vaeglow.evaluation.timing import Ratios, epochs_of, ratios
from vaeglow.reporting.columns import Column, in_order, same
from vaeglow.reporting.frame import PLAIN_ROWS, Lines, PerRow, Sources, first
from vaeglow.reporting.tables.timing import ratio_columns

READS = ("timing", "config")
OF_BASES = ("timing",)
SCHEMA = PLAIN_ROWS


def rows(sources: Sources) -> PerRow:
    """Each model's line, then that of the first Glow of its dataset.

    Raises:
        UserError: a file is missing or of something else; a dataset without a Glow.
    """
    import pandas as pd

    for dataset, lines in sources.frame(*READS, seeds=sources["seeds"][:1]).groupby("dataset", sort=False):
        glow = lines[lines["config"].map(lambda config: config.value("kind")) == "glow"][:1]
        if glow.empty:
            raise UserError(f"tables.{sources['name']}: dataset {dataset} has no Glow to compare with: give one a row")
        for index in lines.index:
            yield pd.concat([lines.loc[[index]], glow])


def training_ratios(lines: Lines) -> Ratios:
    """A model's time over Glow's."""
    ours, glow = lines["config"].map(epochs_of)
    return ratios(first(lines, "timing"), ours, glow)[0]


COLUMNS = in_order(
    """
    model epochs training_ratio training_ratio_low training_ratio_high source dataset preset
    device threads rounds commit run device_kind
    training_ratio_lower training_ratio_upper timings
    """,
    Column("epochs", lambda lines: "+".join(map(str, epochs_of(first(lines, "config")).values())), "Epochs"),
    *ratio_columns("training_ratio", training_ratios, "Training time / Glow's"),
    same("timing.threads", "Threads"),
    same("timing.rounds"),
    same("timing.device_kind"),
)
SHOWN = "model epochs training_ratio timings dataset device threads"
