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
from vaeglow.reporting.claims.needs import needed

PROTOCOL = {"protocol": "test-60-8", "split": "test", "images": 60, "features": 8, "sets": 1, "stretch": False}
COMMON = {
    "statement": "A beats B",
    "where": "3.1",
    "published": "none",
    "reason": "any amount",
    "training": False,
    "enabled": True,
    "dataset": "toys",
    **PROTOCOL,
}
Value = Callable[[Mapping[str, Any], int], Any]  # (need, seed) -> what its file shall show


def claim(kind: str, **keys: Any) -> dict[str, Any]:
    """An entry of the spec."""
    return {**COMMON, "kind": kind, **({} if "margin" in keys else {"threshold": 0.0}), **keys}


def spec(claims: Mapping[str, Any], seeds: list[int]) -> dict[str, Any]:
    return {"preset": "demo", "seeds": seeds, "claims": dict(claims)}


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
    reference = result_path(root, **{**whose, "what": "reference"})
    if reference.exists() and what in ("features", "metrics", "snapshots"):
        about |= {"reference_sha256": sha256_file(reference), "inception_sha256": "i"}
    measured = {"protocol": whose["protocol"], "temperature": float(whose.get("temperature", 0))}
    counts = {"split": "test", "fid_samples": 60, "fid_reference_images": 60, "fid_features": 8}
    counts |= {"fid_sets": 1, "stretch": False}
    if what == "reference":
        metadata = {"dataset": whose["dataset"], "protocol": whose["protocol"], "data_sha256": "d"}
        save(path, {**metadata, "inception_sha256": "i"}, features=random.normal(size=(60, 8)).astype(np.float32))
    elif what == "features":
        shift, scale = value if isinstance(value, tuple) else (value, 1.0)
        rows = shift + scale * random.normal(size=(60, 8))
        save(path, about | measured, features=rows.astype(np.float32))
    elif what == "metrics":
        numbers = {"fid": 12.5, "kid": 0.5, "diversity": 3.0, "recall": 0.25}
        write(path, about | measured | counts | numbers)
    elif what == "snapshots":
        points = [
            {
                "total_seconds": seconds,
                "kid": kid,
                "kid_standard_error": 0.01,
                "fid": 1.0,
                "fraction": (i + 1) / len(value),
            }
            for i, (seconds, kid) in enumerate(value)
        ]
        write(path, about | measured | counts | {"points": points})
    elif what == "likelihood":
        bits = image_bits(value, path.with_suffix(".npz"))
        write(path, about | {"bits_per_dim": bits.mean(), "images": len(bits), "bound": "<="})
    elif what == "likelihood_images":
        np.savez(path, bits_per_dim_1=image_bits(value, path))
    elif what == "timing":
        models = json.loads(path.read_text())["models"] if path.exists() else {}  # all of them in one file
        noise = np.random.default_rng(stable_hash(whose["model"])).normal(size=8)
        models[whose["model"]] = timed_model((value * np.exp(0.01 * noise)).tolist())
        about = {"preset": whose["preset"], "dataset": whose["dataset"], "data_sha256": "d", "models": models}
        write(path, about | {"device": "A CPU", "device_kind": "cpu", "threads": 1, "epoch_images": 100, "rounds": 8})
    elif what == "noise_maps":
        found = None if value is None else (value + 0.1 * random.normal(size=40)).tolist()
        save(path, about | {"error_correlations": found})
    elif what == "latents":
        write(path, about | {"images": 50, "variance_explained": value, "entropy_image_bits_per_dim": value})
    elif what == "layer_action":
        noise = 0.1 * random.normal(size=40)
        kept = (random.random(40) < value).astype(int)
        errors = {
            "spectrum_error_vae": (1 + noise).tolist(),
            "spectrum_error_vae_noisy": (2 + noise).tolist(),
            "spectrum_error_layer": (1 - value + noise / 2).tolist(),
        }
        write(
            path,
            about
            | {
                "temperature": 0.5,
                "per_image": {"content_kept": kept.tolist(), "content_kept_pixels": kept.tolist(), **errors},
            },
        )
    elif what == "interpolation":
        save(path, about | {"space": whose["space"], "step_distances": value, "end_distances": [1.0] * len(value)})
    elif what == "linear_reference":
        write(path, about | {"sources": {}})
    else:
        raise AssertionError(what)


def image_bits(value: float, path: Path) -> np.ndarray:
    """Bits/dim of 50 test images: hard and easy ones, the same for all models, and a little noise of the model's."""
    return (
        value + np.random.default_rng(1).normal(size=50) + 0.01 * np.random.default_rng(seed_of(path)).normal(size=50)
    )


def seed_of(path: Path) -> int:
    """A seed of the file's own, the same wherever the results folder lies."""
    return stable_hash(*path.parts[path.parts.index("results") :])


def timed_model(seconds: list[float], cpu_seconds: list[float] | None = None) -> dict[str, Any]:
    """One model of timing.json, by seconds an image in each round."""
    return {"batch_size": 1, "training": {"steps": 1, "seconds": seconds, "cpu_seconds": cpu_seconds or seconds}}


def save(path: Path, metadata: Mapping[str, Any], **arrays: np.ndarray) -> None:
    np.savez(path, **arrays, metadata=np.array(json.dumps(metadata)))


def write(path: Path, content: Mapping[str, Any]) -> None:
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
