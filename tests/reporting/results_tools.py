"""A folder of results that all kinds of table can be made from, and a spec of each."""

from pathlib import Path

import numpy as np
from table_tools import change, identity_of, row, save, spec_of, write_run

from vaeglow.files import sha256_file
from vaeglow.results import relative

IMAGES = 40  # of likelihood.npz
DRAWN = {"glow": [1.0], "vae": [0.0], "vaeglow": [0.5, 1.0]}  # temperatures
FIDS = {"glow": [50.0, 60.0, 55.0], "vae": [90.0, 95.0, 85.0], "vaeglow": [40.0, 52.0, 46.0]}  # under each seed
CONFIGS = {"vae": {"kind": "vae"}, "vaeglow": {"kind": "vae_glow", "layer": {"squeeze": 2}}, "glow": {"kind": "glow"}}
LATENTS = {"images": 64, "latent_dim": 32, "kl_nats": 20.5, "kl_bits_per_dim": 0.0096, "variance_explained": 0.8}
LATENTS |= {"information_lower_nats": 4.1, "information_upper_nats": 20.5, "information_cap_nats": 4.159}
LATENTS |= {"decoder_information_lower_nats": 5.5, "decoder_information_upper_nats": 20.25}
LATENTS |= {"entropy_x_bar_bits_per_dim": 6.0, "entropy_image_bits_per_dim": 4.0, "layer_log_det_bits_per_dim": 2.0}
STAGES = {"vae": 0.01, "vae_noisy": 0.4, "layer_mean": 0.02, "layer": 0.1}
ACTION = {"temperature": 0.5, "images": 50, "sharpness": {**STAGES, "data": 0.12}, "spectrum_error": STAGES}
ACTION |= {"feature_distance": 5.0, "feature_distance_between": 15.0, "draw_pixel_distance": None}
ACTION |= {"content_kept_pixels": 0.95, "content_kept": 0.9}
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
        write_config(run, CONFIGS[model])
        save(run / "latents.json", identity | LATENTS | {"active_units": 12 + seed})
        save(run / "layer_action.json", identity | ACTION | {"pixel_distance": 12.0 + seed})
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
        sets = {"fid": 10.0 + seed, "fid_by_set": [1, 2, 3], "fid_sd": spread, "stretch": True}
        write_run(root, "vae_isotropic", [0.0], seed, likelihood_images=IMAGES, **sets)
    write_timing(root, 0.01, "demo")
    write_timing(root, 1)
    return root


def write_config(run: Path, config: dict) -> None:
    """A run's config.json, which its training.json names."""
    seed = int(run.name.removeprefix("seed"))
    run_of = {key: identity_of(run.parent.name, seed)[key] for key in ("preset", "dataset", "model", "seed")}
    save(run / "config.json", config | run_of)
    change(run / "training.json", inputs={relative(run / "config.json"): sha256_file(run / "config.json")})


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
        {"sets": 3, "seeds": [0, 3], "stretch": True, "show": ["model", "fid", "kid"]},
    ),
    "differences": ("differences", PAIRS, {"seeds": [0, 1, 2]}),
    "information": ("information", [row("vaeglow", temperatures=[0.5, 1.0])], {"seeds": [0, 1]}),
    "likelihood": ("likelihood", [row("glow"), row("vaeglow")], {}),
    "layer_action": ("layer_action", [row("vaeglow")], {"seeds": [0, 1]}),
    "linear_reference": ("linear_reference", [row("vae"), row("vaeglow"), row("glow")], {"reference_model": "vae"}),
    "table4": ("timing", TIMED, {"presets": ["demo", "paper"], "published": "table4"}),
    "sampling": ("sampling", [row("vaeglow"), row("glow")], {}),
}
SPECS = {name: spec_of(kind, rows, name=name, **values) for name, (kind, rows, values) in SPECS.items()}
