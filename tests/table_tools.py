"""Files of runs as the steps write them, a folder of all that tables are made from, and a spec of each."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vaeglow.evaluation.probes import IMAGES as IMAGES_OF
from vaeglow.evaluation.probes import LATENTS as LATENTS_FROM
from vaeglow.files import read_csv, sha256_file, write_json
from vaeglow.paths import IDENTITY
from vaeglow.reporting import traced
from vaeglow.results import read_result, relative
from vaeglow.steps import table

PUBLISHED = Path(__file__).parents[1] / "resources/published.csv"
PROTOCOL = {"protocol": "test-500-64", "split": "test", "images": 500, "features": 64, "sets": 1}
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
    save(
        run / "training.json",
        identity
        | phases
        | {"train_cpu_seconds_by_phase": [9.25] * len(epochs), "device_kind": "cpu"}
        | {"val_bits_per_dim": 4.125, "skipped_steps": 2},
    )
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
    metrics |= {"protocol": "test-500-64", "split": "test"}
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
    """Run the step; the rows of the CSV with all columns. The other forms lie beside it."""
    folder = results / spec["preset"]
    output = folder / f"tables/{spec['name']}.csv"
    command = ["--spec", spec_file(folder, spec), "--published", str(PUBLISHED), "--results-root", str(results)]
    forms = [str(output.with_suffix(end)) for end in (".csv", ".full.csv", ".md", ".html", ".tex")]
    table.main([*command, "--output", *forms])
    return read_csv(output.with_suffix(traced.FULL))


def without_times(path: Path) -> list[dict[str, str]]:
    """The rows of a table, without what two runs alike need not share; the hashes of all inputs stay."""
    own = ("train_seconds", "train_cpu_seconds", "train_seconds_by_phase", "device", "commit")
    own = (*own, *traced.TIMES, traced.HASHES, traced.SEAL)
    return [{name: value for name, value in row.items() if name not in own} for row in read_csv(path)]


def form(results: Path, spec: dict, suffix: str = ".md") -> str:
    """A form of the table that `run_table` wrote."""
    return (results / f"demo/tables/{spec['name']}").with_suffix(suffix).read_text()


def shown(results: Path, spec: dict) -> list[dict[str, str]]:
    """The rows that a reader of the Markdown form sees, by header."""
    lines = [line for line in form(results, spec).splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, cells, strict=True)) for cells in rows]


IMAGES = 40  # of likelihood.npz
DRAWN = {"glow": [1.0], "vae": [0.0], "vaeglow": [0.5, 1.0]}  # temperatures
FIDS = {"glow": [50.0, 60.0, 55.0], "vae": [90.0, 95.0, 85.0], "vaeglow": [40.0, 52.0, 46.0]}  # under each seed
CONFIGS = {
    "vae": {"kind": "vae", "base": None, "training": {"epochs": 5}},
    "vaeglow": {"kind": "vae_glow", "layer": {"squeeze": 2}, "training": {"epochs": 4}},
    "glow": {"kind": "glow", "base": None, "training": {"epochs": 10}},
}
for config in CONFIGS.values():
    config["training"] |= {"optimizer": "adamax", "learning_rate": 0.018, "warmup_epochs": 0.5}
CONFIGS["vaeglow"]["base"] = {"model": "vae", **CONFIGS["vae"]}
LATENTS = {"images": 64, "latent_dim": 32, "kl_nats": 20.5, "kl_bits_per_dim": 0.0096, "variance_explained": 0.8}
LATENTS |= {"information_lower_nats": 4.1, "information_upper_nats": 20.5, "information_cap_nats": 4.159}
LATENTS |= {"decoder_information_lower_nats": 5.5, "decoder_information_upper_nats": 20.25}
LATENTS |= {"entropy_x_bar_bits_per_dim": 6.0, "entropy_image_bits_per_dim": 4.0, "layer_log_det_bits_per_dim": 2.0}
STAGES = {"vae": 0.01, "vae_noisy": 0.4, "layer_mean": 0.02, "layer": 0.1}
ACTION = {"temperature": 0.5, "images": 50, "sharpness": {**STAGES, "data": 0.12}, "spectrum_error": STAGES}
ACTION |= {"draw_pixel_distance": 5.0, "between_pixel_distance": 60.0, "content_kept": 0.95}
ACTION |= {"similarity": 0.8, "similarity_noise": 0.5, "similarity_other": 0.6}
SOURCES = {f"{source}_{image}": {"fid": 80.0, "kid": 0.08} for source in LATENTS_FROM for image in IMAGES_OF}
SOURCES["posterior_layer"] = {"fid": 40.0, "kid": 0.02}
MEASURED = {"protocol": "test-500-64", "split": "test", "fid_features": 64}
MEASURED |= {"fid_samples": 500, "fid_reference_images": 500}
REFERENCES = ("no_layer", "squeeze1", "squeeze2", "squeeze4", "whitening")
SECONDS = {"glow": 512, "vae": 118, "vaeglow": 162, "vaeglow_as_written": 122}  # an epoch
SPREAD = [1.0, 0.9, 1.1]  # of three rounds, alike for all models


def image_bits(model: str, seed: int) -> np.ndarray:
    """Hard and easy images, the same for all; each model off by its own amount, and a little by seed and image."""
    shared = np.random.default_rng(9).normal(size=IMAGES)
    own = np.random.default_rng([len(model), seed]).normal(size=IMAGES)
    return 4 + {"glow": 0.1, "vae": 1.0, "vaeglow": 0.0}[model] + shared + 0.05 * own + 0.01 * seed


def write_results(root: Path) -> Path:
    """Three seeds of three models with all their probes, times of two presets, and runs on other data."""
    for model, seed in ((model, seed) for model in DRAWN for seed in range(3)):
        bits, fid = image_bits(model, seed), FIDS[model][seed]
        about = {"fid": fid, "kid": fid / 1000, "bits": float(bits.mean()), "likelihood_images": IMAGES}
        run, identity = write_run(root, model, DRAWN[model], seed, **about), identity_of(model, seed)
        save(run / "likelihood.npz", identity, {"bits_per_dim_1": bits})
        change(run / "likelihood.json", inputs={relative(run / "likelihood.npz"): sha256_file(run / "likelihood.npz")})
        save(run / "config.json", CONFIGS[model] | {key: identity[key] for key in IDENTITY})
        change(run / "training.json", inputs={relative(run / "config.json"): sha256_file(run / "config.json")})
        save(run / "latents.json", identity | LATENTS | {"active_units": 12 + seed})
        save(run / "layer_action.json", identity | ACTION | {"pixel_distance": 12.0 + seed})
        if model == "vaeglow":
            save(run / "distance_source/test-500-64/T0.5.json", identity | SOURCES | MEASURED | {"temperature": 0.5})
    change(root / "demo/photos32/vaeglow/seed0/metrics/test-500-64/T1.0.json", exploded_samples=3)
    values, bias = (6.5, 5.5, 4.5, 4.0, 3.5), (0.0, -0.001, -0.004, -0.02, -0.02)
    sources = {"vae": values, "pca": [value + 1 for value in values]}
    content = {"images": 500, "latents": 32, "estimation_bias": dict(zip(REFERENCES, bias, strict=True))}
    content["sources"] = {name: dict(zip(REFERENCES, of, strict=True)) for name, of in sources.items()}
    save(root / "demo/photos32/vae/seed0/linear_reference.json", identity_of("vae") | content)
    for dataset, images in (("cifar10", 1000), ("fashion_mnist", 500)):
        for model in ("vae_two_stage", "vae_isotropic"):
            write_run(root, model, [0.0], dataset=dataset, likelihood_images=images)
    for seed, spread in ((0, 0.3), (3, 0.4)):
        sets = {"fid": 10.0 + seed, "fid_by_set": [1, 2, 3], "fid_sd": spread}
        write_run(root, "vae_isotropic", [0.0], seed, likelihood_images=IMAGES, **sets)
    write_timing(root, 0.01, "demo")
    write_timing(root, 1)
    return root


def timed(model: str, seconds: float, **values) -> dict:
    """One model of timing.json, by its seconds an epoch; half of them CPU seconds."""
    window = [seconds * 2 * 16 / 50000 * factor for factor in SPREAD]
    kind = "vae_glow" if model.startswith("vaeglow") else model
    about = {"kind": kind, "batch_size": 16, "peak_memory_bytes": 3 * 2**20, "parameters": 1234}
    about |= {"peak_memory_of": "the whole process", "config_sha256": f"c-{model}"}
    about["training"] = {"steps": 2, "seconds": window, "cpu_seconds": [one / 2 for one in window]}
    return about | {"sampling": {"steps": 1, "seconds": [0.64 * factor for factor in SPREAD]}} | values


def write_timing(root: Path, factor: float, preset: str = "paper", **models: dict) -> None:
    """timing.json of a preset, its times `factor` times `SECONDS` but for `models`."""
    about = {"preset": preset, "dataset": "photos32", "provenance": identity_of("vae")["provenance"]}
    machine = {"device": "A CPU", "device_kind": "cpu", "threads": 2, "epoch_images": 50000, "rounds": 3}
    measured = {model: timed(model, seconds * factor) for model, seconds in SECONDS.items()} | models
    save(root / preset / "photos32/timing.json", about | machine | {"models": measured})


ROWS = [row("glow", 1.0), row("vae", 0.0), row("vaeglow", 0.5), row("vaeglow", 1.0)]
PAIRS = [row("vaeglow", 0.5, minus=row("glow", 1.0)), row("vaeglow", 0.5, minus=row("vae", 0.0))]
TIMED = [
    row(model, preset=preset, **({"base": "vae"} if model.startswith("vaeglow") else {}))
    for model in SECONDS
    for preset in ("demo", "paper")
]
OTHERS = [
    row(model, 0.0, dataset=dataset)
    for dataset in ("cifar10", "fashion_mnist")
    for model in ("vae_two_stage", "vae_isotropic")
]
COLUMNS = ["model", "temperature", "fid", "kid", "precision", "recall", "density", "coverage", "diversity"]
SPECS = {  # of a table each; its name is that of its files in `expected/`
    "table1": ("quality", OTHERS, {"published": "table1"}),
    "table2": ("quality", ROWS, {"published": "table2"}),
    "all_columns": ("quality", ROWS, {"published": "table2", "show": COLUMNS, "seeds": [0, 1]}),
    "three_sets": (
        "quality",
        [row("vae_isotropic", 0.0)],
        {"sets": 3, "seeds": [0, 3], "show": ["model", "fid", "kid"]},
    ),
    "differences": ("differences", PAIRS, {"seeds": [0, 1, 2]}),
    "information": ("information", [row("vaeglow", temperatures=[0.5, 1.0])], {"seeds": [0, 1]}),
    "likelihood": ("likelihood", [row("glow"), row("vaeglow")], {}),
    "layer_action": ("layer_action", [row("vaeglow")], {"seeds": [0, 1]}),
    "distance_source": ("distance_source", [row("vaeglow", 0.5)], {"seeds": [0, 1]}),
    "linear_reference": ("linear_reference", [row("vae"), row("vaeglow"), row("glow")], {"reference_model": "vae"}),
    "table4": ("timing", TIMED, {"presets": ["demo", "paper"], "published": "table4"}),
    "rates": ("rates", [row("vaeglow"), row("glow")], {}),
    "sampling": ("sampling", [row("vaeglow"), row("glow")], {}),
    "training_time": ("training_time", [row("vaeglow"), row("glow")], {}),
}
SPECS = {name: spec_of(kind, rows, name=name, **values) for name, (kind, rows, values) in SPECS.items()}
