"""A small real workflow, to be killed and run twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from PIL import Image
from run_tools import ROOT, blobs
from waiting import call

TARGET = "results/demo/mine/vae/seed0/model.safetensors"
LAYER = "results/demo/mine/vaeglow/seed0/model.safetensors"
SNAKEMAKE = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--configfile", "overlay.yaml"]


def project(folder: Path, epochs: int = 40, save_minutes: float = 0.0001, **training: Any) -> Path:
    """A folder to run Snakemake in: tiny images and tiny models of them."""
    images = folder / "images"
    images.mkdir(parents=True)
    for k, image in enumerate(blobs(80, 0, 8)):
        Image.fromarray(image.transpose(1, 2, 0)).save(images / f"{k:02}.png")
    network = {"num_scale": 2, "base_dim": 4, "fc_dim": 16, "latent_dim": 4}
    settings = {"epochs": epochs, "batch_size": 16, "threads": 1, "learning_rate": 0.002, "snapshots": [], **training}
    config = {
        "runtime": {"save_minutes": save_minutes, "device": "cpu"},
        "datasets": {"mine": {"kind": "folder", "root": "images", "size": 8, "test_fraction": 0.2}},
        "overrides": {
            "roles": {"main": "mine"},
            "training": settings,
            "models": {
                "vae": {"network": network, "prior": {"layers": 2, "width": 8}, "training": settings},
                "vaeglow": {"layer": {"depth": 1, "width": 4}, "training": settings},
            },
        },
    }
    (folder / "overlay.yaml").write_text(yaml.safe_dump(config))
    return folder


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Snakemake in a process group of its own, which takes Ctrl-C also where the tests run in a script's background."""
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "process_group": 0}
    listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    return subprocess.Popen([*SNAKEMAKE, *arguments], cwd=folder, preexec_fn=listen, **options)


def run(folder: Path, *arguments: str, ok: bool = True) -> str:
    """Snakemake to its end; what it said."""
    done = call([*SNAKEMAKE, *arguments], folder)
    output = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, output
    return output
