"""One model minus another, seed by seed and on the same test images: FID, KID and bits/dim.

Means over seeds hide that runs come in pairs. Here the difference is taken under each seed first; its spread over seeds
says whether another training would turn out the same. For bits/dim it is taken image by image as well.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vaeglow.paths import result_path
from vaeglow.reporting import columns, notes, traced
from vaeglow.reporting.columns import SHARED, Column, fixed
from vaeglow.reporting.frame import groups, numbers, results_frame, results_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

READS = ("training", "likelihood", "metrics", "likelihood_images")
SCHEMA = {
    "protocol": {"$ref": "#/$defs/protocol_name", "default": None},
    "rows": {"$ref": "#/$defs/compared_rows"},
}
NUMBERS = {"fid": ("FID", 2), "kid": ("KID", 5), "bits_per_dim": ("bits/dim", 4)}  # header, decimals


class Pair(NamedTuple):
    """One comparison.

    Attributes:
        one: the lines of a model's runs in the results frame.
        other: those of the runs that are subtracted, under the same seeds.
        both: all of them.
        images: likelihood.npz of all of them.
        bits: for each seed bits/dim of one run minus the other's, test image by test image: [N].
        differences: columns `NUMBERS`, a line a seed; NaN where either run has no such number.
    """

    one: pd.DataFrame
    other: pd.DataFrame
    both: pd.DataFrame
    images: list[Path]
    bits: list[np.ndarray]
    differences: pd.DataFrame


def pair_of(one: pd.DataFrame, other: pd.DataFrame, results_root: str | Path) -> Pair:
    """Take the differences.

    Raises:
        UserError: an FID is missing, or the images' bits/dim are missing, damaged or not those that likelihood.json
            sums up.
    """
    import pandas as pd

    from vaeglow.results import read_result

    one, other = one.reset_index(), other.reset_index()
    both = pd.concat([one, other])
    runs = both[["preset", "dataset", "model", "seed"]].to_dict("records")
    images = [result_path(results_root, "likelihood_images", **run) for run in runs]
    values = [read_result(path, ["bits_per_dim_1"]).arrays["bits_per_dim_1"] for path in images]
    bits = [mine - theirs for mine, theirs in zip(values[: len(one)], values[len(one) :], strict=True)]
    differences = {"bits_per_dim": pd.Series([each.mean() for each in bits])}
    for name in ("fid", "kid"):
        mine, theirs = (numbers(side, f"metrics.{name}", null=name == "kid") for side in (one, other))
        differences[name] = mine - theirs
    return Pair(one, other, both, images, bits, pd.DataFrame(differences))


def end(pair: Pair, name: str, which: int) -> float | None:
    """From three seeds on an end of the ledger's 95% interval of the mean difference: 0 lower, 1 upper."""
    from vaeglow.reporting.claims.statistics import SEEDS, TAIL, t_bounds

    values = pair.differences[name]
    return None if len(values) < SEEDS or values.isna().any() else t_bounds(values.to_numpy(), TAIL, TAIL)[which]


def kid_error(pair: Pair) -> float:
    """The standard error of the mean KID difference over sample sets, as if nothing were shared; NaN if unknown."""
    errors = numbers(pair.both, "metrics.kid_standard_error", null=True)
    return math.sqrt((errors**2).sum(skipna=False)) / len(pair.one)


def bits_error(pair: Pair) -> float | None:
    """The standard error of the mean difference of bits/dim over test images."""
    from vaeglow.reporting import paired

    return paired.standard_error(pair.bits)


def of(side: str, name: str, column: str | None = None) -> Column:
    """A shared column of one side, or of `both`; named after itself if `column` is None."""
    shared = SHARED[column or name]
    return dataclasses.replace(shared, name=name, value=lambda pair: shared.value(getattr(pair, side)))


def difference_columns(name: str, header: str, decimals: int) -> list[Column]:
    """The columns of one number: mean and sd over seeds, both ends of the interval."""
    form, name_ = fixed(decimals), f"difference_{name}"
    return [
        Column(name_, lambda pair: pair.differences[name].mean(skipna=False), header, form),
        Column(f"{name_}_sd", lambda pair: pair.differences[name].std(skipna=False), form=form),
        Column(f"{name_}_low", lambda pair: end(pair, name, 0), form=form),
        Column(f"{name_}_high", lambda pair: end(pair, name, 1), form=form),
    ]


