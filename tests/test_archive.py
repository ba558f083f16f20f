"""An archive holds what it says, and nothing else is taken for one; it is drawn again in workflow/test_demo.py."""

import errno
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from run_tools import refused
from waiting import ROOT, call

import vaeglow
from vaeglow import archive, verify
from vaeglow.errors import UserError
from vaeglow.files import read_json, write_json

OURS = "tiny/blobs/vaeglow/seed0"
VAE = "tiny/blobs/vae/seed0"
NAMES = ("config.json", "history.csv", "training.json", "likelihood.json", "metrics/test-12-64/T{}.json")
CONFIG = {"preset": "tiny", "seeds": [0]}


@pytest.fixture(scope="module")
def packed(results_tree, tmp_path_factory) -> Path:
    """The archive of two runs, the table, the figure and the claims of the tiny tree."""
    pytest.importorskip("rocrate")
    folder = shutil.copytree(results_tree, tmp_path_factory.mktemp("packed") / "tree")
    bases = {VAE: (None, 0.0), OURS: (VAE, 1.0)}
    files = {run: [f"{run}/{name.format(at)}" for name in NAMES] for run, (_, at) in bases.items()}
    runs = {run: {"base": base, "files": files[run]} for run, (base, _) in bases.items()}
    write_json(folder / "results/tiny/study.json", {"runs": runs, "others": ["tiny/blobs/timing.json", "gone.json"]})
    command = [sys.executable, "-m", "vaeglow.archive", "tiny.zip", "--config", json.dumps(CONFIG)]
    done = call(command, folder)
    assert done.returncode == 0, done.stderr
    return folder / "tiny.zip"


def rewritten(packed: Path, target: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """The archive with other content."""
    with zipfile.ZipFile(packed) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    return target


def test_it_comes_back_whole(packed, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "to/here"
    archive.unpack(packed, folder)
    assert subprocess.run(["sha256sum", "-c", "--quiet", archive.SUMS], cwd=folder).returncode == 0
    assert read_json(folder / "config.json") == CONFIG and "preset tiny" in (folder / "README.md").read_text()
    names = {path.relative_to(folder / "results").as_posix() for path in (folder / "results").rglob("*.*")}
    made = {"table2.csv", "table2.md", "table2.html", "table2.tex", "samples.png", "samples.pdf"}
    made |= {"claims.csv", "claims.md", "claims.html", "tiny/blobs/timing.json"}
    runs = {f"{run}/{name}" for run in (OURS, VAE) for name in ("model.safetensors", *NAMES[:-1])}
    assert made | runs <= names and any("tiny/blobs/timings/" in name for name in names)
    assert not {name for name in names if "samples/" in name or "seed1" in name}
    assert vaeglow.load(folder / f"results/{OURS}/model.safetensors", "cpu").sample(2).shape == (2, 3, 8, 8)
    monkeypatch.chdir(folder)
    verify.main(["results", "--data", "resources/data"])
    assert " 0 mismatches, " in capsys.readouterr().out


def test_its_metadata_name_every_file(packed):
    from rocrate.rocrate import ROCrate

    crate = ROCrate(str(packed))
    assert "2004.05617" in crate.description and crate.license and crate.datePublished
    with zipfile.ZipFile(packed) as members:
        sizes = {one.filename: str(one.file_size) for one in members.infolist() if one.filename != archive.CRATE}
    assert {file.id: file["contentSize"] for file in crate.data_entities} == sizes


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda members: members.update({"config.json": b"{}"}), "config.json is not what was packed"),
        (lambda members: members.update({"more.txt": b""}), "more.txt is not what was packed"),
        (lambda members: members.update({"../out.txt": b""}), "../out.txt would lie outside the folder"),
        (lambda members: members.update({"/out.txt": b""}), "/out.txt would lie outside the folder"),
        (lambda members: members.pop("README.md"), "is not complete, or not made by"),
        (lambda members: members.pop(archive.SUMS), "is not complete, or not made by"),
        (lambda members: members.update({archive.SUMS: b"\xff"}), "is not complete, or not made by"),
    ],
)
def test_what_was_changed_is_refused_and_nothing_is_written(packed, tmp_path, change, says):
    other = rewritten(packed, tmp_path / "other.zip", change)
    with pytest.raises(UserError) as caught:
        archive.unpack(other, tmp_path / "to")
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == [other]


def test_a_full_disk_leaves_nothing_half_unpacked(packed, tmp_path, monkeypatch):
    def full(member, target):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(UserError, match="the disk is full"):
        archive.unpack(packed, tmp_path / "to")
    assert not [*tmp_path.iterdir()]


def test_what_is_no_archive_is_one_line(packed, tmp_path):
    half = tmp_path / "half.zip"
    half.write_bytes(packed.read_bytes()[:5000])
    for file in (half, ROOT / "README.md", tmp_path, tmp_path / "none.zip"):
        command = [sys.executable, "-m", "vaeglow.archive", str(file), "--folder", str(tmp_path / "to")]
        assert "is not complete, or not made by `make archive`" in refused(call(command))
    with pytest.raises(UserError, match="exists: delete it, or name another"):
        archive.unpack(packed, tmp_path)
    neither = [sys.executable, "-m", "vaeglow.archive", str(packed)]
    assert "give --config to pack, or --folder to unpack into" in refused(call(neither))


def test_without_a_finished_run_there_is_nothing_to_pack(tmp_path, monkeypatch):
    pytest.importorskip("rocrate")
    monkeypatch.chdir(tmp_path)
    write_json("results/tiny/study.json", {"runs": {}, "others": []})
    with pytest.raises(UserError, match="results/tiny holds no finished run"):
        archive.pack(Path("tiny.zip"), CONFIG)
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[archive\]'"):
        archive.pack(Path("tiny.zip"), CONFIG)
    assert not Path("tiny.zip").exists()
