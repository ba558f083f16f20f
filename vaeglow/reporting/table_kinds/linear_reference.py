"""What a linear layer could reach on a VAE's residual, beside what trained layers reached. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vaeglow.errors import UserError
from vaeglow.files import read_json, sha256_json
from vaeglow.paths import result_path
from vaeglow.reporting import cells, notes
from vaeglow.reporting.labels import model_label, row_label
from vaeglow.reporting.measured import REMEDY, Measurement, expect, read_groups, read_run, value_of
from vaeglow.reporting.table_kinds.quality import bits_cells

REFERENCES = {
    "no_layer": "no layer",
    "squeeze1": "layer, no squeeze",
    "squeeze2": "layer, squeeze 2",
    "squeeze4": "layer, squeeze 4",
    "whitening": "full whitening",
}
SOURCES = {"vae": "vae_residual", "pca": "pca_residual"}
COLUMNS = (
    "reference",
    "vae_residual",
    "pca_residual",
    "trained_model",
    "bits_per_dim",
    "bound",
    "source",
    "dataset",
    "preset",
    "epochs",
    "train_seconds",
    "train_cpu_seconds",
    "seeds",
    "vae_residual_sd",
    "pca_residual_sd",
    "bits_per_dim_sd",
    "bits_per_dim_standard_error",
    "reference_model",
    "reference_images",
    "estimation_bias",
    "latents",
    "likelihood_images",
    "dequantisation",
    "train_seconds_by_phase",
    "parameters",
    "device",
    "commit",
    "run",
    "origin",
)
HEADERS = {
    "reference": "Linear reference",
    "vae_residual": "on the VAE's residual (bits/dim)",
    "pca_residual": "on a PCA's residual (bits/dim)",
    "trained_model": "Trained model",
    "bits_per_dim": "its bits/dim",
    "train_seconds_by_phase": "its training by phase (s)",
    "dataset": "Dataset",
}


def build(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """A row for each reference, or for each trained model that answers to it; other trained models at the end.

    Raises:
        UserError: see `vaeglow.reporting.tables.build_table`; also a reference and models of different data.
    """
    about = {"preset": spec["preset"], "dataset": spec["dataset"], "model": spec["reference_model"]}
    references = [read_run(spec, about, seed, results_root, ("linear_reference",)) for seed in spec["seeds"]]
    trained: dict[str | None, list[Sequence[Measurement]]] = {}
    for group in read_groups(spec, results_root, ("training", "likelihood")):
        for one, reference in zip(group, references, strict=True):
            data = reference.value("linear_reference", "data_sha256")
            if one.value("training", "data_sha256") != data:
                path = reference.paths["linear_reference"]
                raise UserError(f"{path} is of other data than {one.name} was trained on: {REMEDY}")
        trained.setdefault(reference_of(group[0], results_root), []).append(group)
    rows = list(reference_rows(references, trained))
    rows += [trained_cells(group) for name, groups in trained.items() if name not in REFERENCES for group in groups]
    return cells.frame(rows, COLUMNS)


def reference_of(one: Measurement, results_root: str | Path) -> str | None:
    """The reference a trained model answers to, by its config.json: its layer's squeeze; None for a Glow.

    Raises:
        UserError: the file is missing, or not of the run beside it.
    """
    path = result_path(results_root, "config", **one.row, seed=one.seed)
    config = read_json(path)
    expect(path, {"config_sha256": sha256_json(config)}, {"config_sha256": one.value("training", "config_sha256")})
    kind = value_of(path, config, "kind")
    if kind == "vae_glow":
        return f"squeeze{value_of(path, value_of(path, config, 'layer'), 'squeeze')}"
    return "no_layer" if kind == "vae" else None


def reference_rows(
    references: Sequence[Measurement], trained: Mapping[str | None, Sequence[Sequence[Measurement]]]
) -> Iterator[dict[str, str]]:
    """The rows that have a reference."""
    first = references[0]
    for name, label in REFERENCES.items():
        row = {
            "reference": label,
            **cells.origin_cells(references, "linear_reference"),
            "reference_model": model_label(first.row["model"]),
            "reference_images": str(first.value("linear_reference", "images")),
            "latents": str(first.value("linear_reference", "latents")),
        }
        for source, column in SOURCES.items():
            values = [one.number("linear_reference", "sources", source, name) for one in references]
            row |= cells.mean_and_sd(column, values, 3)
        biases = [one.number("linear_reference", "estimation_bias", name) for one in references]
        row["estimation_bias"] = cells.mean_and_sd("mean", biases, 3)["mean"]
        for group in trained.get(name, [None]):
            read = [*references, *(group or [])]
            yield {**row, **(trained_cells(group) if group else {}), **cells.trace_cells(read)}


def trained_cells(group: Sequence[Measurement]) -> dict[str, str]:
    """What a trained model reached."""
    return {
        "trained_model": row_label(group[0].row),
        **bits_cells(group),
        **cells.origin_cells(group, "training"),
        **cells.training_cells(group),
    }


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The reader's form."""
    return cells.readable(table, HEADERS, list(HEADERS))


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
