"""Files of runs as the steps write them, for the tests of tables; no model is trained."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vaeglow.files import write_json
from vaeglow.reporting import traced
from vaeglow.results import read_result
from vaeglow.steps import table

PUBLISHED = Path(__file__).parents[1] / "resources/published.csv"
PROTOCOL = {"protocol": "test-500-64", "split": "test", "images": 500, "features": 64, "sets": 1, "stretch": False}
EPOCHS = {"glow": [10], "vae": [5], "vaeglow": [5, 4], "vae_two_stage": [3, 2]}
LABELS = {"glow": "Glow", "vae": "VAE", "vaeglow": "Ours (Glow layer, squeeze 2)"}
WEIGHTS = "resources/weights/inception.safetensors"


def reference(dataset: str) -> str:
    """The FID reference of a dataset, as a result names it."""
    return f"results/demo/{dataset}/fid_reference/test-500-64.npz"


def row(model: str, temperature: float | None = None, **values) -> dict:
    """One row of a spec, as `vaeglow.config.plan.spec` fills it in."""
    drawn = {} if temperature is None else {"temperature": temperature}
    return {"model": model, "dataset": "photos32", "preset": "demo", **drawn, **values}


def spec_of(kind: str, rows: list[dict], **values) -> dict:
    """A table's spec."""
    about = {"name": "table2", "kind": kind, "title": "Table 2: a title", "preset": "demo", "dataset": "photos32"}
    about["styles"] = {model: {"label": label} for model, label in LABELS.items()}
    return {**about, **PROTOCOL, "seeds": [0], "published": None, "rows": rows, **values}


def save(path: Path, content: Mapping, arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """A result: JSON, or an npz file whose metadata that is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content)
    if path.suffix == ".json":
        path.write_text(text)
    else:
        np.savez(path, **(arrays or {}), metadata=np.array(text))


def change(path: Path, **values) -> None:
    """Change what a result says."""
    result = read_result(path, None)
    save(path, result.content | values, result.arrays)


def identity_of(model: str, seed: int = 0, dataset: str = "photos32") -> dict:
    """What every file of a run says of it."""
    made = {"commit": "abc123", "dirty": False, "device": "A CPU", "source_sha256": "s", "started": "1"}
    hashes = {f"{what}_sha256": f"{what}-{model}-{seed}" for what in ("config", "weights")}
    hashes |= {"data_sha256": dataset[0] * 64, "provenance": made | {"finished": "2"}}
    return {"preset": "demo", "dataset": dataset, "model": model, "seed": seed, **hashes}


def write_run(
    root: Path, model: str, temperatures: list[float], seed: int = 0, dataset: str = "photos32", **values
) -> Path:
    """training.json, likelihood.json and metrics of one run; `fid`, `kid`, `bits` and the like in `values`."""
    identity, run = identity_of(model, seed, dataset), root / "demo" / dataset / model / f"seed{seed}"
    epochs = EPOCHS.get(model, [5])
    phases = {"epochs_by_phase": epochs, "train_seconds_by_phase": [10.25] * len(epochs), "parameters": 7}
    save(run / "training.json", identity | phases | {"train_cpu_seconds_by_phase": [9.25] * len(epochs)})
    bits, off = values.get("bits", 4.0), {"100": -0.2, "10": -0.1, "1": 0.05}
    bounds = {k: {"bits_per_dim": bits + by, "standard_error": 0.05, "images": 64} for k, by in off.items()}
    likelihood = {"bits_per_dim": bits, "standard_error": 0.01, "bound": "=" if model == "glow" else "<="}
    likelihood |= {"images": values.get("likelihood_images", 1000), "dequantisation": "uniform", "importance": bounds}
    likelihood["terms"] = {"reconstruction": bits - 8.5, "kl": 0.5, "levels": 8.0}
    likelihood["undequantised"] = {"bits_per_dim": bits - 1, "standard_error": 0.02, "images": 1000}
    save(run / "likelihood.json", identity | likelihood)
    metrics = {"fid": values.get("fid", 1.5), "kid": values.get("kid", 0.0123), "kid_standard_error": 0.002}
    metrics |= {"fid_sets": len(values.get("fid_by_set", [1])), "fid_sd": values.get("fid_sd"), "exploded_samples": 0}
    metrics |= {"fid_samples": 500, "fid_reference_images": 500, "fid_features": 64, "feature_images": 500}
    metrics |= {"precision": 0.75, "recall": 0.25, "density": 0.875, "coverage": 0.625, "reference_diversity": 11.5}
    metrics |= {"protocol": "test-500-64", "split": "test", "stretch": values.get("stretch", False)}
    metrics["inputs"] = {reference(dataset): f"r-{dataset}", WEIGHTS: "i" * 64}
    for temperature in temperatures:
        drawn = {"temperature": temperature, "diversity": 9.0 + temperature}
        save(run / f"metrics/test-500-64/T{temperature}.json", identity | metrics | drawn)
    return run


def spec_file(folder: Path, spec: dict) -> str:
    """A spec as the workflow hands it to a step."""
    write_json(folder / "specs/spec.json", spec)
    return str(folder / "specs/spec.json")


def run_table(results: Path, spec: dict) -> list[dict[str, str]]:
    """Run the step; the CSV's rows. Markdown, HTML and LaTeX lie beside it."""
    folder = results / spec["preset"]
    output = folder / f"tables/{spec['name']}.csv"
    command = ["--spec", spec_file(folder, spec), "--published", str(PUBLISHED), "--results-root", str(results)]
    endings = {"markdown": ".md", "html": ".html", "latex": ".tex"}
    forms = [word for form, end in endings.items() for word in (f"--{form}", str(output.with_suffix(end)))]
    table.main([*command, "--output", str(output), *forms])
    return list(csv.DictReader(io.StringIO(output.read_text())))


def without_times(path: Path) -> list[dict[str, str]]:
    """The rows of a table, without what two runs alike need not share; the hashes of all inputs stay."""
    own = ("train_seconds", "train_cpu_seconds", "train_seconds_by_phase", "device", "commit")
    own = (*own, *traced.TIMES, traced.HASHES, traced.SEAL)
    lines = path.read_text(encoding="utf-8").splitlines()
    return [{name: value for name, value in row.items() if name not in own} for row in csv.DictReader(lines)]


def form(results: Path, spec: dict, suffix: str = ".md") -> str:
    """A form of the table that `run_table` wrote."""
    return (results / f"demo/tables/{spec['name']}").with_suffix(suffix).read_text()


def shown(results: Path, spec: dict) -> list[dict[str, str]]:
    """The rows that a reader of the Markdown form sees, by header."""
    lines = [line for line in form(results, spec).splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, cells, strict=True)) for cells in rows]
