"""Files of runs as the steps write them, a folder of all that tables are made from, and a spec of each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from waiting import ROOT, Json, Row

from vaeglow.files import read_csv, sha256_file, write_json
from vaeglow.paths import IDENTITY
from vaeglow.reporting import traced
from vaeglow.results import read_result, relative
from vaeglow.steps import table

EXPECTED = ROOT / "tests/reporting/expected"
PUBLISHED = ROOT / "resources/published.csv"
LABELS = {"glow": "Glow", "vae": "VAE", "vaeglow": "Ours (Glow layer, squeeze 2)"}
WEIGHTS = "resources/weights/inception.safetensors"
# Of each kind of result what all runs say; of a spec what all say.
MADE = yaml.safe_load("""
provenance: {commit: abc123, dirty: false, device: A CPU, source_sha256: s, started: "1", finished: "2"}
training: {parameters: 7, device_kind: cpu, val_bits_per_dim: 4.125, skipped_steps: 2}
epochs: {glow: [10], vaeglow: [5, 4], vae_two_stage: [3, 2]}
likelihood: {standard_error: 0.01, dequantisation: uniform}
bound: {standard_error: 0.05, images: 64}
undequantised: {standard_error: 0.02, images: 1000}
metrics:
  {fid: 1.5, kid: 0.0123, fid_sets: 1, fid_sd: null, kid_standard_error: 0.002,
  exploded_samples: 0, feature_images: 500, precision: 0.75, recall: 0.25, density: 0.875,
  coverage: 0.625, reference_diversity: 11.5}
protocol: {protocol: test-500-64, split: test, fid_features: 64, fid_samples: 500, fid_reference_images: 500}
latents:
  {images: 64, latent_dim: 32, kl_nats: 20.5, kl_bits_per_dim: 0.0096, variance_explained: 0.8,
  information_lower_nats: 4.1, information_upper_nats: 20.5, information_cap_nats: 4.159,
  decoder_information_lower_nats: 5.5, decoder_information_upper_nats: 20.25,
  entropy_x_bar_bits_per_dim: 6.0, entropy_image_bits_per_dim: 4.0, layer_log_det_bits_per_dim: 2.0}
layer_action:
  {temperature: 0.5, images: 50, draw_pixel_distance: 5.0, between_pixel_distance: 60.0, content_kept: 0.95,
  similarity: 0.8, similarity_noise: 0.5, similarity_other: 0.6,
  sharpness: {vae: 0.01, vae_noisy: 0.4, layer_mean: 0.02, layer: 0.1, data: 0.12},
  spectrum_error: {vae: 0.01, vae_noisy: 0.4, layer_mean: 0.02, layer: 0.1}}
distance_source:
  {prior_mean: &far {fid: 80.0, kid: 0.08}, prior_layer: *far, posterior_mean: *far,
  posterior_layer: {fid: 40.0, kid: 0.02}}
linear_reference:
  images: 500
  latents: 32
  estimation_bias: {no_layer: 0.0, squeeze1: -0.001, squeeze2: -0.004, squeeze4: -0.02, whitening: -0.02}
  sources:
    vae: {no_layer: 6.5, squeeze1: 5.5, squeeze2: 4.5, squeeze4: 4.0, whitening: 3.5}
    pca: {no_layer: 7.5, squeeze1: 6.5, squeeze2: 5.5, squeeze4: 5.0, whitening: 4.5}
config:
  vae: &vae {kind: vae, base: null, training: {epochs: 5, optimizer: adamax, learning_rate: 0.018, warmup_epochs: 0.5}}
  vaeglow:
    kind: vae_glow
    layer: {squeeze: 2}
    base: {model: vae, <<: *vae}
    training: {epochs: 4, optimizer: adamax, learning_rate: 0.018, warmup_epochs: 0.5}
  glow: {kind: glow, base: null, training: {epochs: 10, optimizer: adamax, learning_rate: 0.018, warmup_epochs: 0.5}}
timing: {dataset: photos32, device: A CPU, device_kind: cpu, threads: 2, epoch_images: 50000, rounds: 3}
timed: {batch_size: 16, peak_memory_bytes: 3145728, parameters: 1234, peak_memory_of: the whole process}
spec:
  {name: table2, title: "Table 2: a title", preset: demo, dataset: photos32, protocol: test-500-64, split: test,
  images: 500, features: 64, sets: 1, seeds: [0], published: null}
