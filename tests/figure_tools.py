"""Synthetic results for the tests of figures: whole files in the steps' formats, made in milliseconds, no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import read_info, write_dataset
from vaeglow.files import sha256_json, write_json
from vaeglow.paths import result_path
from vaeglow.reporting import figures

COMMIT = "0123456789abcdef"
PRESET, SEED, PROTOCOL = "demo", 3, "test-100-2048"
VAE = {
    "kind": "vae",
    "network": {
        "architecture": "resnet",
        "num_scale": 3,
        "base_dim": 8,
        "fc_dim": 128,
        "latent_dim": 32,
        "decoder_noise": "diagonal",
        "batch_norm_momentum": 0.1,
    },
    "prior": {"kind": "flow", "layers": 4, "width": 64},
}


def noise(count: int, channels: int = 3, side: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def spec(kind: str, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A figure as `vaeglow.config.plan.spec` makes it."""
    rows = [{"dataset": "blobs", "preset": PRESET, **row} for row in rows]
    about = {"name": "figure9", "kind": kind, "title": "The title", "preset": PRESET, "seeds": [SEED], "seed": SEED}
    measured = {"protocol": PROTOCOL, "split": "test", "images": 100, "features": 2048, "published": None}
    measured |= {"sets": 1, "stretch": False}
    return {**about, "dataset": "blobs", **measured, "rows": rows, **more}


class Results:
    """A results folder and a data folder, filled file by file.

    Args:
        root: for both.
    """

    def __init__(self, root: Path) -> None:
        self.results, self.data = root / "results", root / "data"

    def prepare(self, test: np.ndarray, name: str = "blobs", levels: int = 256) -> Results:
        info = {"name": name, "kind": "folder", "channels": test.shape[1], "size": test.shape[2], "levels": levels}
        splits = {"train": test[:1], "val": test[:0], "test": test}
        write_dataset(self.data / name, splits, info | {"mean": [0.5], "std": [0.1], "source": {}})
        return self

    def about(self, model: str, dataset: str) -> dict[str, Any]:
        """What every file of a run says."""
        identity = {"preset": PRESET, "dataset": dataset, "model": model, "seed": SEED}
        digest = sha256_json(read_info(self.data / dataset)["sha256"])
        hashes = {"config_sha256": f"c {model}", "weights_sha256": f"w {model}", "data_sha256": digest}
        return identity | hashes | {"provenance": {"commit": COMMIT, "dirty": False}}

    def path(self, what: str, model: str, dataset: str = "blobs", **wildcards: Any) -> Path:
        identity = {"preset": PRESET, "dataset": dataset, "model": model, "seed": SEED}
        return result_path(self.results, what, **identity, **wildcards)

    def json(self, what: str, model: str, content: Mapping[str, Any], dataset: str = "blobs", **wildcards: Any) -> Path:
        path = self.path(what, model, dataset, **wildcards)
        write_json(path, {**self.about(model, dataset), **content})
        return path

    def npz(
        self,
        what: str,
        model: str,
        arrays: Mapping[str, np.ndarray],
        metadata: Mapping[str, Any],
        dataset: str = "blobs",
        **wildcards: Any,
    ) -> Path:
        path = self.path(what, model, dataset, **wildcards)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays, metadata=np.array(json.dumps({**self.about(model, dataset), **metadata})))
        return path

    def samples(
        self, model: str, temperature: float, images: np.ndarray, dataset: str = "blobs", **changes: Any
    ) -> Path:
        about = {"temperature": temperature, **changes}
        return self.npz("samples", model, {"images": images}, about, dataset, temperature=temperature)

    def metrics(self, model: str, temperature: float, fid: float, dataset: str = "blobs", **changes: Any) -> Path:
        content = {"fid": fid, "kid": fid / 1000, "kid_standard_error": 0.01, "precision": 0.5, "recall": 0.25}
        content |= {"diversity": 15.0, "reference_diversity": 20.0, "protocol": PROTOCOL, "temperature": temperature}
        content |= {"split": "test", "fid_samples": 100, "fid_reference_images": 100, "fid_features": 2048}
        content |= {"fid_sets": 1, "stretch": False, "inputs": {f"results/{dataset}/reference.npz": f"r {dataset}"}}
        content |= changes
        return self.json("metrics", model, content, dataset, protocol=PROTOCOL, temperature=temperature)

    def likelihood(self, model: str, bits: float, dataset: str = "blobs", error: float = 0.02) -> Path:
        return self.json("likelihood", model, {"bits_per_dim": bits, "standard_error": error}, dataset)

    def bounds(self, model: str, bits: float, images: Mapping[int, np.ndarray], **changes: Any) -> Path:
        """likelihood.json with bounds of several K, and the values of each image behind them."""
        bounds = {str(k): {"bits_per_dim": float(values.mean())} for k, values in images.items()}
        self.npz("likelihood_images", model, {f"bits_per_dim_{k}": values for k, values in images.items()}, {})
        content = {"bits_per_dim": bits, "standard_error": 0.02, "split": "test", "importance": bounds, **changes}
        return self.json("likelihood", model, content)

    def config(self, model: str, dataset: str = "blobs", **parts: Any) -> dict[str, Any]:
        """config.json: it carries no hashes, it is what they are of."""
        identity = {"preset": PRESET, "dataset": dataset, "model": model, "seed": SEED}
        info = read_info(self.data / dataset)
        data = {key: info[key] for key in ("channels", "size", "levels")}
        content = {**identity, "data": data, "base": None, **parts}
        write_json(self.path("config", model, dataset), content)
        return content

    def training(self, model: str, epochs: list[int], parameters: int, dataset: str = "blobs") -> Path:
        return self.json("training", model, {"epochs_by_phase": epochs, "parameters": parameters}, dataset)

    def snapshots(
        self,
        model: str,
        temperature: float,
        points: list[dict[str, Any]],
        base_seconds: float = 0.0,
        device: str = "A CPU",
    ) -> Path:
        content = {"protocol": PROTOCOL, "temperature": temperature, "base_seconds": base_seconds, "points": points}
        content |= {"stretch": False}
        content["training_device"] = device
        return self.json("snapshots", model, content, protocol=PROTOCOL, temperature=temperature)

    def draw(self, figure: Mapping[str, Any]) -> Any:
        return figures.draw(figure, self.results, self.data)


def point(seconds: float, fid: float | None, bits: float, fraction: float = 1.0) -> dict[str, Any]:
    """One moment of a run's training."""
    kid = {"kid": None, "kid_standard_error": None} if fid is None else {"kid": fid / 1000, "kid_standard_error": 0.01}
    timed = {"fraction": fraction, "epoch": 1.0, "seconds": seconds, "total_seconds": seconds}
    return {**timed, "bits_per_dim": bits, "standard_error": 0.02, "fid": fid, **kid, "exploded_samples": 0}


def spoil(path: Path, **changes: Any) -> Path:
    """Change what a file says of itself."""
    if path.suffix == ".json":
        write_json(path, json.loads(path.read_text()) | changes)
        return path
    with np.load(path) as archive:
        content = dict(archive)
    content["metadata"] = np.array(json.dumps(json.loads(str(content["metadata"])) | changes))
    np.savez(path, **content)
    return path


def texts(figure: Any) -> list[str]:
    """All words that a figure shows, axes and legends included."""
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")) if text.get_text()]


def curves(axes: Any) -> list[tuple[list[float], list[float]]]:
    """x and y of every line of some axes that has points."""
    lines = [(list(map(float, line.get_xdata())), list(map(float, line.get_ydata()))) for line in axes.lines]
    return [line for line in lines if line[0]]
