"""All the training of a model, its base's included, over that of Glow: steps timed in turns, as in `timing`."""

from collections.abc import Iterator
from pathlib import Path

from vaeglow.errors import UserError
from vaeglow.reporting.columns import Column, named, same
from vaeglow.reporting.frame import Lines, Spec, first, results_frame
from vaeglow.reporting.tables.timing import Pool, clocks, epochs_of, pooled, ratios

__all__ = ["clocks"]  # for the notes
READS = ("timing", "config")
OF_BASES = ("timing",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}


def rows(spec: Spec, results_root: str | Path) -> Iterator[Lines]:
    """Each model's line, then that of the first Glow of its dataset.

    Raises:
        UserError: a file is missing or of something else; a dataset without a Glow.
    """
    import pandas as pd

    frame = results_frame(spec["rows"], results_root, READS, {**spec, "seeds": spec["seeds"][:1]})
    for dataset, lines in frame.groupby("dataset", sort=False):
        glow = lines[[config.value("kind") == "glow" for config in lines["config"]]][:1]
        if glow.empty:
            raise UserError(f"tables.{spec['name']}: dataset {dataset} has no Glow to compare with: give one a row")
        yield from (pd.concat([lines.loc[[index]], glow]) for index in lines.index)


def training_ratio(lines: Lines) -> Pool:
    """A model's time over Glow's: see `pooled`."""
    return pooled(first(lines, "timing"), *map(epochs_of, lines["config"]))


def epochs(lines: Lines) -> str:
    """Of each phase."""
    return "+".join(map(str, epochs_of(first(lines, "config")).values()))


COLUMNS = named(
    """
    model epochs training_ratio training_ratio_low training_ratio_high source dataset preset
    device threads rounds commit run device_kind
    training_ratio_lower training_ratio_upper timings
    """,
    Column("epochs", epochs, "Epochs"),
    *ratios("training_ratio", training_ratio, "Training time / Glow's"),
    *(same("timing.threads", "Threads"), same("timing.rounds"), same("timing.device_kind")),
)
SHOWN = "model epochs training_ratio timings dataset device threads"