""")


def row(model: str, temperature: float | None = None, minus: Mapping | None = None, **values: Any) -> Json:
    """One row of a spec, as `vaeglow.config.plan.spec` fills it in."""
    filled = {"model": model, "dataset": "photos32", "preset": "demo", **values}
    if temperature is not None:
        filled["temperature"] = temperature
    if minus is not None:
        filled["minus"] = row(**minus)
    return filled


def spec_of(kind: str, rows: list[dict], **values: Any) -> Json:
    """A table's spec."""
    models = [*LABELS, *(row["model"] for row in rows)]
    styles = {model: {"label": LABELS.get(model, model)} for model in models}
    return {**MADE["spec"], "styles": styles, "kind": kind, "rows": rows, **values}


def save(path: Path, content: Mapping, arrays: Mapping[str, np.ndarray] | None = None) -> None:
    """A result: JSON, or an npz file whose metadata that is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content)
    if path.suffix == ".json":
        path.write_text(text)
    else:
        np.savez(path, **(arrays or {}), metadata=np.array(text))


def change(path: Path, **values: Any) -> None:
    """Change what a result says."""
    result = read_result(path, None)
    save(path, result.content | values, result.arrays)


def made_from(path: Path, other: Path) -> None:
    """Let a result name another file as its input."""
    change(path, inputs={relative(other): sha256_file(other)})


def identity_of(model: str, seed: int = 0, dataset: str = "photos32") -> Json:
    """What every file of a run says of it."""
    run = {"preset": "demo", "dataset": dataset, "model": model, "seed": seed, "provenance": MADE["provenance"]}
    hashes = {f"{what}_sha256": f"{what}-{model}-{seed}" for what in ("config", "weights")}
    return {**run, **hashes, "data_sha256": dataset[0] * 64}


def write_run(
    root: Path,
    model: str,
    temperatures: list[float],
    seed: int = 0,
    dataset: str = "photos32",
    bits: float = 4.0,
    likelihood_images: int = 1000,
    **metrics: Any,
) -> Path:
    """training.json, likelihood.json and metrics of one run."""
    identity = identity_of(model, seed, dataset)
    run = root / "demo" / dataset / model / f"seed{seed}"
    epochs = MADE["epochs"].get(model, [5])
    seconds = {"train_seconds_by_phase": [10.25] * len(epochs), "train_cpu_seconds_by_phase": [9.25] * len(epochs)}
    save(run / "training.json", {**identity, **MADE["training"], "epochs_by_phase": epochs, **seconds})
    bounds = {"100": bits - 0.2, "10": bits - 0.1, "1": bits + 0.05}
    likelihood = {
        **MADE["likelihood"],
        "bits_per_dim": bits,
        "bound": "=" if model == "glow" else "<=",
        "images": likelihood_images,
        "importance": {draws: {**MADE["bound"], "bits_per_dim": bound} for draws, bound in bounds.items()},
        "terms": {"reconstruction": bits - 8.5, "kl": 0.5, "levels": 8.0},
        "undequantised": {**MADE["undequantised"], "bits_per_dim": bits - 1},
    }
    save(run / "likelihood.json", identity | likelihood)
    inputs = {f"results/demo/{dataset}/fid_reference/test-500-64.npz": f"r-{dataset}", WEIGHTS: "i" * 64}
    for temperature in temperatures:
        drawn = {"temperature": temperature, "diversity": 9.0 + temperature, "inputs": inputs}
        measured = identity | MADE["metrics"] | MADE["protocol"] | metrics | drawn
        save(run / f"metrics/test-500-64/T{temperature}.json", measured)
    return run


def spec_file(folder: Path, spec: dict) -> str:
    """A spec as the workflow hands it to a step."""
    write_json(folder / "specs/spec.json", spec)
    return str(folder / "specs/spec.json")


def run_table(results: Path, spec: dict) -> list[Row]:
    """Run the step; the rows of the CSV with all columns. The other forms lie beside it."""
    folder = results / spec["preset"]
    output = folder / f"tables/{spec['name']}.csv"
    forms = [str(output.with_suffix(end)) for end in (".csv", traced.FULL, ".md", ".html", ".tex")]
    roots = ["--published", str(PUBLISHED), "--results-root", str(results)]
    table.main(["--spec", spec_file(folder, spec), *roots, "--output", *forms])
    return read_csv(output.with_suffix(traced.FULL))


def as_expected(path: Path, text: str) -> None:
    """That a text is the file of this name in `expected/`; for a change on purpose it is written to `path`."""
    path.write_text(text, encoding="utf-8")
    assert text == (EXPECTED / path.name).read_text(encoding="utf-8"), f"compare {path} with {EXPECTED}"


def without_times(path: Path) -> list[Row]:
    """The rows of a table, without what two runs alike need not share; the hashes of all inputs stay."""
    own = ("train_seconds", "train_cpu_seconds", "train_seconds_by_phase", "device", "commit")
    own = (*own, *traced.TIMES, traced.HASHES, traced.SEAL)
    return [{name: value for name, value in row.items() if name not in own} for row in read_csv(path)]


def form(results: Path, spec: dict, suffix: str = ".md") -> str:
    """A form of the table that `run_table` wrote."""
    return (results / f"demo/tables/{spec['name']}").with_suffix(suffix).read_text()


IMAGES = 40  # of likelihood.npz
# Temperatures; FIDs under each seed; seconds an epoch.
DRAWN, FIDS, SECONDS = yaml.safe_load("""
- {glow: [1.0], vae: [0.0], vaeglow: [0.5, 1.0]}
- {glow: [50.0, 60.0, 55.0], vae: [90.0, 95.0, 85.0], vaeglow: [40.0, 52.0, 46.0]}
- {glow: 512, vae: 118, vaeglow: 162, vaeglow_as_written: 122}
""")
SPREAD = np.array([1.0, 0.9, 1.1])  # of three rounds, alike for all models


def image_bits(model: str, seed: int) -> np.ndarray:
    """Hard and easy images, the same for all; each model off by its own amount, and a little by seed and image."""
    shared = np.random.default_rng(9).normal(size=IMAGES)
    own = np.random.default_rng([len(model), seed]).normal(size=IMAGES)
    return 4 + {"glow": 0.1, "vae": 1.0, "vaeglow": 0.0}[model] + shared + 0.05 * own + 0.01 * seed


def write_results(root: Path) -> Path:
    """Three seeds of three models with all their probes, times of two presets, and runs on other data."""
    for model in DRAWN:
        for seed in range(3):
            write_probed(root, model, seed)
    change(root / "demo/photos32/vaeglow/seed0/metrics/test-500-64/T1.0.json", exploded_samples=3)
    references = identity_of("vae") | MADE["linear_reference"]
    save(root / "demo/photos32/vae/seed0/linear_reference.json", references)
    for dataset, images in (("cifar10", 1000), ("fashion_mnist", 500)):
        for model in ("vae_two_stage", "vae_isotropic"):
            write_run(root, model, [0.0], dataset=dataset, likelihood_images=images)
    for seed, spread in ((0, 0.3), (3, 0.4)):
        sets = {"fid": 10.0 + seed, "fid_sets": 3, "fid_sd": spread}
        write_run(root, "vae_isotropic", [0.0], seed, likelihood_images=IMAGES, **sets)
    write_timing(root, 0.01, "demo")
    write_timing(root, 1)
    return root


def write_probed(root: Path, model: str, seed: int) -> None:
    """A run, its bits/dim of each image, its config and its probes."""
    identity = identity_of(model, seed)
    bits = image_bits(model, seed)
    fid = FIDS[model][seed]
    about = {"fid": fid, "kid": fid / 1000, "bits": float(bits.mean()), "likelihood_images": IMAGES}
    run = write_run(root, model, DRAWN[model], seed, **about)
    save(run / "likelihood.npz", identity, {"bits_per_dim_1": bits})
    made_from(run / "likelihood.json", run / "likelihood.npz")
    save(run / "config.json", MADE["config"][model] | {key: identity[key] for key in IDENTITY})
    made_from(run / "training.json", run / "config.json")
    save(run / "latents.json", {**identity, **MADE["latents"], "active_units": 12 + seed})
    save(run / "layer_action.json", {**identity, **MADE["layer_action"], "pixel_distance": 12.0 + seed})
    if model == "vaeglow":
        drawn = {**MADE["distance_source"], **MADE["protocol"], "temperature": 0.5}
        save(run / "distance_source/test-500-64/T0.5.json", identity | drawn)


def timed(model: str, seconds: float, **values: Any) -> Json:
    """One model of timing.json, by its seconds an epoch; half of them CPU seconds."""
    windows = seconds * 2 * 16 / 50000 * SPREAD
    return {
        **MADE["timed"],
        "kind": "vae_glow" if model.startswith("vaeglow") else model,
        "config_sha256": f"c-{model}",
        "training": {"steps": 2, "seconds": windows.tolist(), "cpu_seconds": (windows / 2).tolist()},
        "sampling": {"steps": 1, "seconds": (0.64 * SPREAD).tolist()},
        **values,
    }


def write_timing(root: Path, factor: float, preset: str = "paper", **models: dict) -> None:
    """timing.json of a preset, its times `factor` times `SECONDS` but for `models`."""
    measured = {model: timed(model, seconds * factor) for model, seconds in SECONDS.items()} | models
    about = {"preset": preset, "provenance": MADE["provenance"], **MADE["timing"]}
    save(root / preset / "photos32/timing.json", {**about, "models": measured})


# Of a table each; its name is that of its files in `expected/`.
SPECS = yaml.safe_load("""
table1:
  kind: quality
  published: table1
  rows:
  - {model: vae_two_stage, temperature: 0.0, dataset: cifar10}
  - {model: vae_isotropic, temperature: 0.0, dataset: cifar10}
  - {model: vae_two_stage, temperature: 0.0, dataset: fashion_mnist}
  - {model: vae_isotropic, temperature: 0.0, dataset: fashion_mnist}
