"""`snakemake` of everything, every step for real, at a size that takes minutes: what CI runs of the whole DAG."""

import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from run_tools import shipped_config
from test_demo import SMALL, random_inception, verified
from test_workflow import jobs, workflow

from vaeglow.config import merge

pytestmark = pytest.mark.slow

CHANGES = yaml.safe_load("""
datasets:
  photos32: &photos {train_images: 64, val_images: 8, test_images: 200, expected_sha256: null}
  photos64: *photos
timing:
  cpu: &windows {warmup_steps: 1, windows: 2, window_seconds: 0.01}
  cuda: *windows
overrides:
  training: {warmup_epochs: 0}
  datasets: {digits32: {train_subset: 64, models: {vae_isotropic: &short {training: {epochs: 1}}}}}
  models:
    vae: {training: {snapshots: [0.5]}}
    vae_two_stage: {second_stage: {width: 8, depth: 1}, training: {epochs: 1}}
    vae_isotropic_standard: *short
    vaeglow_joint: *short
    vaeglow_joint_finetune: *short
  evaluation: {snapshot_images: 16}
  probes:
    latents: {images: 16}
    layer_draws: {images: 16, draws: 2}
    layer_action: {features: 64}
    linear_reference: {images: 200}
    nearest_training: {samples: 16, test_images: 32, training_images: 48, features: 64}
  figures: {figure2: &sheet {columns: 2, lines: 2}, figure3: *sheet}
  # the paper's networks take minutes to time; here those of the demo stand for them
  tables: {table4: {presets: [demo]}}
  claims: {training_speed: &demo {networks: demo}, training_speed_as_written: *demo}
""")
TINY = merge({key: SMALL[key] for key in ("protocols", "overrides")}, CHANGES)
VERDICTS = {"holds", "does not hold", "undecided", "not run at this preset"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """All there is, made in a folder of its own."""
    folder = tmp_path_factory.mktemp("everything")
    TINY["overrides"]["evaluation"]["inception"] = random_inception(folder / "weights.pth")
    (folder / "overlay.yaml").write_text(yaml.safe_dump(TINY))
    made(folder)
    return folder


def made(folder: Path, *arguments: str) -> str:
    return workflow("--cores", "2", "all", *arguments, "--configfile", "overlay.yaml", cwd=folder, env=os.environ)


def test_every_table_and_figure_is_there_and_shows_something(folder):
    results = folder / "results"
    for name in shipped_config()["tables"]:
        assert all((results / f"{name}.{ending}").is_file() for ending in ("md", "html", "tex"))
        rows = list(csv.DictReader((results / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
        measured = [row for row in rows if row.get("source", "measured") == "measured"]
        assert measured and all("nan" not in row.values() for row in rows), name
        text = (results / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith("# ") and "demo" in text.lower()
    for name in shipped_config()["figures"]:
        picture = np.asarray(Image.open(results / f"{name}.png").convert("RGB"))
        assert min(picture.shape[:2]) > 200 and picture.std() > 5, name
        assert (results / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_every_claim_has_a_verdict_and_evidence_that_is_there(folder):
    rows = list(csv.DictReader((folder / "results/claims.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["claim"] for row in rows} == set(shipped_config()["claims"])
    assert {row["verdict"] for row in rows} <= VERDICTS
    for row in rows:
        if row["verdict"] == "not run at this preset":
            assert not row["effect"]
            continue
        evidence = row["evidence"].split()
        assert evidence and all((folder / path.strip(";,")).is_file() for path in evidence), row["claim"]
        assert row["verdict"] == "undecided" or (row["low"] and row["high"])
    about_training = [row for row in rows if shipped_config()["claims"][row["claim"]]["training"]]
    assert {row["verdict"] for row in about_training} == {"undecided"}  # one seed


def test_every_run_has_its_curves_every_hash_is_what_it_was_and_nothing_is_left_to_do(folder):
    histories = {path.parent for path in (folder / "results/demo").rglob("history.csv")}
    assert histories and histories == {path.parent for path in (folder / "results/demo").rglob("curves.png")}
    status, lines = verified(folder)
    assert status == 0, lines
    assert {rule for rule, _ in jobs(made(folder, "-n"))} <= {"all"}


def test_the_report_works_offline_and_shows_every_category(folder):
    made(folder, "--report", "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    for category in ("Tables", "Figures", "Ablations and in-text claims", "Training curves", "Claims", "Data"):
        assert category in text
    assert not re.findall(r'(?:src|href)="https?://[^"]+\.(?:js|css)"', text)  # nothing is fetched
