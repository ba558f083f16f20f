"""An archive holds what it says, and nothing else is taken for one; it is drawn again in workflow/test_study.py."""

import errno
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest.mock import Mock

import pytest
from refusals import user_error
from waiting import ROOT, python, said

from vaeglow import archive, verify
from vaeglow.files import read_json, write_json

OURS = "tiny/blobs/vaeglow/seed0"
VAE = "tiny/blobs/vae/seed0"
NAMES = ("config.json", "history.csv", "training.json", "likelihood.json", "metrics/test-12-64/T{}.json")
MADE = """
table2.csv table2.md table2.html table2.tex samples.png samples.pdf claims.csv claims.md claims.html
tiny/blobs/timing.json tiny/blobs/vae/seed0/model.safetensors tiny/blobs/vaeglow/seed0/model.safetensors
"""
CONFIG = {"preset": "tiny", "seeds": [0]}


@pytest.fixture(scope="module")
def packed(results_tree, tmp_path_factory) -> Path:
    """The archive of two runs, the table, the figure and the claims of the tiny tree."""
    pytest.importorskip("rocrate")
    folder = shutil.copytree(results_tree, tmp_path_factory.mktemp("packed") / "tree")
    runs = {}
    for run, base, temperature in ((VAE, None, 0.0), (OURS, VAE, 1.0)):
        runs[run] = {"base": base, "files": [f"{run}/{name.format(temperature)}" for name in NAMES]}
    write_json(folder / "results/tiny/study.json", {"runs": runs, "others": ["tiny/blobs/timing.json", "gone.json"]})
    said(python("-m", "vaeglow.archive", "tiny.zip", "--config", json.dumps(CONFIG), cwd=folder))
    return folder / "tiny.zip"


def test_it_comes_back_whole(packed, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "to/here"
    archive.unpack(packed, folder)
    assert subprocess.run(["sha256sum", "-c", "--quiet", archive.SUMS], cwd=folder).returncode == 0
    assert read_json(folder / "config.json") == CONFIG and "preset tiny" in (folder / "README.md").read_text()
    names = {path.relative_to(folder / "results").as_posix() for path in (folder / "results").rglob("*.*")}
    assert {*MADE.split()} <= names and any("tiny/blobs/timings/" in name for name in names)
    assert not {name for name in names if "samples/" in name or "seed1" in name}
    monkeypatch.chdir(folder)
    verify.main(["results", "--data", "resources/data"])
    assert " 0 mismatches, " in capsys.readouterr().out


def test_its_metadata_name_every_file(packed):
    from rocrate.rocrate import ROCrate

    crate = ROCrate(str(packed))
    assert "2004.05617" in crate.description and crate.license and crate.datePublished
    with zipfile.ZipFile(packed) as members:
        sizes = {member.filename: str(member.file_size) for member in members.infolist()}
    del sizes[archive.CRATE]
    assert {file.id: file["contentSize"] for file in crate.data_entities} == sizes


CHANGED = [  # a member, another content of it or None where it is left out
    ("config.json", b"{}", "config.json is not what was packed"),
    ("more.txt", b"", "more.txt is not what was packed"),
    ("../out.txt", b"", "../out.txt would lie outside the folder"),
    ("/out.txt", b"", "/out.txt would lie outside the folder"),
    ("README.md", None, "is not complete, or not made by"),
    (archive.SUMS, None, "is not complete, or not made by"),
    (archive.SUMS, b"\xff", "is not complete, or not made by"),
]


@pytest.mark.parametrize(("name", "content", "says"), CHANGED)
def test_what_was_changed_is_refused_and_nothing_is_written(packed, tmp_path, name, content, says):
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(other, "w") as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
        if content is not None:
            new.writestr(name, content)
    with user_error(re.escape(says)):
        archive.unpack(other, tmp_path / "to")
    assert [*tmp_path.iterdir()] == [other]


def test_a_full_disk_leaves_nothing_half_unpacked(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "copyfileobj", Mock(side_effect=OSError(errno.ENOSPC, "no space left on device")))
    with user_error("the disk is full"):
        archive.unpack(packed, tmp_path / "to")
    assert not [*tmp_path.iterdir()]


def test_the_kept_files_of_a_study_may_be_named_from_beside_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/config.json", "runs/resources/data/dataset.json", "runs/tiny/study.json"):
        write_json(name, {})
    archive.unpack(Path("runs"), Path("to"))
    names = {path.relative_to("to").as_posix() for path in Path("to").rglob("*.json")}
    assert names == {"config.json", "resources/data/dataset.json", "results/tiny/study.json"}


def test_what_is_no_archive_is_one_line(packed, tmp_path):
    half = tmp_path / "half.zip"
    half.write_bytes(packed.read_bytes()[:5000])
    for file in (half, ROOT / "README.md", tmp_path):
        with user_error("is not complete, or not made by `make archive`"):
            archive.unpack(file, tmp_path / "to")
    with user_error("exists: delete it, or name another"):
        archive.unpack(packed, tmp_path)
    with user_error("give --config to pack, or --folder to unpack into"):
        archive.main([str(packed)])


def test_without_a_finished_run_there_is_nothing_to_pack(tmp_path, monkeypatch):
    pytest.importorskip("rocrate")
    monkeypatch.chdir(tmp_path)
    write_json("results/tiny/study.json", {"runs": {}, "others": []})
    with user_error("results/tiny holds no finished run"):
        archive.pack(Path("tiny.zip"), CONFIG)
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    with user_error(r"pip install -e '\.\[archive\]'"):
        archive.pack(Path("tiny.zip"), CONFIG)
    assert not Path("tiny.zip").exists()
