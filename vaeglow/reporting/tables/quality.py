"""FID, KID and bits/dim of runs next to published rows: Tables 1, 2 and 3 and the ablations.

Published and measured numbers share a column; `source` tells them apart. Published rows come first and
leave preset, seeds and counts empty: the papers' protocols are unknown.
"""

from math import sqrt

from vaeglow.reporting.columns import ERROR, Column, fixed, in_order, seed_mean
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL, numbers

READS = ("training", "likelihood", "metrics")
SCHEMA = {
    **PROTOCOL,
    "published": {"$ref": "#/$defs/published_name"},
    "show": {
        "$ref": "#/$defs/models",
        "default": None,
        "description": "the columns of the Markdown and LaTeX forms; left out, the usual ones",
    },
    **DRAWN_ROWS,
}
SHOWN = "model fid bits_per_dim source dataset preset epochs train_seconds seeds"


COLUMNS = in_order(
    """
    model fid kid bits_per_dim bound source dataset preset temperature seeds
    epochs train_seconds fid_samples protocol run
    train_cpu_seconds precision recall density coverage diversity reference_diversity
    fid_sd fid_sd_over_sets bits_per_dim_sd bits_per_dim_standard_error kid_sd kid_standard_error
    precision_sd recall_sd density_sd coverage_sd diversity_sd
    fid_sets exploded_samples fid_reference_images fid_features fid_split feature_images
    likelihood_images dequantisation val_bits_per_dim train_seconds_by_phase parameters device commit origin
    """,
    seed_mean("metrics.fid", 2, "FID", beside=(ERROR, "fid_sd_over_sets")),
    # Of a run's FID over its sets of samples, pooled over seeds.
    Column(
        "fid_sd_over_sets",
        lambda lines: sqrt((numbers(lines, "metrics.fid_sd", null=True) ** 2).mean(skipna=False)),
        form=fixed(2),
    ),
    seed_mean("metrics.kid", 5, "KID", null=True, beside=(ERROR, "kid_standard_error")),
    seed_mean("metrics.kid_standard_error", 5, null=True),
    *(
        seed_mean(f"metrics.{name}", 3, name.capitalize(), null=True)
        for name in ("precision", "recall", "density", "coverage", "diversity")
    ),
    seed_mean("metrics.reference_diversity", 3, null=True),
    seed_mean("training.val_bits_per_dim", 3, "val bits/dim", null=True),
)
