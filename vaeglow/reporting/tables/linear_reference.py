"""What a linear layer could reach on a VAE's residual, next to what trained layers reached."""

from vaeglow.reporting.columns import Column, fixed, in_order, same, seed_mean
from vaeglow.reporting.frame import PerRow, Sources, first, numbers
from vaeglow.reporting.linear_reference import REFERENCES, SCHEMA, needs, reference_of

__all__ = ["SCHEMA", "needs"]
READS = ("training", "likelihood", "config")


def rows(sources: Sources) -> PerRow:
    """A row for each reference, or for each trained model that it applies to; other trained models at the end.

    A row has the lines of the trained model, then those of the reference; its column `reference` names it.
    """
    import pandas as pd

    own = sources.frame("linear_reference", rows=needs(sources.spec)).assign(trained_model=None)
    frame = sources.frame(*READS)
    references = frame.pop("config").map(reference_of)
    frame = frame.assign(trained_model=frame["label"], reference_model=None, reference=references)
    for name in REFERENCES:
        for lines in [lines for _, lines in frame[references == name].groupby("row")] or [None]:
            yield pd.concat([lines, own]).assign(reference=name, reference_model=own["label"].iloc[0])
    for _, lines in frame[~references.isin(REFERENCES)].groupby("row"):
        yield lines


def residual(name: str, part: str, header: str = "") -> Column:
    """The values of a row's reference in a part of linear_reference.json."""
    source = f"linear_reference.{part}."
    return Column(name, lambda lines: numbers(lines, source + first(lines, "reference")), header, fixed(3))


COLUMNS = in_order(
    """
    reference vae_residual pca_residual trained_model bits_per_dim bound source dataset preset epochs train_seconds
    train_cpu_seconds seeds reference_model reference_images vae_residual_sd pca_residual_sd bits_per_dim_sd
    bits_per_dim_standard_error estimation_bias latents likelihood_images dequantisation train_seconds_by_phase
    parameters device commit run origin
    """,
    Column("reference", lambda lines: REFERENCES.get(first(lines, "reference")), "Linear reference"),
    residual("vae_residual", "sources.vae", "on the VAE's residual (bits/dim)"),
    residual("pca_residual", "sources.pca", "on a PCA's residual (bits/dim)"),
    residual("estimation_bias", "estimation_bias"),
    same("reference_model"),
    same("linear_reference.images", name="reference_images"),
    same("linear_reference.latents"),
    same("trained_model", "Trained model"),
    seed_mean("likelihood.bits_per_dim", 3, "its bits/dim", null=True),
)
SHOWN = "reference vae_residual pca_residual trained_model bits_per_dim train_cpu_seconds dataset"
