"""A made-up world for the claims ledger: files as the steps write them, with whatever numbers a test wants."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml
from table_tools import save
from waiting import Json, Row

from vaeglow.data.seeds import stable_hash
from vaeglow.evaluation.bootstrap import sample_draws
from vaeglow.paths import result_path
from vaeglow.reporting.claims import needed
from vaeglow.reporting.claims.ledger import build_ledger

Value: TypeAlias = Callable[[Json, int], Any]  # (need, seed) -> what its file shall show
MADE, COMMON, COUNTS = yaml.safe_load("""
- {commit: abc, dirty: false, device: A CPU, source_sha256: s, started: "1"}
- {statement: A beats B, where: "3.1", published: none, reason: any amount, training: false, run: true, preset: demo,
  dataset: toys, protocol: test-60-8, split: test, images: 60, features: 8, sets: 1}
- {fid_samples: 60, fid_reference_images: 60, fid_features: 8, fid_sets: 1}
""")
# What files show that no test changes, but by a mapping of its own.
SHOWN = yaml.safe_load("""
metrics: {fid: 12.5, kid: 0.5, diversity: 3.0, recall: 0.25}
floor: {fid: 300.0, kid: 0.75}
registration: {registered: {commit: registered, sha256: r}}
config: {base: null, training: {epochs: 99}}
training: {train_images: 1}  # so an epoch is a second where the value of a timing is a list
""")
REAL = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)  # features of the real images


def claim(kind: str, **keys: Any) -> Json:
    """An entry of the spec."""
    return {**COMMON, "kind": kind, **keys}


def spec(claims: Json, seeds: list[int]) -> Json:
    models = {need["model"] for entry in claims.values() for need in needed(entry)}
    styles = {model: {"label": model} for model in models}
    return {"preset": "demo", "seeds": seeds, "claims": dict(claims), "styles": styles}


def ledger(root: Path, entry: Json, seeds: list[int]) -> Row:
    """The row of one claim."""
    return build_ledger(spec({"it": entry}, seeds), str(root)).iloc[0].to_dict()


def write_world(root: Path, entry: Json, value: Value, seeds: list[int]) -> list[Path]:
    """Exactly the files that a claim says it needs."""
    written = {}
    for need in needed(entry):
        for seed in seeds:
            path = result_path(root, **{"seed": seed, **need})
            if need["what"] == "timing":  # all models in one file
                add_timing(path, need["model"], value(need, seed))
            elif path not in written:
                write_file(path, {"seed": seed, **need}, value(need, seed))
            written[path] = need
    return list(written)


def write_file(path: Path, whose: Json, value: Any) -> None:
    """The file that a need names, showing a value."""
    random = np.random.default_rng(stable_hash(*path.parts[path.parts.index("results") :]))
    content = about(whose)
    arrays = {}
    for key, shown in values_of(whose, value, random).items():
        if isinstance(shown, np.ndarray):
            arrays[key] = shown
        else:
            content[key] = shown
    save(path, content, arrays)


def about(whose: Json) -> Json:
    """What a file says of itself."""
    run = f"{whose['dataset']}/{whose['model']}/{whose['seed']}"
    names = ("preset", "dataset", "model", "seed", "space", "protocol")
    content = {key: whose[key] for key in names if key in whose}
    content |= {"config_sha256": f"c-{run}", "data_sha256": "d", "weights_sha256": f"w-{run}", "split": "test"}
    if whose["what"] == "config":
        return content
    content |= {"provenance": MADE, "inputs": {}}
    if "temperature" in whose:
        content |= {"temperature": float(whose["temperature"]), "inputs": {"resources/weights/i": "i"}, **COUNTS}
    return content | (COUNTS if whose["what"] == "floor" else {})


def values_of(whose: Json, value: Any, random: np.random.Generator) -> Json:
    """The numbers of a file that shows `value`: a number, what else a kind of file takes, or all of them."""
    what = whose["what"]
    if isinstance(value, dict):
        return value
    if what == "draws":
        run = [whose[key] for key in ("dataset", "protocol", "model", "seed")]
        return sample_draws(features(value, random), REAL, run)
    if what == "snapshot_metrics":
        points = []
        for number, (epoch, kid) in enumerate(value, 1):
            points.append({"epoch": epoch, "kid": kid, "fraction": number / len(value), "kid_standard_error": 0.01})
        return {"points": points}
    if what == "near_copies":  # of the 50 images of a likelihood.npz
        return {"distances": np.linspace(0, 1, 50)}
    if what == "likelihood":
        return {"images": 50, "bound": "<=", "bits_per_dim": value}
    if what == "likelihood_images":  # hard and easy images, the same for all models
        return {"bits_per_dim_1": value + np.random.default_rng(1).normal(size=50) + 0.01 * random.normal(size=50)}
    if what == "noise_maps":
        images = (value + 0.1 * random.normal(size=40)).tolist()
        return {"error_correlations": images, "border_contrasts": images}
    if what == "latents":
        return {"images": 50, "decoder_information_upper_nats": value, "entropy_image_bits_per_dim": value}
    if what == "layer_action":
        return {"per_image": {name: numbers.tolist() for name, numbers in action(value, random).items()}}
    if what == "interpolation":
        ends = [sum(steps) for steps in value]
        return {"step_distances": value, "end_distances": ends, "detail_kept": ends, "detail_lost": ends}
    return SHOWN.get(what, {})


def action(value: float, random: np.random.Generator) -> dict[str, np.ndarray]:
    """What a layer does to each of 40 images: the more, the better is `value`."""
    noise = 0.1 * random.normal(size=40)
    return {
        "content_kept": (random.random(40) < value).astype(int),
        "spectrum_error_vae": 1 + noise,
        "spectrum_error_vae_noisy": 2 + noise,
        "spectrum_error_layer": 1 - value + noise / 2,
        "similarity": value + noise,
        "similarity_noise": 0.5 + noise / 2,
        "similarity_other": 0.4 + noise,
        "draw_pixel_distance": 1 - value + noise / 2,
        "between_pixel_distance": 1 + noise / 2,
    }


def features(value: Any, random: np.random.Generator) -> np.ndarray:
    """Features of a sample set: `value` is their mean, or mean and spread."""
    shift, scale = value if isinstance(value, tuple) else (value, 1)
    return (shift + scale * random.normal(size=(60, 8))).astype(np.float32)


def timed_model(seconds: list[float], cpu_seconds: list[float] | None = None) -> Json:
    """One model of timing.json, by seconds an image in each round."""
    training = {"steps": 1, "seconds": seconds, "cpu_seconds": cpu_seconds or seconds}
    return {"batch_size": 1, "parameters": round(1000 * seconds[0]), "training": training}


def add_timing(path: Path, model: str, value: Any) -> None:
    """A model of timing.json whose rounds are near `value`; of a list a second an image."""
    spread = np.exp(0.01 * np.random.default_rng(len(model)).normal(size=8))
    seconds = np.ones(8) if isinstance(value, list) else value * spread
    models = json.loads(path.read_text())["models"] if path.exists() else {}
    write_timing(path, models | {model: timed_model(seconds.tolist())})


def write_timing(path: Path, models: Json, device_kind: str = "cpu") -> None:
    machine = {"device": "A CPU", "device_kind": device_kind, "threads": 1, "epoch_images": 100, "rounds": 8}
    made = {"preset": "demo", "dataset": "toys", "provenance": MADE, "data_sha256": "d"}
    save(path, {**made, **machine, "models": models})
