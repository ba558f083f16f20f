"""Files of runs as the steps write them, for the tests of tables; no model is trained."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from vaeglow.steps import table

PUBLISHED = Path(__file__).parents[1] / "resources/published.csv"
PROTOCOL = {"protocol": "test-500-64", "split": "test", "images": 500, "features": 64, "sets": 1, "stretch": False}
EPOCHS = {"glow": [10], "vae": [5], "vaeglow": [5, 4], "vae_two_stage": [3, 2]}


def row(model: str, temperature: float | None = None, **values) -> dict:
    """One row of a spec, as `vaeglow.entries.complete` fills it in."""
    drawn = {} if temperature is None else {"temperature": temperature}
    return {"model": model, "dataset": "photos32", "preset": "demo", **drawn, **values}


def spec_of(kind: str, rows: list[dict], **values) -> dict:
    """A table's spec."""
    about = {"name": "table2", "kind": kind, "title": "Table 2: a title", "preset": "demo", "dataset": "photos32"}
    return {**about, **PROTOCOL, "seeds": [0], "published": None, "rows": rows, **values}


def save(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def change(path: Path, **values) -> None:
    save(path, json.loads(path.read_text()) | values)


def identity_of(model: str, seed: int = 0, dataset: str = "photos32") -> dict:
    """What every file of a run says of it."""
    return {
        "preset": "demo",
        "dataset": dataset,
        "model": model,
        "seed": seed,
        "config_sha256": f"c-{model}-{seed}",
        "data_sha256": dataset[0] * 64,
        "weights_sha256": f"w-{model}-{seed}",
        "provenance": {"commit": "abc123", "dirty": False, "device": "A CPU"},
    }


def write_run(
    root: Path, model: str, temperatures: list[float], seed: int = 0, dataset: str = "photos32", **values
) -> Path:
    """training.json, likelihood.json and metrics of one run; `fid`, `kid` and `bits` in `values`."""
    identity = identity_of(model, seed, dataset)
    run = root / "demo" / dataset / model / f"seed{seed}"
    epochs = EPOCHS.get(model, [5])
    phases = {"epochs_by_phase": epochs, "train_seconds_by_phase": [10.25] * len(epochs)}
    phases["train_cpu_seconds_by_phase"] = [9.25] * len(epochs)
    save(run / "training.json", identity | phases | {"parameters": 7, "skipped_steps": 0})
    bits = values.get("bits", 4.0)
    likelihood = {
        "bits_per_dim": bits,
        "standard_error": 0.01,
        "bound": "=" if model == "glow" else "<=",
        "images": values.get("likelihood_images", 1000),
        "split": "test",
        "dequantisation": "uniform",
        "importance": {"100": {"bits_per_dim": bits - 0.2, "standard_error": 0.05, "images": 64}}
        | {"10": {"bits_per_dim": bits - 0.1, "standard_error": 0.05, "images": 64}}
        | {"1": {"bits_per_dim": bits + 0.05, "standard_error": 0.05, "images": 64}},
        "terms": {"reconstruction": bits - 8.5, "kl": 0.5, "levels": 8.0},
        "undequantised": {"bits_per_dim": bits - 1, "standard_error": 0.02, "images": 1000, "not_a_bound": True},
    }
    save(run / "likelihood.json", identity | likelihood)
    for temperature in temperatures:
        metrics = {
            "fid": values.get("fid", 1.5),
            "kid": values.get("kid", 0.0123),
            "kid_standard_error": 0.002,
            "precision": 0.75,
            "recall": 0.25,
            "density": 0.875,
            "coverage": 0.625,
            "diversity": 9.0 + temperature,
            "reference_diversity": 11.5,
            "temperature": temperature,
            "protocol": "test-500-64",
            "fid_samples": 500,
            "exploded_samples": 0,
            "fid_reference_images": 500,
            "fid_features": 64,
            "feature_images": 500,
            "fid_sets": len(values.get("fid_by_set", [1])),
            "fid_sd": values.get("fid_sd"),
            "stretch": values.get("stretch", False),
            "split": "test",
            "reference_sha256": f"r-{dataset}",
            "inception_sha256": "i" * 64,
        }
        save(run / f"metrics/test-500-64/T{temperature}.json", identity | metrics)
    return run


def run_table(results: Path, spec: dict) -> list[dict[str, str]]:
    """Run the step; the CSV's rows. Markdown and LaTeX lie beside it."""
    output = results / f"demo/tables/{spec['name']}.csv"
    command = ["--spec", json.dumps(spec), "--published", str(PUBLISHED), "--results-root", str(results)]
    endings = {"markdown": ".md", "html": ".html", "latex": ".tex"}
    forms = [word for form, ending in endings.items() for word in (f"--{form}", str(output.with_suffix(ending)))]
    table.main([*command, "--output", str(output), *forms])
    return list(csv.DictReader(io.StringIO(output.read_text())))


def form(results: Path, spec: dict, suffix: str = ".md") -> str:
    """A form of the table that `run_table` wrote."""
    return (results / f"demo/tables/{spec['name']}").with_suffix(suffix).read_text()


def cells_of(markdown: str) -> list[list[str]]:
    """The cells of a Markdown table: header, rule, rows."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def shown(results: Path, spec: dict) -> list[dict[str, str]]:
    """The rows that a reader of the Markdown form sees, by header."""
    header, _, *rows = cells_of(form(results, spec))
    return [dict(zip(header, cells, strict=True)) for cells in rows]
