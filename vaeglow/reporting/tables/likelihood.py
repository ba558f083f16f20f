"""Every number of a run's likelihood.json: the bounds, their terms, and one that is not a bound."""

from collections.abc import Sequence

from vaeglow.reporting.columns import Column, in_order, names_of, same, seed_mean
from vaeglow.reporting.frame import PLAIN_ROWS, Lines, first
from vaeglow.reporting.traced import distinct

READS = ("training", "likelihood", "likelihood_images")  # the last, so that a model without a likelihood is refused
IMPORTANCE = True  # of the runs shown, the importance-weighted bounds are evaluated
SCHEMA = PLAIN_ROWS
# K = 1, the tighter bounds, the terms of the first, and separately what is not a bound.
SHOWN = "model bits_per_dim* term_* undequantised_not_a_bound dataset"
TERMS = {"kl": "KL", "log_det": "log-det", "levels": "constant (log2 levels)"}


def columns_of(rows: Sequence[Lines]) -> list[Column]:
    """The columns: the bounds by rising K, and the terms, that these runs have."""
    files = [file.content for lines in rows for file in lines["likelihood"]]
    parts = []
    for count in sorted({count for file in files for count in file["importance"]}, key=int):
        header = f"K={count} (same images)" if count == "1" else f"K={count}"
        source = f"likelihood.importance.{count}.bits_per_dim"
        parts.append(seed_mean(source, 3, header, name=f"bits_per_dim_k{count}", null=True))
    for term in dict.fromkeys(term for file in files for term in file["terms"]):
        header = TERMS.get(term, term.replace("_", " "))
        parts.append(seed_mean(f"likelihood.terms.{term}", 3, header, name=f"term_{term}", null=True))
    header = "undequantised (not a bound)"
    parts.append(seed_mean("likelihood.undequantised.bits_per_dim", 3, header, name="undequantised_not_a_bound"))
    return in_order(
        f"""
        model bits_per_dim bound source dataset preset {names_of(parts)}
        bits_per_dim_sd {names_of(parts, "_sd")}
        bits_per_dim_standard_error importance_images undequantised_not_a_bound_standard_error undequantised_images
        likelihood_images dequantisation epochs train_seconds train_cpu_seconds seeds
        parameters device commit run origin
        """,
        *parts,
        seed_mean("likelihood.bits_per_dim", 3, "bits/dim, K=1 (all images)", null=True),
        Column(
            "importance_images",
            lambda lines: distinct((str(k["images"]) for k in first(lines, "likelihood.importance").values()), " "),
        ),
        seed_mean(
            "likelihood.undequantised.standard_error", 3, name="undequantised_not_a_bound_standard_error", null=True
        ),
        same("likelihood.undequantised.images", name="undequantised_images"),
    )
