"""A small results tree as the workflow leaves it: every step for real, on tiny models, in this process."""

import contextlib
import json
import shutil
from pathlib import Path
from unittest import mock

import yaml
from claims_tools import claim, timed_model
from claims_tools import spec as claims_spec
from fid_tools import pixels
from run_tools import Run, prepare, resolved, run_probe, run_step
from table_tools import run_table, spec_file, spec_of

from vaeglow.evaluation import fid, inception
from vaeglow.evaluation.probes import nearest_training
from vaeglow.reporting import traced
from vaeglow.training import timing

ABOUT = yaml.safe_load("""
protocol: {protocol: test-12-64, split: test, images: 12, features: 64, sets: 1}
temperatures: {vae: 0.0, vaeglow: 1.0}
timing: {epoch_images: 100, cpu: {windows: 1}}
machine: {batch_size: 8, device: cpu, threads: 1}
bounds: {importance_samples: [2], importance_images: 4, batch_size: 8, device: cpu}
where: {preset: tiny, dataset: blobs}
""")
PROTOCOL, TEMPERATURES, TIMING, MACHINE, BOUNDS, WHERE = ABOUT.values()
DATA = Path("resources/data/blobs")
PRESET = Path("results/tiny")
WEIGHTS = Path("weights/inception.safetensors")
REFERENCE = PRESET / "blobs/fid_reference/test-12-64.npz"


def make_tree(root: Path) -> None:
    """results/ and resources/data/ below `root`: two seeds of two models, a table, a figure, claims, copies of them."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(root))
        for module in (inception, fid, nearest_training):  # each keeps the one that it was imported with
            stack.enter_context(mock.patch.object(module, "load_inception", lambda *_: pixels))
        WEIGHTS.parent.mkdir(parents=True)
        WEIGHTS.touch()
        prepare(DATA)
        run_step("inspect_data", data_dir=DATA, output=["results/data/blobs.json", "results/data/blobs.png"])
        run_step("fid_reference", data_dir=DATA, **PROTOCOL, weights=WEIGHTS, **MACHINE, output=REFERENCE)
        for seed in (0, 1):
            vae = measured("vae", seed)
            ours = measured("vaeglow", seed, vae)
        text = (ours.folder / "config.json").read_text()
        how = {"timing": json.dumps(TIMING), "device": "cpu", "memory": "stored", "threads": 1}
        with mock.patch.object(timing, "time_in_turns", return_value={"vaeglow": timed_model([1.0])}):
            run_step("time_epoch", config=text, data_dir=DATA, **how, output=PRESET / "blobs/timing.json")
        run_probe("latents", ours, ours.folder / "latents.json", {"images": 12, "batch_size": 8})
        report()
        for source in [*PRESET.glob("tables/*"), *PRESET.glob("figures/*"), *PRESET.glob("claims.*")]:
            shutil.copyfile(source, Path("results") / source.name)  # as `publish` does


def measured(model: str, seed: int, base: Run | None = None) -> Run:
    """A trained run, its bits/dim, samples and FID."""
    run = Run(PRESET / f"blobs/{model}/seed{seed}", resolved(model, seed), DATA, base).train()
    temperature = TEMPERATURES[model]
    samples = run.folder / f"samples/T{temperature}.npz"
    metrics = run.folder / f"metrics/test-12-64/T{temperature}.json"
    run_step("likelihood", model=run.model, data_dir=DATA, **BOUNDS, output=run.folder / "likelihood.json")
    run_step("sample", model=run.model, temperature=temperature, count=12, shown=4, device="cpu", output=samples)
    run_step("evaluate", samples=samples, reference=REFERENCE, weights=WEIGHTS, **MACHINE, output=metrics)
    return run


def report() -> None:
    """A table, a figure and the claims."""
    rows = [{"model": model, "temperature": temperature, **WHERE} for model, temperature in TEMPERATURES.items()]
    spec = spec_of("quality", rows, **WHERE, **PROTOCOL, seeds=[0, 1], published="table2")
    run_table(Path("results"), spec)
    spec |= {"name": "samples", "kind": "sample_sheet", "seed": 0, "columns": 4, "lines_per_row": 1}
    files = [PRESET / "figures/samples.png", PRESET / "figures/samples.pdf"]
    roots = {"results_root": "results", "data_root": DATA.parent}
    run_step("figure", spec=spec_file(PRESET, spec), **roots, output=files)
    entry = claim("bits", better="vaeglow", worse="vae", **WHERE) | PROTOCOL
    spec = claims_spec({"likelihood": entry}, [0, 1]) | {"preset": "tiny"}
    forms = [PRESET / f"claims{end}" for end in (".csv", traced.FULL, ".md", ".html")]
    run_step("claims", spec=spec_file(PRESET, spec), results_root="results", output=forms)
