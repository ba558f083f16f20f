"""Every number of a run's likelihood.json: the bounds, their terms, and one that is not a bound."""

import dataclasses
from collections.abc import Sequence

from vaeglow.reporting.columns import SHARED, Column, in_order, names_of, same, seed_mean
from vaeglow.reporting.frame import PLAIN_ROWS, Lines, Spec, first
from vaeglow.reporting.traced import distinct

READS = ("training", "likelihood", "likelihood_images")  # the last, so that a model without a likelihood is refused
IMPORTANCE = True  # of the runs shown, the importance-weighted bounds are evaluated
SCHEMA = PLAIN_ROWS
NO_BOUND = "undequantised_not_a_bound"
TERMS = {"kl": "KL", "log_det": "log-det", "levels": "constant (log2 levels)"}


def columns_of(spec: Spec, rows: Sequence[Lines]) -> list[Column]:
    """The columns: the bounds by rising K, and the terms, that these runs have."""
    files = [file.content for lines in rows for file in lines["likelihood"]]
    draws = {count for file in files for count in file["importance"]}
    terms = dict.fromkeys(term for file in files for term in file["terms"])
    parts = [bound(count) for count in sorted(draws, key=int)]
    for term in terms:
        header = TERMS.get(term, term.replace("_", " "))
        parts.append(seed_mean(f"likelihood.terms.{term}", 3, header, name=f"term_{term}", null=True))
    source = "likelihood.undequantised"
    parts.append(seed_mean(f"{source}.bits_per_dim", 3, "undequantised (not a bound)", name=NO_BOUND))
    return in_order(
        f"""
        model bits_per_dim bound source dataset preset {names_of(parts)}
        bits_per_dim_sd {names_of(parts, "_sd")}
        bits_per_dim_standard_error importance_images {NO_BOUND}_standard_error undequantised_images
        likelihood_images dequantisation epochs train_seconds train_cpu_seconds seeds
        parameters device commit run origin
        """,
        *parts,
        dataclasses.replace(SHARED["bits_per_dim"], header="bits/dim, K=1 (all images)"),
        Column("importance_images", importance_images),
        seed_mean(f"{source}.standard_error", 3, name=f"{NO_BOUND}_standard_error", null=True),
        same(f"{source}.images", name="undequantised_images"),
    )


def bound(draws: str) -> Column:
    """The column of the bound of so many draws."""
    header = f"K={draws} (same images)" if draws == "1" else f"K={draws}"
    source = f"likelihood.importance.{draws}.bits_per_dim"
    return seed_mean(source, 3, header, name=f"bits_per_dim_k{draws}", null=True)


def importance_images(lines: Lines) -> str:
    """The numbers of images that the bounds are over."""
    bounds = first(lines, "likelihood.importance").values()
    return distinct((str(bound["images"]) for bound in bounds), " ")


def shown(table: Lines, spec: Spec) -> list[str]:
    """K = 1, the tighter bounds, the terms of the first, and separately what is not a bound."""
    parts = []
    for name, column in table.attrs["columns"].items():
        if column.header and name.startswith(("bits_per_dim", "term_")):
            parts.append(name)
    return ["model", *parts, NO_BOUND, "dataset"]
