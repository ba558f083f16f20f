"""Where a number comes from: what every file of a results tree says, and how a table's row leads back to the commit."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import numpy as np

from vaeglow import results
from vaeglow.data.arrays import array_sha256, read_info
from vaeglow.files import read_json, sha256_file, sha256_json
from vaeglow.reporting import traced
from vaeglow.results import SEAL
from vaeglow.verify import read_checked
from vaeglow.weights import load_model

KEYS = {"commit", "dirty", "source_sha256", "python", "versions", "platform", "device", "started", "finished"}
HASHES = {"config_sha256", "data_sha256", "weights_sha256"}
IDENTITY = {"preset", "dataset", "model", "seed"}
OF_NO_WEIGHTS = {"timing.json", "fid_reference", "blobs.json"}


def test_every_file_says_where_it_comes_from(results_tree):
    kinds = ("*.json", "*.npz", "*.safetensors")
    files = [path for kind in kinds for path in sorted((results_tree / "results").rglob(kind))]
    files = [path for path in files if path.name != "config.json" and not {"state", "specs"} & {*path.parts}]
    assert len(files) > 30
    for path in files:
        about, weights = read_checked(path), path.suffix == ".safetensors"
        assert (made := about["provenance"]).keys() >= KEYS, path
        assert made["started"] <= made["finished"] and made["versions"].keys() >= {"torch", "numpy"}, path
        of_run = IDENTITY | (HASHES - {"config_sha256"} if weights else HASHES)
        assert about.keys() >= ({"data_sha256", "dataset"} if {path.name, *path.parts} & OF_NO_WEIGHTS else of_run), (
            path
        )
        assert weights or SEAL in made, path


def test_a_row_of_table_2_leads_to_its_config_data_weights_and_commit(results_tree):
    """Down from a number in the published CSV, file by file, every hash computed anew."""
    rows = list(csv.DictReader((results_tree / "results/table2.csv").open(newline="", encoding="utf-8")))
    assert tuple(rows[0])[-len(traced.COLUMNS) :] == traced.COLUMNS
    published = [row for row in rows if row["source"] == "published"]
    assert published and not any(row[key] for row in published for key in traced.COLUMNS if key != traced.SEAL)
    row = next(row for row in rows if row["run"] == "vaeglow")
    evidence = traced.evidence_of(row)
    assert all(sha256_file(results_tree / path) == digest for path, digest in evidence.items())
    names = [Path(path).name for path in evidence]
    assert names == ["training.json", "likelihood.json", "T1.0.json"] * 2  # two seeds
    metrics = [read_json(results_tree / path) for path in evidence if "/metrics/" in path]
    assert row["fid"] == f"{np.mean([one['fid'] for one in metrics]):.2f}"
    assert row["seeds"].split() == [str(one["seed"]) for one in metrics]
    for key in HASHES - {"data_sha256"}:
        assert row[key].split("; ") == [one[key] for one in metrics]
    for path, one in zip([path for path in evidence if "/metrics/" in path], metrics, strict=True):
        run = (results_tree / path).parents[2]
        model, about = load_model(run / "model.safetensors", "cpu")
        assert one["weights_sha256"] == about["weights_sha256"] and model.shape == (3, 8, 8)
        assert one["config_sha256"] == sha256_json(read_json(run / "config.json")) == sha256_json(about["config"])
        info = read_info(results_tree / "resources/data/blobs")
        assert row["data_sha256"] == one["data_sha256"] == sha256_json(info["sha256"])
        test = np.load(results_tree / "resources/data/blobs/test.npy")
        assert info["sha256"]["test"] == array_sha256(test) and len(test) == int(row["fid_reference_images"])
        for name in ("model.safetensors", "samples/T1.0.npz"):
            assert one["inputs"][(run / name).relative_to(results_tree).as_posix()] == sha256_file(run / name)
        assert one["samples_provenance"]["commit"] == one["provenance"]["commit"]
    made = results.collect()
    assert row["commit"] == made["commit"] + ("+dirty" if made["dirty"] else "")
    assert row["source_sha256"] == made["source_sha256"] and "2000" < row["started"] <= row["finished"]


def test_the_claims_and_the_figure_name_what_they_were_made_of(results_tree):
    (claim,) = csv.DictReader((results_tree / "results/claims.csv").open(newline="", encoding="utf-8"))
    assert claim["source_sha256"] == results.source_sha256() and claim["commit"]
    figure = traced.read_figure(results_tree / "results/samples.png")
    for evidence in (traced.evidence_of(claim), figure):
        assert evidence
        assert all(sha256_file(results_tree / path) == digest for path, digest in evidence.items())
    assert any(path.endswith("samples/T1.0.npz") for path in figure)


def test_provenance_is_json_and_survives_outside_git(tmp_path, monkeypatch):
    about = results.collect("cpu")
    assert json.loads(json.dumps(about)) == about
    assert results.git_state(tmp_path) == ("unknown", None)
    monkeypatch.setenv("PATH", "")
    assert results.git_state() == ("unknown", None)


def test_provenance_reads_this_checkout_and_not_one_around_it(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    (tmp_path / "vaeglow").mkdir()
    (tmp_path / "vaeglow/a.py").write_text("a = 1\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    commit, dirty = results.git_state(tmp_path)
    assert len(commit) == 40 and dirty is False
    (tmp_path / "vaeglow/b.py").write_text("b = 1\n")
    assert results.git_state(tmp_path) == (commit, True)
    assert results.git_state(tmp_path / "vaeglow") == ("unknown", None)
