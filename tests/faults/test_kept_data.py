"""Prepared data: not lost to a job that fails, not spoilt by two that make them at once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from faults_tools import Child
from PIL import Image
from run_tools import blobs

from vaeglow.data import kept
from vaeglow.data.arrays import SPLITS, open_split, read_info
from vaeglow.data.kept import FILES, KEPT, prepare_or_reuse
from vaeglow.errors import UserError

pytestmark = pytest.mark.faults


def images(folder: Path, seed: int = 0, count: int = 12) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k, image in enumerate(blobs(count, seed)):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{k:02}.png")
    return folder


def settings(root: Path, **changes) -> dict:
    return {"kind": "folder", "root": str(root), "size": 8, "test_fraction": 0.25, **changes}


def as_snakemake_does(data: Path) -> None:
    """Outputs are deleted before the job starts, and after it failed."""
    for name in FILES:
        (data / name).unlink(missing_ok=True)


def content(data: Path) -> dict[str, bytes]:
    return {name: (data / name).read_bytes() for name in FILES}


@pytest.fixture
def made(tmp_path) -> tuple[Path, dict]:
    root, data = images(tmp_path / "images"), tmp_path / "data"
    assert not prepare_or_reuse("mine", settings(root), data)
    return data, settings(root)


def test_the_same_again_comes_back_at_once(made, monkeypatch):
    data, entry = made
    before = content(data)
    monkeypatch.setattr(kept, "prepare", lambda *_: pytest.fail("made again"))
    as_snakemake_does(data)
    assert prepare_or_reuse("mine", entry, data) and content(data) == before
    assert prepare_or_reuse("mine", entry, data)  # with the old ones in place
    assert sorted(path.name for path in data.iterdir()) == sorted([*FILES, KEPT])


def test_a_second_name_takes_no_space(made):
    data, _ = made
    assert all((data / name).stat().st_ino == (data / KEPT / name).stat().st_ino for name in FILES)


def test_a_job_that_refuses_loses_nothing(made, fault):
    data, entry = made
    before = content(data)
    with fault("prepare_data with settings that are refused, over good data"):
        as_snakemake_does(data)
        with pytest.raises(UserError, match="expected_sha256 says"):
            prepare_or_reuse("mine", entry | {"levels": 16, "expected_sha256": {"train": "0" * 64}}, data)
        as_snakemake_does(data)
        assert prepare_or_reuse("mine", entry, data) and content(data) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.update(levels=16),
        lambda entry: entry.update(split_seed=5),
        lambda entry: images(Path(entry["root"]), seed=4, count=1),
        lambda entry: os.utime(Path(entry["root"], "03.png"), (5, 5)),
        lambda entry: Path(entry["root"], "03.png").unlink(),
    ],
)
def test_whatever_changes_the_data_makes_them_anew(change, made, monkeypatch):
    data, entry = made
    change(entry)
    assert not prepare_or_reuse("mine", entry, data)
    assert prepare_or_reuse("mine", entry, data)


def test_other_code_or_decoders_make_them_anew(made, monkeypatch):
    data, entry = made
    monkeypatch.setattr(kept.metadata, "version", lambda package: "0")
    assert not prepare_or_reuse("mine", entry, data)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_copy_is_not_used(name, made):
    data, entry = made
    before = content(data)
    path = data / KEPT / name
    changed = bytearray(path.read_bytes())
    changed[len(changed) * 3 // 4] ^= 1
    path.unlink()
    path.write_bytes(changed)
    if name == "dataset.json":  # not all of it is under the hash: what a flipped digit of the mean would be
        path.write_text("{")
    as_snakemake_does(data)
    assert not prepare_or_reuse("mine", entry, data) and content(data) == before


def test_where_links_are_not_possible_it_copies(tmp_path, monkeypatch):
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    root, data = images(tmp_path / "images"), tmp_path / "data"
    assert not prepare_or_reuse("mine", settings(root), data)
    assert prepare_or_reuse("mine", settings(root), data)
    assert (data / "train.npy").stat().st_ino != (data / KEPT / "train.npy").stat().st_ino


def hold_reading(held: bool) -> None:
    """In the child: say when it reads, and stop there."""
    plain = kept.prepare
    stop = (lambda: os.kill(os.getpid(), signal.SIGSTOP)) if held else (lambda: None)
    kept.prepare = lambda *arguments: (print("reading", flush=True), stop(), plain(*arguments))


def job(entry: dict, data: Path, held: bool = False) -> Child:
    command = ["python", "-m", "vaeglow.steps.prepare_data", "--name", "mine", "--settings", json.dumps(entry)]
    return Child([*command, "--output-dir", str(data), "--workers", "1"], hold_reading, held)


def test_several_at_once_make_them_once(tmp_path, fault):
    root, data = images(tmp_path / "images"), tmp_path / "data"
    with fault("the same data prepared by four processes at once"):
        first = job(settings(root), data, held=True).held()
        others = [job(settings(root), data) for _ in range(3)]
        for child in others:
            child.until(lambda child=child: "waiting for it" in child.text())
        first.send(signal.SIGCONT)
        for child in [first, *others]:
            assert child.wait() == 0, child.text("stderr")
        for child in others:
            assert "taken from .kept" in child.text()
            assert "reading" not in child.text()
        assert {split: len(open_split(data, split)) for split in SPLITS} == {"train": 9, "val": 0, "test": 3}


def test_killed_while_preparing(tmp_path, fault):
    root, data = images(tmp_path / "images"), tmp_path / "data"
    with fault("SIGKILL of prepare_data"):
        child = job(settings(root), data, held=True).held()
        (data / ".train.npy.4242-abcdef.tmp").write_bytes(b"half")
        child.kill()
        assert not (data / "dataset.json").exists()
        again = job(settings(root), data)
        assert again.wait() == 0, again.text("stderr")
        assert sorted(path.name for path in data.iterdir()) == sorted([*FILES, KEPT])
        assert np.array_equal(open_split(data, "test"), open_split(data / KEPT, "test"))
        assert read_info(data)["name"] == "mine"
