"""Trained models by name: where a file comes from, what is refused, and what `tools.release_model` writes."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from refusals import user_error
from run_tools import blobs
from server_tools import FileServer
from waiting import ROOT, Json

import vaeglow
from tools import release_model, update_demo
from vaeglow import paths, released
from vaeglow.files import read_json, sha256_file
from vaeglow.verify import read_checked

NAME = "blobs/vaeglow"
FILE = "blobs-vaeglow.safetensors"
EMPTY = {"release": None, "licence": "MIT", "data": {"blobs": {"words": "blobs", "licence": "CC0"}}, "models": {}}


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    """A clone whose list is empty, and a cache beside it."""
    clone = tmp_path / "clone"
    path = clone / released.LIST
    path.parent.mkdir(parents=True)
    path.write_text("# what it is\n\n" + yaml.safe_dump(EMPTY, sort_keys=False))
    monkeypatch.setattr(paths, "PACKAGE", clone / "vaeglow")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(released.ADDRESS, raising=False)
    return clone


@pytest.fixture(scope="session")
def finished(results_tree) -> Path:
    return results_tree / "results/tiny/blobs/vaeglow/seed0"


@pytest.fixture
def file(clone, finished) -> Path:
    """The file of a released model."""
    release_model.release(finished, NAME)
    return clone / "resources/models" / FILE


@pytest.fixture
def server(served, file, monkeypatch) -> FileServer:
    """It has the file, which the clone has no more."""
    served.files[FILE] = file.read_bytes()
    file.unlink()
    monkeypatch.setenv(released.ADDRESS, served.url)
    return served


def kept(clone: Path) -> list[str]:
    """What the cache holds."""
    return sorted(path.name for path in (clone.parent / "cache").rglob("*.*") if path.suffix != ".lock")


def entry() -> Json:
    return released.read_list()["models"][NAME]


def test_an_entry_says_what_the_runs_results_say(file, finished):
    training = read_json(finished / "training.json")
    likelihood = read_json(finished / "likelihood.json")
    (path,) = finished.glob("metrics/*/*.json")
    listed = entry()
    assert listed["sha256"] == sha256_file(file)
    assert listed["bytes"] == file.stat().st_size
    assert listed["run"] == "tiny/blobs/vaeglow/seed0"
    assert listed["epochs"] == training["epochs_by_phase"] == [2, 2]
    seconds = sum(training["train_cpu_seconds_by_phase"])
    assert listed["train_seconds"] == pytest.approx(seconds, abs=0.06)
    assert listed["likelihood"].pop("split") == "test"
    assert listed["likelihood"].items() <= likelihood.items()
    (row,) = listed["quality"]
    assert row.keys() == {*release_model.QUALITY}
    assert row.items() <= read_json(path).items()
    assert released.shipped(released.LIST).read_text().startswith("# what it is\n\nrelease:")


def test_a_run_without_a_likelihood_and_what_is_refused(clone, finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "likelihood.json").unlink()
    shutil.rmtree(run / "metrics")
    release_model.release(run, NAME)
    listed = entry()
    assert listed["likelihood"] is None  # validate_every: 0
    assert listed["quality"] == []
    training = release_model.Result(run, {"val_bits_per_dim": 3.0})
    values = {"bits_per_dim": 3.0, "bound": "<=", "images": 10, "split": "val"}
    assert release_model.likelihood(run, training, {"data": {"counts": {"val": 10}}}, "<=") == values
    shutil.copy(finished.parents[1] / "vae/seed0/training.json", run)
    with user_error("weights_sha256 is .* expected"):
        release_model.release(run, NAME)
    with user_error("faces/vaeglow: a name begins with the run's data, blobs"):
        release_model.release(finished, "faces/vaeglow")
    with user_error("is not .*model.safetensors: copy it"):
        release_model.release(finished, NAME, clone / released.LIST)


def test_half_precision_changes_bits_by_less_than_a_thousandth(clone, finished, monkeypatch):
    monkeypatch.setattr(release_model, "LARGE", 1)
    release_model.release(finished, NAME)
    half = vaeglow.load(NAME, "cpu")
    whole = vaeglow.load(finished / "model.safetensors", "cpu")
    images = blobs(40, 9)
    change = half.bits_per_dim(images) - whole.bits_per_dim(images)
    assert change.abs().max() > 0
    assert change.mean().abs() < 1e-3
    about = read_checked(released.locate(NAME))  # its hashes are right
    original = read_checked(finished / "model.safetensors")
    assert about["original_sha256"] == original["weights_sha256"] != about["weights_sha256"]
    assert about["precision"].startswith("float16")
    for key in ("config", "config_sha256", "data_sha256", "base_sha256", "provenance"):
        assert about[key] == original[key]
    huge = {"layer.x": torch.full((2,), 1e5)}
    monkeypatch.setattr(release_model, "read_tensors", lambda *_: (huge, {}))
    with user_error("layer.x is too large for half precision"):
        release_model.halve(clone, clone)


def test_a_file_is_fetched_once_and_again_where_it_is_damaged(server, clone):
    """What else can happen to a download: tests/data/test_sources.py."""
    vaeglow.load(NAME, "cpu")
    assert server.asked == [(FILE, "")]
    assert kept(clone) == [FILE]
    cached = released.locate(NAME)
    assert len(server.asked) == 1
    content = cached.read_bytes()
    cached.write_bytes(content[:-1])
    vaeglow.load(NAME, "cpu")
    assert len(server.asked) == 2
    assert cached.read_bytes() == content


def test_a_folder_may_take_the_servers_place(file, monkeypatch, tmp_path):
    shutil.move(file, tmp_path)
    with user_error(f"model {NAME}: {FILE} is not here: set {released.ADDRESS} to a folder"):
        vaeglow.load(NAME)
    monkeypatch.setenv(released.ADDRESS, str(tmp_path))
    assert released.locate(NAME) == tmp_path / FILE


def test_another_file_and_no_network(server, clone, monkeypatch):
    server.files[FILE] = b"another"
    with user_error(f"{FILE} returned another file .*deleted"):
        vaeglow.load(NAME)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        host, port = taken.getsockname()
        monkeypatch.setenv(released.ADDRESS, f"http://{host}:{port}")
        with user_error(f"model {NAME}: cannot download .*refused.*: set {released.ADDRESS}"):
            vaeglow.load(NAME)
    assert kept(clone) == []


def test_a_cache_that_cannot_be_written(server, clone, small_disk, monkeypatch):
    (clone.parent / "cache").write_text("a file")
    with user_error("cannot write .*a folder in this path is a file"):
        vaeglow.load(NAME)
    disk = small_disk("1m")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(disk))
    with user_error("the file system is read-only"):
        vaeglow.load(NAME)
    assert server.asked == []
    assert not list(disk.iterdir())


def test_names_and_paths_that_lead_nowhere(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with user_error(r"blobs/vaeglo does not exist, nor .* \(did you mean 'blobs/vaeglow'\?\): `vaeglow models`"):
        vaeglow.load("blobs/vaeglo")
    with user_error(f"{NAME}.safetensors is missing"):
        vaeglow.load(f"{NAME}.safetensors")
    file.write_bytes(b"0" + file.read_bytes())
    with user_error(f"{FILE} is cut short or another file .*sha256 is .* instead of {entry()['sha256']}"):
        vaeglow.load(NAME)
    Path(NAME).mkdir(parents=True)  # what exists is a path
    with user_error(f"{NAME} is missing or not a file"):
        vaeglow.load(NAME)


def test_the_released_models_are_as_the_list_says():
    listed = released.read_list()
    size = 0
    for name, about in listed["models"].items():
        path = released.locate(name)  # whose hash is right
        assert path == ROOT / about["path"]
        assert about["bytes"] == path.stat().st_size
        size += about["bytes"]
        model = vaeglow.load(name, "cpu")
        preset, dataset, run, seed = about["run"].replace("/seed", "/").split("/")
        assert name.partition("/")[0] in listed["data"]
        assert f"preset {preset}, dataset {dataset}, model {run}, seed {seed}" in repr(model)
        assert len(model.sample(2).unique()) > 20
    assert size < 30e6
    demo = listed["models"]["photos32/vaeglow"]
    spread = update_demo.pd.read_csv(update_demo.SPREAD)
    rows = spread[(spread["run"] == "vaeglow") & (spread["seed"] == 0)]
    rows = rows.drop_duplicates("temperature").set_index("temperature")  # of the first instruction set
    about = read_checked(update_demo.WEIGHTS)
    for row in demo["quality"]:
        measured = rows.loc[row["temperature"]]
        assert row["fid"] == measured["fid"]
        assert row["kid"] == measured["kid"]
        assert demo["likelihood"]["bits_per_dim"] == measured["bits_per_dim"]
        assert about["provenance"]["source_sha256"] == measured["source_sha256"]
