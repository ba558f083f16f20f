"""A small results tree as the workflow leaves it: every step for real, on tiny models, in this process."""

import contextlib
import functools
import json
import shutil
from pathlib import Path
from unittest import mock

import yaml
from claims_tools import claim
from claims_tools import spec as claims_spec
from run_tools import CONFIG, Run, prepare, run_probe, run_step
from table_tools import run_table, spec_file, spec_of

from vaeglow.config import resolve
from vaeglow.evaluation import inception as inception_module
from vaeglow.reporting import traced

DATASET = "blobs"
ABOUT = yaml.safe_load("""
protocol: {protocol: test-12-64, split: test, images: 12, features: 64, sets: 1}
temperatures: {vae: 0.0, vaeglow: 1.0}
runs: [[tiny, vae, 0], [tiny, vae, 1], [tiny, vaeglow, 0], [tiny, vaeglow, 1], [other, vae, 0]]
timing: {epoch_images: 100, cpu: {batch_size: 4, warmup_steps: 1, windows: 2, window_seconds: 0.01}}
machine: {batch_size: 8, device: cpu, threads: 1}
bounds: {importance_samples: [2], importance_images: 4, batch_size: 8, device: cpu}
""")
PROTOCOL, TEMPERATURES, RUNS, TIMING, MACHINE, BOUNDS = ABOUT.values()
DATA = Path("resources/data") / DATASET


def make_tree(root: Path, inception: Path) -> None:
    """results/ and resources/data/ below `root`: two presets, two seeds, tables, a figure, claims, copies of them."""
    load = functools.cache(inception_module.load_inception)  # built once for all steps
    with contextlib.chdir(root), mock.patch.object(inception_module, "load_inception", load):
        prepare(DATA, name=DATASET)
        page = Path(f"results/data/{DATASET}.png")
        run_step("inspect_data", data_dir=DATA, output=[page.with_suffix(".json"), page])
        made: dict[tuple, Run] = {}
        for preset in ("tiny", "other"):
            run_step("fid_reference", data_dir=DATA, **PROTOCOL, weights=inception, **MACHINE, output=reference(preset))
        config = {**CONFIG, "presets": {"tiny": {}, "other": {}}}
        for preset, model, seed in RUNS:
            folder = Path(f"results/{preset}/{DATASET}/{model}/seed{seed}")
            base = made[preset, "vae", seed] if model == "vaeglow" else None
            made[preset, model, seed] = Run(folder, resolve(config, preset, DATASET, model, seed), DATA, base).train()
            measure(folder, preset, TEMPERATURES[model], inception)
        look_into(made["tiny", "vaeglow", 0])
        for preset, seeds in (("tiny", [0, 1]), ("other", [0])):
            report(preset, seeds)
        root = Path("results/tiny")
        for source in [*root.glob("tables/*"), *root.glob("figures/*"), *root.glob("claims.*")]:
            shutil.copyfile(source, Path("results") / source.name)  # as `publish` does


def reference(preset: str) -> str:
    return f"results/{preset}/{DATASET}/fid_reference/{PROTOCOL['protocol']}.npz"


def measure(folder: Path, preset: str, temperature: float, inception: Path) -> None:
    """Bits/dim, samples and FID of one run."""
    model = folder / "model.safetensors"
    samples = folder / f"samples/T{temperature}.npz"
    run_step("likelihood", model=model, data_dir=DATA, **BOUNDS, output=folder / "likelihood.json")
    run_step("sample", model=model, temperature=temperature, count=12, shown=4, device="cpu", output=samples)
    metrics = folder / f"metrics/{PROTOCOL['protocol']}/T{temperature}.json"
    run_step("evaluate", samples=samples, reference=reference(preset), weights=inception, **MACHINE, output=metrics)


def look_into(made: Run) -> None:
    """Curves, timing, latents and draws of one run."""
    folder = made.folder
    run_step("training_curves", history=made.history, training=made.training, output=[folder / "curves.png"])
    text = (folder / "config.json").read_text()
    timing = {"timing": json.dumps(TIMING), "device": "cpu", "memory": "stored", "threads": 1}
    run_step("time_epoch", config=text, data_dir=DATA, **timing, output=folder.parents[1] / "timing.json")
    run_probe("latents", made, folder / "latents.json", {"images": 12, "batch_size": 8})
    counts = {"images": 4, "draws": 2, "temperature": 1.0, "shown": 2}
    run_probe("layer_action", made, folder / "layer_action.json", counts)


def report(preset: str, seeds: list[int]) -> None:
    """A table, a figure and the claims of a preset."""
    models = [model for model in TEMPERATURES if [preset, model, 0] in RUNS]
    about = {"preset": preset, "dataset": DATASET}
    rows = [{"model": model, "temperature": TEMPERATURES[model], **about} for model in models]
    spec = spec_of("quality", rows, **about, **PROTOCOL, seeds=seeds, published="table2")
    run_table(Path("results"), spec)
    spec = {**spec, "name": "samples", "kind": "sample_sheet", "seed": 0, "columns": 4, "lines_per_row": 1}
    output = Path(f"results/{preset}/figures/samples.png")
    roots = {"results_root": "results", "data_root": DATA.parent}
    files = [output, output.with_suffix(".pdf")]
    run_step("figure", spec=spec_file(Path("results") / preset, spec), **roots, output=files)
    if len(models) > 1:
        entry = claim("bits", better="vaeglow", worse="vae", preset=preset, dataset=DATASET) | PROTOCOL
        spec = claims_spec({"likelihood": entry}, seeds) | {"preset": preset}
        output = Path(f"results/{preset}/claims.csv")
        forms = [output.with_suffix(end) for end in (".csv", traced.FULL, ".md", ".html")]
        run_step("claims", spec=spec_file(Path("results") / preset, spec), results_root="results", output=forms)
