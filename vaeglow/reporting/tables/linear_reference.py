"""What a linear layer could reach on a VAE's residual, beside what trained layers reached."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.reporting.columns import SHARED, Column, fixed, named, same
from vaeglow.reporting.frame import files, first, numbers, results_frame, results_of
from vaeglow.results import check_together

if TYPE_CHECKING:
    import pandas as pd

READS = ("training", "likelihood", "config")
SCHEMA = {
    "reference_model": {"type": "string", "description": "the VAE whose residual is analysed"},
    "rows": {"$ref": "#/$defs/plain_rows"},
}
REFERENCES = {
    "no_layer": "no layer",
    "squeeze1": "layer, no squeeze",
    "squeeze2": "layer, squeeze 2",
    "squeeze4": "layer, squeeze 4",
    "whitening": "full whitening",
}


def rows(spec: Mapping[str, Any], results_root: str | Path) -> Iterator[pd.DataFrame]:
    """A row for each reference, or for each trained model that answers to it; other trained models at the end.

    A row has the lines of the trained model, then those of the reference; its column `reference` names it.
    """
    import pandas as pd

    about = {"preset": spec["preset"], "dataset": spec["dataset"], "model": spec["reference_model"]}
    reference = results_frame([about], results_root, ("linear_reference",), spec)
    frame = results_frame(spec["rows"], results_root, READS, spec)
    check_together([*results_of(reference), *results_of(frame)])
    frame["reference"] = [reference_of(config.content) for config in frame.pop("config")]
    for name in REFERENCES:
        trained = [lines for _, lines in frame[frame["reference"] == name].groupby("row")]
        yield from (pd.concat([lines, reference]).assign(reference=name) for lines in trained or [None])
    yield from (lines for _, lines in frame[~frame["reference"].isin([*REFERENCES])].groupby("row"))


def reference_of(config: Mapping[str, Any]) -> str:
    """The reference a trained model answers to, by its layer's squeeze; none for a Glow."""
    return (
        f"squeeze{config['layer']['squeeze']}"
        if config["kind"] == "vae_glow"
        else {"vae": "no_layer"}.get(config["kind"], "")
    )


def residual(name: str, part: str, header: str = "") -> Column:
    """The values of a row's reference in a part of linear_reference.json."""
    value = lambda lines: numbers(lines, f"linear_reference.{part}.{first(lines, 'reference')}")  # noqa: E731
    return Column(name, value, header, fixed(3))


COLUMNS = named(
    """
    reference vae_residual pca_residual trained_model bits_per_dim bound source dataset preset epochs train_seconds
    train_cpu_seconds seeds vae_residual_sd pca_residual_sd bits_per_dim_sd bits_per_dim_standard_error reference_model
    reference_images estimation_bias latents likelihood_images dequantisation train_seconds_by_phase parameters device
    commit run origin
    """,
    Column("reference", lambda lines: REFERENCES.get(first(lines, "reference")), "Linear reference"),
    residual("vae_residual", "sources.vae", "on the VAE's residual (bits/dim)"),
    residual("pca_residual", "sources.pca", "on a PCA's residual (bits/dim)"),
    residual("estimation_bias", "estimation_bias"),
    Column("reference_model", lambda lines: lines["label"].iloc[-1] if len(files(lines, "linear_reference")) else None),
    same("linear_reference.images", name="reference_images"),
    same("linear_reference.latents"),
    Column(
        "trained_model",
        lambda lines: first(lines, "label") if len(files(lines, "likelihood")) else None,
        "Trained model",
    ),
    dataclasses.replace(SHARED["bits_per_dim"], header="its bits/dim"),
    dataclasses.replace(SHARED["train_seconds_by_phase"], header="its training by phase (s)"),
)
SHOWN = "reference vae_residual pca_residual trained_model bits_per_dim train_seconds_by_phase dataset"


def words(table: pd.DataFrame, spec: Mapping[str, Any]) -> dict[str, str]:
    """By how much the references are too low."""
    bias = dict(zip(table["reference"], table["estimation_bias"].str.removeprefix("-"), strict=True))
    return {"biases": ", ".join(f"{value} ({name})" for name, value in bias.items() if value)}


NOTES = """
{DEMO}
- Optimistic linear Gaussian reference, not a bound on trained layers: the best layer that is linear, preserves volume
  and is the same everywhere in the image, given Gaussian residuals. A trained layer is not linear and sees borders, so
  it may do better; it also has to leave the mean in place, so it may do worse.
- Residuals of {reference_images} test images: of {reference_model}, and of as many principal components ({latents}).
  Squeeze: one space-to-depth before the layer, undone after it. The KL, what z itself costs, is in none of the
  references; in a trained model's bits/dim it is. Derivation: docs/squeeze.md.
- The references are fitted to the images they are measured on, and too low for that by about so many bits/dim:
  {biases}. Contrast that differs between images makes it more.
{BITS}
- Trained models differ in width and time: compare squeezes at equal compute (training by phase).
{SEEDS}
- Trained on: {device}; commit {commit}.
{MADE}
"""
