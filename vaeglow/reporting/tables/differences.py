"""One model minus another, seed by seed and on the same test images: FID, KID and bits/dim.

Means over seeds ignore that runs come in pairs. Here the difference is taken under each seed first; its spread over
seeds shows the variation between trainings. For bits/dim it is taken image by image as well.
"""

import math
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from vaeglow.reporting.columns import ERROR, SHARED, Column, Value, fixed, in_order, only, same
from vaeglow.reporting.frame import BITS, PROTOCOL, Lines, Sources, bound_note, numbers
from vaeglow.reporting.traced import Texts

READS = ("training", "likelihood", "metrics", "likelihood_images")
SCHEMA = {**PROTOCOL, "rows": {"$ref": "#/$defs/compared_rows"}}


def rows(sources: Sources) -> Iterator[Lines]:
    """For each pair the lines of both models, `minus` saying which one is subtracted."""
    sides = []
    for row in sources.spec["rows"]:
        sides += [row, row["minus"]]
    frame = sources.frame(*READS, rows=sides, arrays=[BITS])
    frame["minus"] = frame["row"] % 2 == 1
    for _, pair in frame.groupby(frame["row"] // 2):
        yield pair


def minus(pair: Lines, values: np.ndarray) -> np.ndarray:
    """Values of one model minus the other's, from those of all lines."""
    return values[~pair["minus"]] - values[pair["minus"]]


def measure_differences(pair: Lines, name: str) -> np.ndarray:
    """`fid` or `kid` of one model minus the other's: [seeds]."""
    return minus(pair, numbers(pair, f"metrics.{name}", null=name == "kid").to_numpy())


def bits_differences(pair: Lines) -> np.ndarray:
    """Bits/dim of one model minus the other's: [seeds, images]."""
    bits = [file.arrays[BITS] for file in pair["likelihood_images"]]
    return minus(pair, np.stack(bits).astype(float))


def bits_error(pair: Lines) -> float:
    """The standard error of the mean difference of bits/dim over test images, the same under every seed."""
    means = bits_differences(pair).mean(axis=0)
    return means.std(ddof=1) / math.sqrt(len(means))


def kid_error(pair: Lines) -> float:
    """The standard error of the mean KID difference over sample sets, as if nothing were shared; NaN if unknown."""
    errors = numbers(pair, "metrics.kid_standard_error", null=True)
    return 2 * math.sqrt((errors**2).sum(skipna=False)) / len(pair)


def with_error(name: str, value: Value, header: str, decimals: int, error: Value) -> list[Column]:
    """The columns of a number: the mean over seeds, and its error."""
    form = fixed(decimals)
    error_name = f"{name}_standard_error"
    return [Column(name, value, header, form, (ERROR, error_name)), Column(error_name, error, form=form)]


COLUMNS = in_order(
    """
    model minus difference_fid difference_kid difference_kid_standard_error
    difference_bits_per_dim difference_bits_per_dim_standard_error source dataset preset temperature minus_temperature
    seeds fid_samples protocol
    difference_fid_sd difference_kid_sd difference_bits_per_dim_sd
    model_bound minus_bound likelihood_images dequantisation fid_sets exploded_samples fid_reference_images fid_features
    fid_split device commit run minus_run origin minus_origin
    """,
    Column("difference_fid", partial(measure_differences, name="fid"), "FID", fixed(2)),
    *with_error("difference_kid", partial(measure_differences, name="kid"), "KID", 5, kid_error),
    *with_error("difference_bits_per_dim", lambda pair: bits_differences(pair).mean(axis=1), "bits/dim", 4, bits_error),
    same("likelihood.bound", name="model_bound"),
    only(SHARED["model"], "minus", True, name="minus", header="minus"),
    *(only(SHARED[name], "minus", True, name=f"minus_{name}") for name in ("bound", "temperature", "run", "origin")),
)
SHOWN = "model minus difference_fid difference_kid difference_bits_per_dim seeds"


def bounds(rows: Iterable[Texts]) -> list[str]:
    """What the bounds among the numbers mean for their differences, for the notes."""
    notes = [bound_note(row["model_bound"], row["minus_bound"], row["model"], row["minus"]) for row in rows]
    return [note for note in dict.fromkeys(notes) if note]
