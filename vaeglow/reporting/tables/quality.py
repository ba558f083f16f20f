"""FID, KID and bits/dim of runs next to published rows: Tables 1, 2 and 3 and the ablations.

Published and measured numbers share a column; `source` tells them apart. Published rows come first and
leave preset, seeds and counts empty: the papers' protocols are unknown.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vaeglow.reporting.columns import ERROR, Column, fixed, mean, named
from vaeglow.reporting.frame import numbers

if TYPE_CHECKING:
    import pandas as pd

READS = ("training", "likelihood", "metrics")
SCHEMA = {
    "protocol": {"$ref": "#/$defs/protocol_name", "default": None},
    "published": {"$ref": "#/$defs/published_name"},
    "show": {
        "$ref": "#/$defs/models",
        "default": None,
        "description": "the columns of the Markdown and LaTeX forms; left out, the usual ones. The CSV has all",
    },
    "rows": {"$ref": "#/$defs/drawn_rows"},
}
SHOWN = "model fid bits_per_dim source dataset preset epochs train_seconds seeds"


def over_sets(lines: pd.DataFrame) -> float:
    """The standard deviation of a run's FID over its sets of samples, pooled over seeds; NaN for a single set."""
    return math.sqrt((numbers(lines, "metrics.fid_sd", null=True) ** 2).mean(skipna=False))


COLUMNS = named(
    """
    model fid bits_per_dim bound source dataset preset epochs train_seconds train_cpu_seconds seeds temperature
    kid precision recall density coverage diversity reference_diversity
    fid_sd fid_sd_over_sets bits_per_dim_sd bits_per_dim_standard_error kid_sd kid_standard_error
    precision_sd recall_sd density_sd coverage_sd diversity_sd
    fid_samples fid_sets exploded_samples fid_reference_images fid_features fid_split feature_images stretch protocol
    likelihood_images dequantisation train_seconds_by_phase parameters device commit run origin
    """,
    mean("metrics.fid", 2, "FID", beside=(ERROR, "fid_sd_over_sets")),
    Column("fid_sd_over_sets", over_sets, form=fixed(2)),
    mean("metrics.kid", 5, "KID", null=True, beside=(ERROR, "kid_standard_error")),
    mean("metrics.kid_standard_error", 5, null=True),
    *(mean(f"metrics.{name}", 3, name.capitalize(), null=True) for name in ("precision", "recall", "density")),
    *(mean(f"metrics.{name}", 3, name.capitalize(), null=True) for name in ("coverage", "diversity")),
    mean("metrics.reference_diversity", 3, null=True),
)


NOTES = """
{DEMO}
- [published] Published rows are cited, not measured; their FID protocol cannot be recovered {CITED}
{FID}
- [overflowed] {overflowed}
- [sets] FID's (± in brackets): its standard deviation over the {spec[sets]} sets of samples of one training; it says
    nothing about another training. All other numbers are of the first set.
- [kid] KID: squared maximum mean discrepancy of the same features, cubic kernel; unlike FID its mean does not depend on
  the number of images, so it can come out below 0. (± in brackets): its standard error for the draw of samples and of
  real images.
- [precision recall] Precision: share of samples inside the real images' neighbourhoods (k = 3) in feature space;
  recall: share of real images inside the samples'.
- [density coverage] Density: how many real images' neighbourhoods (k = 5) hold a sample, on average, over k: 1 for
  samples like real images, and it can exceed 1. Coverage: share of those neighbourhoods that hold a sample.
- [diversity] Diversity: mean distance of two samples in feature space; of two real images:
  {reference_diversity} on {dataset}.
- [temperature] T: temperature of the sampling noise; 0.0 is the decoder's mean, or Glow's without noise.
{BITS}
{SEEDS}
- [epochs train_seconds] Epochs and training time: one number a phase, those of its base VAE included; time is their
    sum.
- Trained on: {device}; commit {commit}.
"""