table2:
  kind: quality
  published: table2
  rows: &rows
  - &glow {model: glow, temperature: 1.0}
  - &vae {model: vae, temperature: 0.0}
  - {model: vaeglow, temperature: 0.5}
  - {model: vaeglow, temperature: 1.0}
all_columns:
  kind: quality
  published: table2
  show: [model, temperature, fid, kid, precision, recall, density, coverage, diversity]
  seeds: [0, 1]
  rows: *rows
three_sets:
  kind: quality
  sets: 3
  seeds: [0, 3]
  show: [model, fid, kid]
  rows: [{model: vae_isotropic, temperature: 0.0}]
differences:
  kind: differences
  seeds: [0, 1, 2]
  rows: [{model: vaeglow, temperature: 0.5, minus: *glow}, {model: vaeglow, temperature: 0.5, minus: *vae}]
information: {kind: information, seeds: [0, 1], rows: [{model: vaeglow, temperatures: [0.5, 1.0]}]}
likelihood: {kind: likelihood, rows: [{model: glow}, {model: vaeglow}]}
layer_action: {kind: layer_action, seeds: [0, 1], rows: [{model: vaeglow}]}
distance_source: {kind: distance_source, seeds: [0, 1], rows: [{model: vaeglow, temperature: 0.5}]}
linear_reference: {kind: linear_reference, reference_model: vae, rows: [{model: vae}, {model: vaeglow}, {model: glow}]}
table4:
  kind: timing
  presets: [demo, paper]
  published: table4
  rows:
  - {model: glow, preset: demo}
  - {model: glow, preset: paper}
  - {model: vae, preset: demo}
  - {model: vae, preset: paper}
  - {model: vaeglow, preset: demo, base: vae}
  - {model: vaeglow, preset: paper, base: vae}
  - {model: vaeglow_as_written, preset: demo, base: vae}
  - {model: vaeglow_as_written, preset: paper, base: vae}
rates: {kind: rates, rows: [{model: vaeglow}, {model: glow}]}
sampling: {kind: sampling, rows: [{model: vaeglow}, {model: glow}]}
training_time: {kind: training_time, rows: [{model: vaeglow}, {model: glow}]}
""")
for name, spec in SPECS.items():
    rows = [row(**entry) for entry in spec.pop("rows")]
    SPECS[name] = spec_of(spec.pop("kind"), rows, name=name, **spec)
