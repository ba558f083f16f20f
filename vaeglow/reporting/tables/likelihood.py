"""Every number of a run's likelihood.json: the bounds, their terms, and one that is not a bound."""

import dataclasses
from collections.abc import Sequence

from vaeglow.reporting.columns import SHARED, Column, mean, named, same
from vaeglow.reporting.frame import Lines, Spec, first
from vaeglow.reporting.traced import distinct

READS = ("training", "likelihood", "likelihood_images")  # the last, so that a model without a likelihood is refused
IMPORTANCE = True  # of the runs shown, the importance-weighted bounds are evaluated
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
NO_BOUND = "undequantised_not_a_bound"
TERMS = {"kl": "KL", "log_det": "log-det", "levels": "constant (log2 levels)"}


def columns_of(spec: Spec, rows: Sequence[Lines]) -> list[Column]:
    """The columns: the bounds by rising K, and the terms, that these runs have."""
    files = [file.content for lines in rows for file in lines["likelihood"]]
    found = []
    for samples in sorted({samples for file in files for samples in file["importance"]}, key=int):
        header = f"K={samples}{' (same images)' if samples == '1' else ''}"
        source = f"likelihood.importance.{samples}.bits_per_dim"
        found.append(mean(source, 3, header, name=f"bits_per_dim_k{samples}", null=True))
    for term in dict.fromkeys(term for file in files for term in file["terms"]):
        header = TERMS.get(term, term.replace("_", " "))
        found.append(mean(f"likelihood.terms.{term}", 3, header, name=f"term_{term}", null=True))
    source = "likelihood.undequantised"
    found.append(mean(f"{source}.bits_per_dim", 3, "undequantised (not a bound)", name=NO_BOUND))
    names = f"""
    model bits_per_dim bound source dataset preset {" ".join(column.name for column in found)}
    bits_per_dim_sd {" ".join(f"{column.name}_sd" for column in found)}
    bits_per_dim_standard_error importance_images {NO_BOUND}_standard_error undequantised_images
    likelihood_images dequantisation epochs train_seconds train_cpu_seconds seeds
    parameters device commit run origin
    """
    return named(
        names,
        *found,
        dataclasses.replace(SHARED["bits_per_dim"], header="bits/dim, K=1 (all images)"),
        Column(
            "importance_images",
            lambda lines: distinct((str(k["images"]) for k in first(lines, "likelihood.importance").values()), " "),
        ),
        mean(f"{source}.standard_error", 3, name=f"{NO_BOUND}_standard_error", null=True),
        same(f"{source}.images", name="undequantised_images"),
    )


def shown(table: Lines, spec: Spec) -> list[str]:
    """K = 1, the tighter bounds, the terms of the first, and separately what is not a bound."""
    with_header = [name for name, column in table.attrs["columns"].items() if column.header]
    parts = [name for name in with_header if name.startswith(("bits_per_dim", "term_"))]
    return ["model", *parts, NO_BOUND, "dataset"]
