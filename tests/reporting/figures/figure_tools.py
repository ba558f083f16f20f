"""Synthetic results for the tests of figures: whole files in the steps' formats, made in milliseconds, no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from claims_tools import timed_model
from data_tools import prepared
from table_tools import save

from vaeglow.data.arrays import read_info
from vaeglow.files import sha256_json
from vaeglow.paths import result_path
from vaeglow.reporting import figures, style

PRESET = "demo"
SEED = 3
PROTOCOL = "test-100-2048"
LABELS = {
    "vae": "VAE",
    "glow": "Glow",
    "vaeglow": "Ours (Glow layer)",
    "squeeze1": "Ours, 1",
    "squeeze4": "Ours, 4",
}
STYLES = {
    model: {"label": label, "color": color, "marker": marker}
    for (model, label), color, marker in zip(LABELS.items(), style.PALETTE, "oDs^v", strict=False)
}
MADE = yaml.safe_load("""
spec:
  {name: figure9, title: The title, preset: demo, seeds: [3], dataset: blobs, protocol: test-100-2048, split: test,
  images: 100, features: 2048, sets: 1}
protocol: {protocol: test-100-2048, split: test, fid_samples: 100, fid_reference_images: 100, fid_features: 2048}
metrics:
  {kid_standard_error: 0.01, precision: 0.5, recall: 0.25, diversity: 15.0, reference_diversity: 20.0, fid_sets: 1}
likelihood: {standard_error: 0.02, split: test, images: 10, dequantisation: x}
provenance: {commit: 0123456789abcdef, dirty: false, device: A CPU}
""")


def noise(*shape: int, channels: int = 3, side: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, channels, side, side), dtype=np.uint8)


def spec(kind: str, rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A figure as `vaeglow.config.plan.spec` makes it."""
    rows = [{"dataset": "blobs", "preset": PRESET, **row} for row in rows]
    return {**MADE["spec"], "kind": kind, "styles": STYLES, "rows": rows, **more}


def identity(model: str, dataset: str = "blobs") -> dict[str, Any]:
    return {"preset": PRESET, "dataset": dataset, "model": model, "seed": SEED}


class Results:
    """A results folder and a data folder below `root`, filled file by file, for the runs of one `seed` at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.results = root / "results"
        self.data = root / "data"
        self.seed = SEED

    def prepare(self, test: np.ndarray, name: str = "blobs", levels: int = 256) -> "Results":
        prepared(self.data / name, levels, train=test[:1], val=test[:0], test=test)
        return self

    def path(self, what: str, model: str, dataset: str = "blobs", **wildcards: Any) -> Path:
        return result_path(self.results, what, **identity(model, dataset) | {"seed": self.seed}, **wildcards)

    def write(self, what: str, model: str, content: dict, arrays: dict | None = None, dataset: str = "blobs") -> Path:
        """A file of a run, npz where it has arrays; it says whose it is. What its path names is in `content`."""
        path = self.path(what, model, dataset, **content)
        about = {
            **identity(model, dataset),
            "seed": self.seed,
            "config_sha256": f"config {model} {self.seed}",
            "weights_sha256": f"weights {model} {self.seed}",
            "data_sha256": sha256_json(read_info(self.data / dataset)["sha256"]),
            "provenance": MADE["provenance"],
        }
        save(path, about | content, arrays)
        return path

    def metrics(self, model: str, temperature: float, fid: float) -> None:
        samples = {"fid": fid, "kid": fid / 1000, "temperature": temperature}
        self.write("metrics", model, MADE["metrics"] | MADE["protocol"] | samples)

    def likelihood(self, model: str, bits: float, bounds: Mapping[int, np.ndarray]) -> None:
        """likelihood.json, and the bits/dim of each image at each K behind its bounds."""
        self.write("likelihood_images", model, {}, {f"bits_per_dim_{k}": values for k, values in bounds.items()})
        bound = "=" if model == "glow" else "<="
        content = {
            "bits_per_dim": bits,
            "bound": bound,
            "importance": {str(k): {} for k in bounds},
        }
        self.write("likelihood", model, MADE["likelihood"] | content)

    def snapshots(self, model: str, temperature: float, *points: tuple) -> None:
        """Of points of an epoch, FID and bits/dim."""
        content = {"temperature": temperature, **MADE["protocol"], "points": []}
        for epoch, fid, bits in points:
            point = {
                "epoch": epoch,
                "fid": fid,
                "bits_per_dim": bits,
                "standard_error": 0.02,
            }
            kid = {"kid": fid and fid / 1000, "kid_standard_error": fid and 0.01}
            content["points"].append(point | kid)
        self.write("snapshot_metrics", model, content)

    def timing(self, **seconds: float) -> None:
        """timing.json: a model's seconds an image."""
        models = {model: timed_model([time] * 3) for model, time in seconds.items()}
        about = {"device": "A CPU", "device_kind": "cpu", "models": models}
        save(self.path("timing", "vae"), identity("vae") | about)

    def draw(self, figure: Mapping[str, Any]) -> Any:
        return figures.draw(figure, self.results, self.data)


def texts(figure: Any) -> str:
    """All words that a figure shows, axes and legends included, a line each; those of a wrapped text in one line."""
    artists = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return "\n".join(artist.get_text().replace("\n", " ") for artist in artists)


def described(figure: Any) -> str:
    """What the axes show: titles, labels and scales, each line's look and points; then all words."""
    parts = []
    for axes in figure.axes:
        parts.append(f"## {axes.get_title(loc='left')}")
        parts.append(f"x: {axes.get_xlabel()} ({axes.get_xscale()}), y: {axes.get_ylabel()} ({axes.get_yscale()})")
        for line in axes.lines:
            look = (line.get_color(), line.get_marker(), line.get_fillstyle(), line.get_linestyle(), line.get_alpha())
            points = [f"({x:.4g}, {y:.4g})" for x, y in np.array(line.get_data(), float).T]
            parts.append(" ".join(map(str, (*look, *points))))
    words = dict.fromkeys(texts(figure).splitlines())
    return "\n".join([*parts, "## words", *filter(None, words)]) + "\n"


def curves(axes: Any) -> list[tuple[list[float], list[float]]]:
    """x and y of every line of some axes that has points."""
    lines = [np.array(line.get_data(), float).tolist() for line in axes.lines]
    return [(x, y) for x, y in lines if x]
