"""A made-up world for the claims ledger: files as the steps write them, with whatever numbers a test wants."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from table_tools import save

from vaeglow.data.seeds import stable_hash
from vaeglow.evaluation.bootstrap import sample_draws
from vaeglow.paths import result_path
from vaeglow.reporting.claims import needed
from vaeglow.reporting.claims.ledger import build_ledger

PROTOCOL = {"protocol": "test-60-8", "split": "test", "images": 60, "features": 8, "sets": 1}
MADE = {"commit": "abc", "dirty": False, "device": "A CPU", "source_sha256": "s", "started": "1"}
COMMON = {
    **{"statement": "A beats B", "where": "3.1", "published": "none", "reason": "any amount"},
    **{"training": False, "run": True, "preset": "demo", "dataset": "toys", **PROTOCOL},
}
REAL = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)  # features of the real images
Value = Callable[[Mapping[str, Any], int], Any]  # (need, seed) -> what its file shall show


def claim(kind: str, **keys: Any) -> dict[str, Any]:
    """An entry of the spec."""
    return {**COMMON, "kind": kind, **keys}


def spec(claims: Mapping[str, Any], seeds: list[int]) -> dict[str, Any]:
    models = {need["model"] for entry in claims.values() for need in needed(entry)}
    styles = {model: {"label": model} for model in models}
    return {"preset": "demo", "seeds": seeds, "claims": dict(claims), "styles": styles}


def ledger(root: Path, entry: dict[str, Any], seeds: list[int]) -> dict[str, str]:
    """The row of one claim."""
    return build_ledger(spec({"it": entry}, seeds), str(root)).iloc[0].to_dict()


def write_world(root: Path, entry: Mapping[str, Any], value: Value, seeds: list[int]) -> list[Path]:
    """Exactly the files that a claim says it needs."""
    paths = []
    for need in needed(entry):
        for seed in seeds:
            whose = {"seed": seed, **need}
            path, what = result_path(root, **whose), need["what"]
            random = np.random.default_rng(stable_hash(*path.parts[path.parts.index("results") :]))
            if what == "timing":
                level, spread = value(need, seed), np.random.default_rng(len(need["model"])).normal(size=8)
                seconds = np.ones(8) if isinstance(level, list) else level * np.exp(0.01 * spread)
                models = json.loads(path.read_text())["models"] if path.exists() else {}  # all of them in one file
                write_timing(path, models | {need["model"]: timed_model(seconds.tolist())})
            elif path not in paths:
                run = [need[key] for key in ("dataset", "protocol", "model")] + [seed]
                values = shown(what, value(need, seed), random, run)
                arrays = {key: values.pop(key) for key in list(values) if isinstance(values[key], np.ndarray)}
                save(path, about(root, whose) | values, arrays)
            paths.append(path)
    return list(dict.fromkeys(paths))


def about(root: Path, whose: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of itself."""
    inputs = {"resources/weights/i": "i"}
    run = f"{whose['dataset']}/{whose['model']}/{whose['seed']}"
    found = {key: whose[key] for key in ("preset", "dataset", "model", "seed", "space", "protocol") if key in whose}
    found |= {"config_sha256": f"c-{run}", "data_sha256": "d", "weights_sha256": f"w-{run}", "split": "test"}
    found["provenance"] = MADE
    if whose["what"] == "config":
        return {key: value for key, value in found.items() if key != "provenance"}
    counts = {"fid_samples": 60, "fid_reference_images": 60, "fid_features": 8, "fid_sets": 1}
    if "temperature" not in whose:
        return found | {"inputs": {}} | (counts if whose["what"] == "floor" else {})
    return found | {"temperature": float(whose["temperature"]), "inputs": inputs, **counts}


def shown(what: str, value: Any, random: np.random.Generator, run: list) -> dict[str, Any]:
    """The numbers of a file that shows `value`: a number, what else a kind of file takes, or all of them."""
    if isinstance(value, dict):
        return value
    if what == "draws":
        return sample_draws(features(value, random), REAL, run)
    if what == "metrics":
        return {"fid": 12.5, "kid": 0.5, "diversity": 3.0, "recall": 0.25}
    if what == "snapshot_metrics":
        keys = ("epoch", "kid", "fraction", "kid_standard_error")
        return {"points": [dict(zip(keys, (*at, i / len(value), 0.01), strict=True)) for i, at in enumerate(value, 1)]}
    if what == "near_copies":  # of the 50 images of a likelihood.npz
        return {"distances": np.linspace(0, 1, 50)}
    if what == "floor":
        return {"fid": 300.0, "kid": 0.75}
    if what == "registration":
        return {"registered": {"commit": "registered", "sha256": "r"}}
    if what == "config":
        return {"base": None, "training": {"epochs": 99}}
    if what == "training":  # of one image: an epoch is a second where `value` is a list
        return {"train_images": 1}
    if what == "likelihood":
        return {"images": 50, "bound": "<=", "bits_per_dim": value}
    if what == "likelihood_images":  # hard and easy images, the same for all models
        return {"bits_per_dim_1": value + np.random.default_rng(1).normal(size=50) + 0.01 * random.normal(size=50)}
    if what == "noise_maps":
        return dict.fromkeys(
            ("error_correlations", "border_contrasts"), (value + 0.1 * random.normal(size=40)).tolist()
        )
    if what == "latents":
        return {"images": 50, "decoder_information_upper_nats": value, "entropy_image_bits_per_dim": value}
    if what == "layer_action":
        noise = 0.1 * random.normal(size=40)
        kept = (random.random(40) < value).astype(int).tolist()
        stages = {"vae": 1 + noise, "vae_noisy": 2 + noise, "layer": 1 - value + noise / 2}
        images = {f"spectrum_error_{stage}": values for stage, values in stages.items()}
        images |= {"similarity": value + noise, "similarity_noise": 0.5 + noise / 2, "similarity_other": 0.4 + noise}
        images |= {"draw_pixel_distance": 1 - value + noise / 2, "between_pixel_distance": 1 + noise / 2}
        return {"per_image": {name: values.tolist() for name, values in images.items()} | {"content_kept": kept}}
    if what == "interpolation":
        ends = [sum(steps) for steps in value]
        return {"step_distances": value, "end_distances": ends, "detail_kept": ends, "detail_lost": ends}
    return {}


def features(value: Any, random: np.random.Generator) -> np.ndarray:
    """Features of a sample set: `value` is their mean, or mean and spread."""
    shift, scale = value if isinstance(value, tuple) else (value, 1)
    return (shift + scale * random.normal(size=(60, 8))).astype(np.float32)


def timed_model(seconds: list[float], cpu_seconds: list[float] | None = None) -> dict[str, Any]:
    """One model of timing.json, by seconds an image in each round."""
    training = {"steps": 1, "seconds": seconds, "cpu_seconds": cpu_seconds or seconds}
    return {"batch_size": 1, "parameters": round(1000 * seconds[0]), "training": training}


def write_timing(path: Path, models: Mapping[str, Any], device_kind: str = "cpu") -> None:
    machine = {"device": "A CPU", "device_kind": device_kind, "threads": 1, "epoch_images": 100, "rounds": 8}
    made = {"preset": "demo", "dataset": "toys", "provenance": MADE, "data_sha256": "d"}
    save(path, made | {"models": models, **machine})
