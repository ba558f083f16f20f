"""One model minus another, seed by seed and on the same test images: FID, KID and bits/dim.

Means over seeds ignore that runs come in pairs. Here the difference is taken under each seed first; its spread over
seeds shows the variation between trainings. For bits/dim it is taken image by image as well.
"""

from collections.abc import Iterable
from math import sqrt

import numpy as np

from vaeglow.reporting.columns import COLUMNS as SHARED
from vaeglow.reporting.columns import ERROR, Column, fixed, in_order, only, same
from vaeglow.reporting.frame import BITS, PROTOCOL, Array, Lines, PerRow, Sources, Words, bound_note, numbers
from vaeglow.reporting.traced import Texts

READS = ("training", "likelihood", "metrics", "likelihood_images")
SCHEMA = {**PROTOCOL, "rows": {"$ref": "#/$defs/compared_rows"}}


def rows(sources: Sources) -> PerRow:
    """For each pair the lines of both models, `minus` saying which one is subtracted."""
    frame = sources.frame(*READS, rows=[side for row in sources["rows"] for side in (row, row["minus"])])
    frame["minus"] = frame["row"] % 2 == 1
    for _, pair in frame.groupby(frame["row"] // 2):
        yield pair


def minus(pair: Lines, values: Array) -> Array:
    """Values of one model minus the other's, from those of all lines."""
    return values[~pair["minus"]] - values[pair["minus"]]


def bits_differences(pair: Lines) -> Array:
    """Bits/dim of one model minus the other's: [seeds, images]."""
    return minus(pair, np.stack([file.arrays[BITS] for file in pair["likelihood_images"]]).astype(float))


def bits_error(pair: Lines) -> float:
    """The standard error of the mean difference of bits/dim over test images, the same under every seed."""
    means = bits_differences(pair).mean(axis=0)
    return means.std(ddof=1) / sqrt(len(means))


def kid_error(pair: Lines) -> float:
    """The standard error of the mean KID difference over sample sets, as if nothing were shared; NaN if unknown."""
    return 2 * sqrt((numbers(pair, "metrics.kid_standard_error", null=True) ** 2).sum(skipna=False)) / len(pair)


COLUMNS = in_order(
    """
    model minus difference_fid difference_kid difference_kid_standard_error
    difference_bits_per_dim difference_bits_per_dim_standard_error source dataset preset temperature minus_temperature
    seeds fid_samples protocol
    difference_fid_sd difference_kid_sd difference_bits_per_dim_sd
    model_bound minus_bound likelihood_images dequantisation fid_sets exploded_samples fid_reference_images fid_features
    fid_split device commit run minus_run origin minus_origin
    """,
    Column("difference_fid", lambda pair: minus(pair, numbers(pair, "metrics.fid").to_numpy()), "FID", fixed(2)),
    Column(
        "difference_kid",
        lambda pair: minus(pair, numbers(pair, "metrics.kid", null=True).to_numpy()),
        "KID",
        fixed(5),
        (ERROR, "difference_kid_standard_error"),
    ),
    Column("difference_kid_standard_error", kid_error, form=fixed(5)),
    Column(
        "difference_bits_per_dim",
        lambda pair: bits_differences(pair).mean(1),
        "bits/dim",
        fixed(4),
        (ERROR, "difference_bits_per_dim_standard_error"),
    ),
    Column("difference_bits_per_dim_standard_error", bits_error, form=fixed(4)),
    same("likelihood.bound", name="model_bound"),
    only(same("label", "minus", name="minus"), "minus", True),
    *(
        only(column, "minus", True, name=f"minus_{column.name}")
        for column in SHARED
        if column.name in ("bound", "temperature", "run", "origin")
    ),
)
SHOWN = "model minus difference_fid difference_kid difference_bits_per_dim seeds"


def bounds(rows: Iterable[Texts]) -> Words:
    """What the bounds among the numbers mean for their differences, for the notes."""
    notes = [bound_note(row["model_bound"], row["minus_bound"], row["model"], row["minus"]) for row in rows]
    return [*filter(None, dict.fromkeys(notes))]
