"""One model minus another, seed by seed and on the same test images: FID, KID and bits/dim. No torch.

Means over seeds hide that runs come in pairs. Here the difference is taken under each seed first; its spread over seeds
says whether another training would turn out the same. For bits/dim it is taken image by image as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vaeglow.paths import result_path
from vaeglow.reporting import cells, notes, paired, traced
from vaeglow.reporting.claims.statistics import SEEDS, TAIL, t_bounds
from vaeglow.reporting.labels import row_label
from vaeglow.reporting.measured import REMEDY, Measurement, read_groups
from vaeglow.reporting.table_kinds.quality import number

DECIMALS = {"fid": 2, "kid": 5, "bits_per_dim": 4}
SPREADS = [f"difference_{name}_{what}" for name in DECIMALS for what in ("sd", "low", "high")]
COLUMNS = (
    *("model", "minus", *(f"difference_{name}" for name in DECIMALS), "seeds", "source", "dataset", "preset"),
    *(*SPREADS, "difference_kid_standard_error", "difference_bits_per_dim_standard_error"),
    *("model_bound", "minus_bound", "likelihood_images", "dequantisation", "temperature", "minus_temperature"),
    *("fid_samples", "fid_sets", "exploded_samples", "fid_reference_images", "fid_features", "fid_split", "stretch"),
    *("protocol", "device", "commit", "run", "minus_run", "origin", "minus_origin"),
)
HEADERS = {
    **{"model": "Model", "minus": "minus", "difference_fid": "FID", "difference_kid": "KID"},
    **{"difference_bits_per_dim": "bits/dim", "dataset": "Dataset", "seeds": "Seeds"},
}


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows; see `vaeglow.reporting.tables.build_table`."""
    sides = [side for row in spec["rows"] for side in (row, row["minus"])]
    groups = read_groups({**spec, "rows": sides}, results_root, ("training", "likelihood", "metrics"))
    pairs = zip(groups[::2], groups[1::2], strict=True)
    return cells.frame([paired_row(one, other, results_root) for one, other in pairs], COLUMNS)


def paired_row(one: Sequence[Measurement], other: Sequence[Measurement], results_root: str | Path) -> dict[str, str]:
    """One comparison.

    Args:
        one: a model's run under each seed.
        other: the runs that are subtracted, under the same seeds.
        results_root: the folder that holds the presets' folders.
    """
    first, second, both = one[0], other[0], [*one, *other]
    runs = list(zip(one, other, strict=True))
    bits = [image_differences(mine, theirs, results_root) for mine, theirs in runs]
    found: dict[str, list[float | None]] = {"bits_per_dim": [float(values.mean()) for values in bits]}
    found |= {name: [minus(number(a, name), number(b, name)) for a, b in runs] for name in ("fid", "kid")}
    row = {
        key: cell
        for name, decimals in DECIMALS.items()
        for key, cell in over_seeds(name, found[name], decimals).items()
    }
    evidence = [*(path for run in both for path in run.paths.values()), *(images_of(run, results_root) for run in both)]
    return {
        **cells.origin_cells(one, "training"),
        **cells.trace_cells(both),
        **traced.evidence_cells(evidence),
        **row,
        "model": row_label(first.row),
        "minus": row_label(second.row),
        "difference_kid_standard_error": rounded(kid_error(runs), DECIMALS["kid"]),
        "difference_bits_per_dim_standard_error": rounded(paired.standard_error(bits), DECIMALS["bits_per_dim"]),
        "model_bound": first.value("likelihood", "bound"),
        "minus_bound": second.value("likelihood", "bound"),
        "likelihood_images": str(len(bits[0])),
        "dequantisation": first.value("likelihood", "dequantisation"),
        "temperature": str(first.row["temperature"]),
        "minus_temperature": str(second.row["temperature"]),
        **{key: str(first.value("metrics", key)) for key in ("fid_samples", "fid_sets", "fid_features", "protocol")},
        "exploded_samples": str(sum(int(run.number("metrics", "exploded_samples")) for run in both)),
        "fid_reference_images": str(first.value("metrics", "fid_reference_images")),
        "fid_split": first.value("metrics", "split"),
        "stretch": "yes" if first.value("metrics", "stretch") else "no",
        "device": cells.distinct(run.value("training", "provenance", "device") for run in both),
        "commit": cells.distinct(run.commit("training") for run in both),
        "minus_run": second.row["model"],
        "minus_origin": f"results/{second.row['preset']}/{second.row['dataset']}/{second.row['model']}",
    }


def images_of(run: Measurement, results_root: str | Path) -> Path:
    """A run's likelihood.npz."""
    whose = {key: run.row[key] for key in ("preset", "dataset", "model")}
    return result_path(results_root, "likelihood_images", **whose, seed=run.seed)


def image_differences(one: Measurement, other: Measurement, results_root: str | Path) -> np.ndarray:
    """Bits/dim of one run minus another's, test image by test image: [N].

    Raises:
        UserError: the images' values are missing, damaged, or not those that likelihood.json sums up.
    """
    mine, theirs = (
        paired.image_bits(run.paths["likelihood"], run.files["likelihood"], images_of(run, results_root), REMEDY)
        for run in (one, other)
    )
    return paired.difference(mine, theirs, (one.name, other.name), REMEDY)


def minus(one: float | None, other: float | None) -> float | None:
    """The difference; None where either has no such number."""
    return None if one is None or other is None else one - other


def over_seeds(name: str, values: Sequence[float | None], decimals: int) -> dict[str, str]:
    """The cells of one difference: its mean and sd over seeds and, from three seeds on, the ledger's 95% interval."""
    found = cells.mean_and_sd(f"difference_{name}", values, decimals)
    if len(values) >= SEEDS and None not in values:
        ends = t_bounds(np.array(values, dtype=float), TAIL, TAIL)
        found |= {
            f"difference_{name}_{end}": rounded(value, decimals)
            for end, value in zip(("low", "high"), ends, strict=True)
        }
    return found


def kid_error(runs: Sequence[tuple[Measurement, Measurement]]) -> float | None:
    """The standard error of the mean KID difference over sample sets, as if nothing were shared; None if unknown."""
    errors = [run.number_or_none("metrics", "kid_standard_error") for pair in runs for run in pair]
    if any(error is None for error in errors):
        return None
    return math.sqrt(sum(error**2 for error in errors if error is not None)) / len(runs)


def rounded(value: float | None, decimals: int) -> str:
    """A number as text, nothing for None."""
    return "" if value is None else f"{value:.{decimals}f}"


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: each difference with its sd over seeds, and in brackets what else is known of its error."""
    show = [name for name in HEADERS if name != "dataset" or table["dataset"].nunique() > 1]
    shown = cells.readable(table, HEADERS, show)
    for name in ("kid", "bits_per_dim"):
        column, errors = HEADERS[f"difference_{name}"], table[f"difference_{name}_standard_error"]
        shown[column] = [
            f"{cell} (± {error})" if error else cell for cell, error in zip(shown[column], errors, strict=True)
        ]
    return shown


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """How the differences were taken, and which of their errors is which."""
    bounds = [
        paired.bound_note(row["model_bound"], row["minus_bound"], row["model"], row["minus"])
        for _, row in table.iterrows()
    ]
    images = cells.distinct(table["likelihood_images"], " or ")
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