DIFFERENCES = [difference_columns(name, *about) for name, about in NUMBERS.items()]
COLUMNS = [
    of("one", "model"),
    dataclasses.replace(of("other", "minus", "model"), header="minus"),
    *(found[0] for found in DIFFERENCES),
    *(of("one", name) for name in ("seeds", "source", "dataset", "preset")),
    *(column for found in DIFFERENCES for column in found[1:]),
    Column("difference_kid_standard_error", kid_error, form=fixed(5)),
    Column("difference_bits_per_dim_standard_error", bits_error, form=fixed(4)),
    *(of("one", "model_bound", "bound"), of("other", "minus_bound", "bound"), of("one", "likelihood_images")),
    *(of("one", "dequantisation"), of("one", "temperature"), of("other", "minus_temperature", "temperature")),
    *(of("one", "fid_samples"), of("one", "fid_sets"), of("both", "exploded_samples")),
    *(of("one", name) for name in ("fid_reference_images", "fid_features", "fid_split", "stretch", "protocol")),
    *(of("both", "device"), of("both", "commit"), of("one", "run"), of("other", "minus_run", "run")),
    *(of("one", "origin"), of("other", "minus_origin", "origin")),
]
SHOWN = ("model", "minus", *(f"difference_{name}" for name in NUMBERS))


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows; see `vaeglow.reporting.tables.build_table`."""
    sides = [side for row in spec["rows"] for side in (row, row["minus"])]
    found = list(groups(results_frame(sides, results_root, READS[:-1], spec)))
    rows = []
    for one, other in zip(found[::2], found[1::2], strict=True):
        pair = pair_of(one, other, results_root)
        read = results_of(pair.both)
        evidence = traced.evidence_cells([*(result.path for result in read), *pair.images])
        rows.append(columns.row_of(COLUMNS, pair, read) | evidence)
    return columns.table_of(rows, COLUMNS)


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: each difference with its sd over seeds, and in brackets what else is known of its error."""
    datasets = ["dataset"] if table["dataset"].nunique() > 1 else []
    shown, headers = columns.readable(table, [*SHOWN, *datasets, "seeds"]), table.attrs["headers"]
    for name in ("difference_kid", "difference_bits_per_dim"):
        errors = table[f"{name}_standard_error"]
        shown[headers[name]] = columns.with_spread(shown[headers[name]], errors, brackets=True)
    return shown


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """How the differences were taken, and which of their errors is which."""
    from vaeglow.reporting import paired
    from vaeglow.reporting.claims.statistics import SEEDS

    bounds = [
        paired.bound_note(row["model_bound"], row["minus_bound"], row["model"], row["minus"])
        for _, row in table.iterrows()
    ]
    images = traced.distinct(table["likelihood_images"], " or ")
    return [
        *notes.demo_note(spec),
        "Model minus the other, at the temperatures named: in all columns less than 0 is in the first one's favour.",
        f"{seeds_words(spec['seeds'])} From {SEEDS} seeds on the CSV has the 95% t intervals that the claims use.",
        f"(± in brackets): standard error of the measurement, of these trainings. bits/dim: over {images} test images, "
        "paired image by image. KID: from both runs' standard errors as if they were independent; they share the real "
        "images, so it is rather too large.",
        *notes.fid_notes(table, spec),
        *(f"bits/dim: {note}." for note in dict.fromkeys(filter(None, bounds))),
        *notes.made_notes(table, spec),
    ]


def seeds_words(seeds: Sequence[int]) -> str:
    """What ± means, or that there is one seed only."""
    if len(seeds) == 1:
        return f"One seed ({seeds[0]}): how much another pair of trainings would differ is not known from this table."
    listed = " ".join(str(seed) for seed in seeds)
    return f"± is the standard deviation of the difference over seeds {listed}, each taken between runs of one seed."
