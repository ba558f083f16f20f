"""What a linear layer could reach on a VAE's residual, beside what trained layers reached."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError
from vaeglow.files import sha256_json
from vaeglow.paths import result_path
from vaeglow.reporting import columns, notes
from vaeglow.reporting.columns import SHARED, Column, mean, mean_and_sd, same
from vaeglow.reporting.frame import first, groups, results_frame, results_of

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
ORIGIN = ("source", "dataset", "preset", "seeds", "device", "commit", "run", "origin")
TRAINED = columns.named(
    *ORIGIN,
    Column("trained_model", SHARED["model"].value, "Trained model"),
    dataclasses.replace(SHARED["bits_per_dim"], header="its bits/dim"),
    *("bits_per_dim_sd", "bits_per_dim_standard_error", "bound", "likelihood_images", "dequantisation"),
    *("epochs", "train_seconds", "train_cpu_seconds", "parameters"),
    dataclasses.replace(SHARED["train_seconds_by_phase"], header="its training by phase (s)"),
)
ORDER = (
    *("reference", "vae_residual", "pca_residual", "trained_model", "bits_per_dim", "bound", "source", "dataset"),
    *(
        "preset",
        "epochs",
        "train_seconds",
        "train_cpu_seconds",
        "seeds",
        "vae_residual_sd",
        "pca_residual_sd",
        "bits_per_dim_sd",
    ),
    *("bits_per_dim_standard_error", "reference_model", "reference_images", "estimation_bias", "latents"),
    *("likelihood_images", "dequantisation", "train_seconds_by_phase", "parameters", "device", "commit", "run"),
    "origin",
)
SHOWN = (
    *("reference", "vae_residual", "pca_residual", "trained_model", "bits_per_dim", "train_seconds_by_phase"),
    "dataset",
)


def reference_columns(name: str) -> list[Column]:
    """What a row says of one reference."""
    sources = "linear_reference.sources"
    return columns.named(
        *ORIGIN,
        Column("reference", lambda references: REFERENCES[name], "Linear reference"),
        *mean_and_sd("vae_residual", f"{sources}.vae.{name}", 3, "on the VAE's residual (bits/dim)"),
        *mean_and_sd("pca_residual", f"{sources}.pca.{name}", 3, "on a PCA's residual (bits/dim)"),
        Column("reference_model", SHARED["model"].value),
        same("reference_images", "linear_reference.images"),
        mean("estimation_bias", f"linear_reference.estimation_bias.{name}", 3),
        same("latents", "linear_reference.latents"),
    )


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """A row for each reference, or for each trained model that answers to it; other trained models at the end.

    Raises:
        UserError: see `vaeglow.reporting.tables.build_table`; also a reference and models of different data.
    """
    from vaeglow.results import check_together

    about = {"preset": spec["preset"], "dataset": spec["dataset"], "model": spec["reference_model"]}
    references = results_frame([about], results_root, ("linear_reference",), spec)
    frame = results_frame(spec["rows"], results_root, ("training", "likelihood"), spec)
    check_together([*results_of(references), *results_of(frame)])
    trained: dict[str | None, list[pd.DataFrame]] = {}
    for group in groups(frame):
        trained.setdefault(reference_of(group, results_root), []).append(group)
    rows = []
    for name in REFERENCES:
        for group in trained.pop(name, [None]):
            read = results_of(references) + ([] if group is None else results_of(group))
            row = columns.row_of(reference_columns(name), references, read)
            answer = {} if group is None else {column.name: column.value(group) for column in TRAINED}
            rows.append(row | answer)
    rows += [columns.row_of(TRAINED, group) for found in trained.values() for group in found]
    every = {column.name: column for column in [*reference_columns("no_layer"), *TRAINED]}
    return columns.table_of(rows, [every[name] for name in ORDER])


def reference_of(group: pd.DataFrame, results_root: str | Path) -> str | None:
    """The reference a trained model answers to, by its config.json: its layer's squeeze; None for a Glow.

    Raises:
        UserError: the file is missing, or not of the run beside it.
    """
    from vaeglow.results import REMEDY, read_result

    run = group.iloc[0][["preset", "dataset", "model", "seed"]]
    config = read_result(result_path(results_root, "config", **run))
    if sha256_json(config.content) != first(group, "training.config_sha256"):
        raise UserError(f"{config.path}: config_sha256 is not that of the run beside it: {REMEDY}")
    kind = config.value("kind")
    if kind == "vae_glow":
        return f"squeeze{config.value('layer', 'squeeze')}"
    return "no_layer" if kind == "vae" else None


def notes_of(table: pd.DataFrame, spec: Mapping[str, Any]) -> list[str]:
    """What the references are, and that they bound nothing."""
    referred = table[table["reference_model"] != ""].iloc[0]
    trained = table[table["trained_model"] != ""]
    bias = dict(zip(table["reference"], table["estimation_bias"].str.removeprefix("-"), strict=True))
    biases = ", ".join(f"{value} ({name})" for name, value in bias.items() if value)
    said = [
        *notes.demo_note(spec),
        "Optimistic linear Gaussian reference, not a bound on trained layers: the best layer that is linear, preserves "
        "volume and is the same everywhere in the image, given Gaussian residuals. A trained layer is not linear and "
        "sees borders, so it may do better; it also has to leave the mean in place, so it may do worse.",
        f"Residuals of {referred['reference_images']} test images: of {referred['reference_model']}, and of as many "
        f"principal components ({referred['latents']}). Squeeze: one space-to-depth before the layer, undone after it. "
        "The KL, what z itself costs, is in none of the references; in a trained model's bits/dim it is. "
        "Derivation: docs/squeeze.md.",
        "The references are fitted to the images they are measured on, and too low for that by about "
        f"so many bits/dim: {biases}. Contrast that differs between images makes it more.",
    ]
    if not trained.empty:
        said.append(notes.bits_note(trained))
        said.append("Trained models differ in width and time: compare squeezes at equal compute (training by phase).")
    return said + notes.seeds_note(spec) + notes.made_notes(table, spec)
