"""A made-up world for the claims ledger: files as the steps write them, with whatever numbers a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.seeds import stable_hash
from vaeglow.files import sha256_file
from vaeglow.paths import result_path
from vaeglow.reporting.claims import needed
from vaeglow.reporting.claims.ledger import build_ledger

PROTOCOL = {"protocol": "test-60-8", "split": "test", "images": 60, "features": 8, "sets": 1, "stretch": False}
COMMON = {
    **{"statement": "A beats B", "where": "3.1", "published": "none", "reason": "any amount"},
    **{"training": False, "run": True, "dataset": "toys", **PROTOCOL},
}
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
    for need in sorted(needed(entry), key=lambda need: need["what"] != "reference"):
        for seed in seeds:
            whose = {"preset": "demo", "protocol": entry["protocol"], "seed": seed, **need}
            path = result_path(root, **whose)
            path.parent.mkdir(parents=True, exist_ok=True)
            if need["what"] != "reference" or not path.exists():
                write_file(root, path, whose, value(need, seed))
            paths.append(path)
    return list(dict.fromkeys(paths))


def write_file(root: Path, path: Path, whose: Mapping[str, Any], value: Any) -> None:
    """One file; `value` is the number (or pair) it shows."""
    what, random = whose["what"], np.random.default_rng(seed_of(path))
    identity = {key: whose[key] for key in ("preset", "dataset", "model", "seed")}
    run = f"{whose['dataset']}/{whose['model']}/{whose['seed']}"
    about = {**identity, "config_sha256": f"c-{run}", "data_sha256": "d", "weights_sha256": f"w-{run}"}
    about |= {key: whose[key] for key in ("space", "protocol") if key in whose} | {"inputs": {}}
    reference = result_path(root, **{**whose, "what": "reference"})
    if what in ("features", "metrics", "snapshots"):
        about |= {"temperature": float(whose["temperature"]), "split": "test", "stretch": False, "fid_sets": 1}
        about |= {"fid_samples": 60, "fid_reference_images": 60, "fid_features": 8}
        made_from = {str(reference): sha256_file(reference)} if reference.exists() else {}
        about |= {"inputs": {**made_from, "resources/weights/i": "i"}}
    if what == "reference":
        metadata = {key: about[key] for key in ("dataset", "protocol", "data_sha256")}
        features = random.normal(size=(60, 8)).astype(np.float32)
        save(path, {**metadata, "inputs": {"resources/weights/i": "i"}}, features=features)
    elif what == "features":
        shift, scale = value if isinstance(value, tuple) else (value, 1.0)
        save(path, about, features=(shift + scale * random.normal(size=(60, 8))).astype(np.float32))
    elif what == "metrics":
        write(path, about | {"fid": 12.5, "kid": 0.5, "diversity": 3.0, "recall": 0.25})
    elif what == "snapshots":
        keys = ("total_seconds", "kid", "fraction", "kid_standard_error")
        points = [dict(zip(keys, (*point, (i + 1) / len(value), 0.01), strict=True)) for i, point in enumerate(value)]
        write(path, about | {"points": points})
    elif what == "likelihood":
        write(path, about | {"split": "test", "bits_per_dim": value, "images": 50, "bound": "<="})
    elif (
        what == "likelihood_images"
    ):  # hard and easy images, the same for all models, and a little noise of the model's
        shared = np.random.default_rng(1).normal(size=50)
        save(path, about, bits_per_dim_1=value + shared + 0.01 * random.normal(size=50))
    elif what == "timing":
        models = json.loads(path.read_text())["models"] if path.exists() else {}  # all of them in one file
        noise = np.random.default_rng(stable_hash(whose["model"])).normal(size=8)
        models[whose["model"]] = timed_model((value * np.exp(0.01 * noise)).tolist())
        write_timing(path, models)
    elif what == "noise_maps":
        save(path, about | {"error_correlations": (value + 0.1 * random.normal(size=40)).tolist()})
    elif what == "latents":
        names = ("decoder_information_upper_nats", "entropy_image_bits_per_dim")
        write(path, about | {"images": 50, **dict.fromkeys(names, value)})
    elif what == "layer_action":
        noise = 0.1 * random.normal(size=40)
        errors = {"vae": 1 + noise, "vae_noisy": 2 + noise, "layer": 1 - value + noise / 2}
        kept = (random.random(40) < value).astype(int)
        images = {"content_kept": kept, "content_kept_pixels": kept}
        images |= {f"spectrum_error_{stage}": values for stage, values in errors.items()}
        write(path, about | {"per_image": {key: values.tolist() for key, values in images.items()}})
    elif what == "interpolation":
        save(path, about | {"step_distances": value})
    else:
        assert what == "linear_reference"
        write(path, about)


def seed_of(path: Path) -> int:
    """A seed of the file's own, the same wherever the results folder lies."""
    return stable_hash(*path.parts[path.parts.index("results") :])


def timed_model(seconds: list[float], cpu_seconds: list[float] | None = None) -> dict[str, Any]:
    """One model of timing.json, by seconds an image in each round."""
    return {"batch_size": 1, "training": {"steps": 1, "seconds": seconds, "cpu_seconds": cpu_seconds or seconds}}


def write_timing(path: Path, models: Mapping[str, Any], device_kind: str = "cpu") -> None:
    machine = {"device": "A CPU", "device_kind": device_kind, "threads": 1, "epoch_images": 100, "rounds": 8}
    write(path, {"preset": "demo", "dataset": "toys", "data_sha256": "d", "models": models, **machine})


def save(path: Path, metadata: Mapping[str, Any], **arrays: np.ndarray) -> None:
    np.savez(path, **arrays, metadata=np.array(json.dumps(metadata)))


def write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def change(path: Path, **values: Any) -> None:
    """Change keys of a JSON file, or of an npz file's metadata."""
    if path.suffix == ".json":
        write(path, json.loads(path.read_text()) | values)
        return
    with np.load(path) as archive:
        arrays = dict(archive)
    metadata = json.loads(str(arrays.pop("metadata"))) | values
    save(path, metadata, **arrays)
