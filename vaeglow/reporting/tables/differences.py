"""One model minus another, seed by seed and on the same test images: FID, KID and bits/dim.

Means over seeds ignore that runs come in pairs. Here the difference is taken under each seed first; its spread over
seeds shows the variation between trainings. For bits/dim it is taken image by image as well.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from vaeglow.reporting.columns import ERROR, SHARED, Column, fixed, named, only, same
from vaeglow.reporting.frame import BITS, Lines, Spec, bound_note, numbers, results_frame

READS = ("training", "likelihood", "metrics", "likelihood_images")
SCHEMA = {"protocol": {"$ref": "#/$defs/protocol_name", "default": None}, "rows": {"$ref": "#/$defs/compared_rows"}}


def rows(spec: Spec, results_root: str | Path) -> Iterator[Lines]:
    """For each pair the lines of both models, `minus` saying which one is subtracted."""
    sides = [side for row in spec["rows"] for side in (row, row["minus"])]
    frame = results_frame(sides, results_root, READS, spec, [BITS])
    yield from (pair for _, pair in frame.assign(minus=frame["row"] % 2 == 1).groupby(frame["row"] // 2))


def differences(pair: Lines, name: str) -> np.ndarray:
    """`fid`, `kid` or `bits_per_dim` of one model minus the other's: [seeds, N], of each test image or with N = 1."""
    if name == "bits_per_dim":
        values = np.stack([file.arrays[BITS] for file in pair["likelihood_images"]]).astype(float)
    else:
        values = numbers(pair, f"metrics.{name}", null=name == "kid").to_numpy()[:, None]
    return values[~pair["minus"]] - values[pair["minus"]]


def bits_error(pair: Lines) -> float:
    """The standard error of the mean difference of bits/dim over test images, the same under every seed."""
    values = differences(pair, "bits_per_dim").mean(axis=0)
    return values.std(ddof=1) / math.sqrt(len(values))


def kid_error(pair: Lines) -> float:
    """The standard error of the mean KID difference over sample sets, as if nothing were shared; NaN if unknown."""
    errors = numbers(pair, "metrics.kid_standard_error", null=True)
    return 2 * math.sqrt((errors**2).sum(skipna=False)) / len(pair)


def difference_columns(name: str, header: str, decimals: int, error: Callable | None = None) -> Iterator[Column]:
    """The columns of one number: the mean over seeds, and its error."""
    column, form = f"difference_{name}", fixed(decimals)
    beside = (ERROR, f"{column}_standard_error") if error else ()
    yield Column(column, lambda pair: differences(pair, name).mean(axis=1), header, form, beside)
    if error:
        yield Column(f"{column}_standard_error", error, form=form)


COLUMNS = named(
    """
    model minus difference_fid difference_kid difference_kid_standard_error
    difference_bits_per_dim difference_bits_per_dim_standard_error source dataset preset temperature minus_temperature
    seeds fid_samples protocol
    difference_fid_sd difference_kid_sd difference_bits_per_dim_sd
    model_bound minus_bound likelihood_images dequantisation fid_sets exploded_samples fid_reference_images fid_features
    fid_split device commit run minus_run origin minus_origin
    """,
    *difference_columns("fid", "FID", 2),
    *difference_columns("kid", "KID", 5, kid_error),
    *difference_columns("bits_per_dim", "bits/dim", 4, bits_error),
    same("likelihood.bound", name="model_bound"),
    only(SHARED["model"], "minus", True, name="minus", header="minus"),
    *(only(SHARED[name], "minus", True, name=f"minus_{name}") for name in ("bound", "temperature", "run", "origin")),
)
SHOWN = "model minus difference_fid difference_kid difference_bits_per_dim seeds"


def bounds(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """What the bounds among the numbers mean for their differences, for the notes."""
    said = (bound_note(row["model_bound"], row["minus_bound"], row["model"], row["minus"]) for row in rows)
    return [*filter(None, dict.fromkeys(said))]
