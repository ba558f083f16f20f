"""The real workflow from end to end, every step for real, at a size that takes a minute."""

import csv
import hashlib
import math
import os
import re
import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from fid_tools import random_weights
from PIL import Image
from test_workflow import jobs, workflow
from waiting import ROOT, call

from vaeglow.config import merge
from vaeglow.reporting import traced
from vaeglow.reporting.tables.quality import COLUMNS

TARGETS = ("results/table2.csv", "results/samples.png")
ROWS = [  # each kind of model once
    {"model": "glow", "temperature": 1.0},
    {"model": "vae", "temperature": 0.0},
    {"model": "vaeglow", "temperature": 0.5},
]
SMALL = yaml.safe_load("""  # the demo, smaller
datasets: {photos32: {train_images: 64, val_images: 8, test_images: 16, expected_sha256: null}}
protocols: {test-16-64: {split: test, images: 16, features: 64}}
overrides:
  training: {epochs: 1, batch_size: 16, threads: 1}
  models:
    vae:
      network: {base_dim: 4, fc_dim: 8, latent_dim: 4}
      prior: {layers: 2, width: 8}
      training: {epochs: 1}
    vaeglow: &layer {layer: {depth: 1, width: 4}, training: {epochs: 1}}
    vaeglow_as_written: *layer
    glow: {network: {depth: 1, width: 4}, training: {epochs: 1, warmup_epochs: 0}}
  evaluation: {protocol: test-16-64, batch_size: 16, importance_samples: [2], importance_images: 4}
  roles: {main: photos32}
  figures: {samples: {columns: 4, lines_per_row: 1}}
""")
SHOWN = {"tables": {"table2": {"rows": ROWS}}, "figures": {"samples": {"rows": [{"data": "test"}, *ROWS]}}}


def random_inception(path: Path) -> dict:
    """Random weights as a file fetched by hand: `evaluation.inception` for it. The network is not asked."""
    state = random_weights()
    torch.save(state, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"local": str(path), "wheel": None, "url": {"address": path.as_uri(), "sha256": sha256}}


def made(folder: Path, config: dict, cores: str = "2") -> str:
    """Run the repository's workflow in `folder`; its output."""
    (folder / "overlay.yaml").write_text(yaml.safe_dump(config))
    return workflow("--cores", cores, *TARGETS, "--configfile", "overlay.yaml", cwd=folder)


def measured(folder: Path) -> list[dict[str, str]]:
    rows = list(csv.DictReader((folder / "results/table2.csv").open(encoding="utf-8")))
    assert tuple(rows[0]) == (*(column.name for column in COLUMNS), *traced.COLUMNS)
    assert [row["source"] for row in rows[:5]] == ["published"] * 5
    return rows[5:]


def verified(folder: Path) -> tuple[int, list[str]]:
    """Exit status and lines of `python -m vaeglow.verify`."""
    command = [sys.executable, "-m", "vaeglow.verify", "results", "--data", "resources/data"]
    done = call(command, folder, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def test_the_whole_workflow(tmp_path):
    inception = {"overrides": {"evaluation": {"inception": random_inception(tmp_path / "weights.pth")}}}
    config = merge(SMALL, inception, {"presets": {"demo": SHOWN}})

    # From nothing to a table and a sheet.
    said = made(tmp_path, config)
    ended = re.findall(
        r"^(\w+) on photos32, seed 0: all epochs done, \d+\.\d\d bits/dim, [\d:]{7,}$", said, re.MULTILINE
    )
    assert sorted(ended) == sorted(row["model"] for row in ROWS)
    table = measured(tmp_path)
    assert [{"model": row["run"], "temperature": float(row["temperature"])} for row in table] == ROWS
    for row in table:
        assert (row["source"], row["preset"], row["dataset"]) == ("measured", "demo", "photos32")
        assert (row["protocol"], row["fid_samples"], row["fid_reference_images"]) == ("test-16-64", "16", "16")
        assert row["epochs"] == ("1+1" if "vaeglow" in row["run"] else "1")
        assert row["bound"] == ("=" if row["run"] == "glow" else "<=")
        for column in ("fid", "bits_per_dim", "train_seconds", "bits_per_dim_standard_error"):
            assert math.isfinite(float(row[column])) and float(row[column]) > 0, (row["run"], column)
    assert (tmp_path / "results/table2.tex").read_text().count(r"\\") == 1 + len(ROWS) + 5
    sheet = np.asarray(Image.open(tmp_path / "results/samples.png").convert("RGB"))
    assert sheet.std() > 10 and (tmp_path / "results/samples.pdf").stat().st_size > 10_000
    published = {path.name for path in (tmp_path / "results").glob("*.*")}
    assert published == {"table2.csv", "table2.md", "table2.html", "table2.tex", "samples.png", "samples.pdf"}

    # Again: nothing.
    assert "Nothing to be done" in made(tmp_path, config)

    # One key of one model: that model and what shows it.
    found = jobs(made(tmp_path, merge(config, {"overrides": {"models": {"glow": {"network": {"width": 6}}}}})))
    assert {w["model"] for _, w in found if "model" in w} == {"glow"}
    run = ["write_config", "train_glow", "likelihood", "sample", "evaluate"]
    assert sorted(rule for rule, _ in found) == sorted([*run, "table", "publish", "figure", "publish_figure"])
    again = measured(tmp_path)
    assert [row for row in again if row["run"] != "glow"] == [row for row in table if row["run"] != "glow"]
    assert int(again[0]["parameters"]) > int(table[0]["parameters"])

    # Every hash is what it was.
    status, lines = verified(tmp_path)
    assert status == 0 and " 0 mismatches, 0 not there, " in lines[-1], lines
