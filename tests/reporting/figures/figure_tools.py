"""Synthetic results for the tests of figures: whole files in the steps' formats, made in milliseconds, no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from table_tools import save

from vaeglow.data.arrays import read_info, write_dataset
from vaeglow.files import sha256_json
from vaeglow.paths import result_path
from vaeglow.reporting import figures, style

PRESET, SEED, PROTOCOL = "demo", 3, "test-100-2048"
LABELS = {"vae": "VAE", "glow": "Glow", "vaeglow": "Ours (Glow layer)", "squeeze1": "Ours, 1", "squeeze4": "Ours, 4"}
MEASURED = {"protocol": PROTOCOL, "split": "test", "fid_samples": 100, "fid_reference_images": 100}
MEASURED["fid_features"] = 2048
STYLES = {
    model: {"label": label, "color": color, "marker": marker}
    for (model, label), color, marker in zip(LABELS.items(), style.PALETTE, "oDs^v", strict=False)
}


def noise(*shape: int, channels: int = 3, side: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, channels, side, side), dtype=np.uint8)


def spec(kind: str, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A figure as `vaeglow.config.plan.spec` makes it."""
    rows = [{"dataset": "blobs", "preset": PRESET, **row} for row in rows]
    about = {"name": "figure9", "kind": kind, "title": "The title", "preset": PRESET, "seeds": [SEED]}
    measured = {"protocol": PROTOCOL, "split": "test", "images": 100, "features": 2048, "sets": 1}
    return {**about, "dataset": "blobs", **measured, "styles": STYLES, "rows": rows, **more}


def identity(model: str, dataset: str = "blobs") -> dict[str, Any]:
    return {"preset": PRESET, "dataset": dataset, "model": model, "seed": SEED}


class Results:
    """A results folder and a data folder below `root`, filled file by file, for the runs of one `seed` at a time."""

    def __init__(self, root: Path) -> None:
        self.results, self.data = root / "results", root / "data"
        self.seed = SEED

    def prepare(self, test: np.ndarray, name: str = "blobs", levels: int = 256) -> "Results":
        info = {"name": name, "kind": "folder", "channels": test.shape[1], "size": test.shape[2], "levels": levels}
        splits = {"train": test[:1], "val": test[:0], "test": test}
        write_dataset(self.data / name, splits, info | {"mean": [0.5], "std": [0.1], "source": {}})
        return self

    def path(self, what: str, model: str, dataset: str = "blobs", **wildcards: Any) -> Path:
        return result_path(self.results, what, **identity(model, dataset) | {"seed": self.seed}, **wildcards)

    def write(self, what: str, model: str, content: dict, arrays: dict | None = None, dataset: str = "blobs") -> Path:
        """A file of a run, npz where it has arrays; it says whose it is. What its path names is in `content`."""
        digest = sha256_json(read_info(self.data / dataset)["sha256"])
        hashes = {f"{what}_sha256": f"{what} {model} {self.seed}" for what in ("config", "weights")}
        made = {"provenance": {"commit": "0123456789abcdef", "dirty": False, "device": "A CPU"}}
        whole = {**identity(model, dataset), "seed": self.seed, **hashes, "data_sha256": digest, **made, **content}
        path = self.path(what, model, dataset, **content)
        save(path, whole, arrays)
        return path

    def metrics(self, model: str, temperature: float, fid: float) -> None:
        content = {"fid": fid, "kid": fid / 1000, "kid_standard_error": 0.01, "precision": 0.5, "recall": 0.25}
        content |= {"diversity": 15.0, "reference_diversity": 20.0, "fid_sets": 1, **MEASURED}
        self.write("metrics", model, {**content, "temperature": temperature})

    def likelihood(self, model: str, bits: float, bounds: Mapping[int, np.ndarray]) -> None:
        """likelihood.json, and the bits/dim of each image at each K behind its bounds."""
        self.write("likelihood_images", model, {}, {f"bits_per_dim_{k}": values for k, values in bounds.items()})
        content = {"bits_per_dim": bits, "standard_error": 0.02, "split": "test", "images": 10, "dequantisation": "x"}
        content["bound"] = "=" if model == "glow" else "<="
        self.write("likelihood", model, content | {"importance": {str(k): {} for k in bounds}})

    def snapshots(self, model: str, temperature: float, *points: tuple) -> None:
        """Of points of an epoch, FID and bits/dim."""
        content = {"temperature": temperature, **MEASURED}
        names = ("epoch", "fid", "bits_per_dim", "standard_error", "kid", "kid_standard_error")
        values = [(*point, 0.02, point[1] and point[1] / 1000, point[1] and 0.01) for point in points]
        content["points"] = [dict(zip(names, of, strict=True)) for of in values]
        self.write("snapshot_metrics", model, content)

    def timing(self, **seconds: float) -> None:
        """timing.json: a model's seconds an image."""
        windows = {model: {"seconds": [one] * 3, "cpu_seconds": [one] * 3} for model, one in seconds.items()}
        models = {model: {"batch_size": 1, "training": {"steps": 1, **times}} for model, times in windows.items()}
        about = {"device": "A CPU", "device_kind": "cpu", "models": models}
        save(self.path("timing", "vae"), {**identity("vae"), **about})

    def draw(self, figure: Mapping[str, Any]) -> Any:
        return figures.draw(figure, self.results, self.data)


def texts(figure: Any) -> str:
    """All words that a figure shows, axes and legends included, a line each; those of a wrapped text in one line."""
    found = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    return "\n".join(text.replace("\n", " ") for text in found)


def curves(axes: Any) -> list[tuple[list[float], list[float]]]:
    """x and y of every line of some axes that has points."""
    lines = [(list(map(float, line.get_xdata())), list(map(float, line.get_ydata()))) for line in axes.lines]
    return [line for line in lines if line[0]]
