"""Every number of a run's likelihood.json: the bounds, their terms, and one that is no bound."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError
from vaeglow.reporting import columns, notes
from vaeglow.reporting.columns import SHARED, Column, mean, mean_and_sd, same
from vaeglow.reporting.frame import first
from vaeglow.reporting.traced import distinct

if TYPE_CHECKING:
    import pandas as pd

READS = ("training", "likelihood")
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
NO_BOUND = "undequantised_not_a_bound"
TERMS = {"kl": "KL", "log_det": "log-det", "levels": "constant (log2 levels)"}


def columns_of(spec: Mapping[str, Any], frame: pd.DataFrame) -> list[Column]:
    """The columns: the bounds by rising K, and the terms, that these runs have.

    Raises:
        UserError: a file does not say of the undequantised number that it is no bound.
    """
    for file in frame["likelihood"]:
        if file.value("undequantised", "not_a_bound") is not True:
            raise UserError(f"{file.path}: not_a_bound is not true: evaluate the run again")
    parts = [name.split(".")[1:] for name in frame if name.startswith("likelihood.")]
    terms = [names[1] for names in parts if names[0] == "terms"]
    pairs = []
    for samples in sorted({names[1] for names in parts if names[0] == "importance"}, key=int):
        header = f"K={samples}{' (same images)' if samples == '1' else ''}"
        source = f"likelihood.importance.{samples}.bits_per_dim"
        pairs.append(mean_and_sd(f"bits_per_dim_k{samples}", source, 3, header, null=True))
    for term in terms:
        header = TERMS.get(term, term.replace("_", " "))
        pairs.append(mean_and_sd(f"term_{term}", f"likelihood.terms.{term}", 3, header, null=True))
    source = "likelihood.undequantised"
    pairs.append(mean_and_sd(NO_BOUND, f"{source}.bits_per_dim", 3, "undequantised (not a bound)"))
    return columns.named(
        *("model", dataclasses.replace(SHARED["bits_per_dim"], header="bits/dim, K=1 (all images)"), "bound"),
        *(*(column for column, _ in pairs), "bits_per_dim_sd", *(sd for _, sd in pairs)),
        *("bits_per_dim_standard_error", Column("importance_images", importance_images)),
        mean(f"{NO_BOUND}_standard_error", f"{source}.standard_error", 3, null=True),
        same("undequantised_images", f"{source}.images"),
        *(
            "likelihood_images",
            "dequantisation",
            "source",
            "dataset",
            "preset",
            "epochs",
            "train_seconds",
            "train_cpu_seconds",
            "seeds",
        ),
        *("parameters", "device", "commit", "run", "origin"),
    )


def importance_images(group: pd.DataFrame) -> str:
    """The numbers of images that the tighter bounds are of."""
    return distinct((str(found["images"]) for found in first(group, "likelihood.importance").values()), " ")


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form: K = 1, the tighter bounds, the terms of the first, and apart from them what is no bound."""
    parts = [name for name in table.attrs["headers"] if name.startswith(("bits_per_dim", "term_"))]
    return columns.readable(table, ["model", *parts, NO_BOUND, "dataset"])


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """Which number is a bound of what."""
    few = distinct(table["importance_images"], " or ")
    return [
        *notes.demo_note(spec),
        notes.bits_note(table),
        f"K: the importance-weighted bound of so many joint draws of noise and latent, on the first {few} test images; "
        "in expectation it falls as K grows. A smaller K's draws are among a larger one's. The first column is K=1 of "
        "all test images.",
        "The columns after the bounds are what each term costs in bits/dim; they add up to the number at K=1.",
        "undequantised (not a bound): the same sum at y = (x + 1/2)/levels, without noise. A density at a point bounds "
        "no probability and can be made as low as one likes; it is there to show how far it lies from the bounds.",
        *notes.seeds_note(spec),
        *notes.made_notes(table, spec),
    ]
