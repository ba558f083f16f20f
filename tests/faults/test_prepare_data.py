"""Preparing data killed or refused: nothing half-written, and the same command makes them."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults_tools import Child
from fid_tools import write_pngs
from refusals import user_error
from run_tools import blobs, flags
from waiting import Json

from vaeglow.data import prepare
from vaeglow.data.arrays import SPLITS, open_split


@pytest.fixture
def entry(tmp_path) -> Json:
    """Settings of a folder of twelve images."""
    images = write_pngs(tmp_path / "images", blobs(12, 0))
    return {"kind": "folder", "root": str(images), "size": 8, "test_fraction": 0.25}


def write_slowly() -> None:
    """In the child: the process stops for long in the middle of the second array."""
    from vaeglow.data import arrays

    plain = arrays.np.save

    def save(file: Any, array: Any, **options: Any) -> None:
        if "val" in str(file.name):
            file.write(b"half")
            print("half written", flush=True)
            time.sleep(60)
        plain(file, array, **options)

    arrays.np.save = save


def job(entry: Json, data: Path, *hook: Callable[[], None]) -> Child:
    words = flags(name="mine", settings=json.dumps(entry), output_dir=data, threads=1)
    return Child(["python", "-m", "vaeglow.steps.prepare_data", *words], *hook)


@pytest.mark.faults("SIGKILL of prepare_data")
def test_killed_while_writing(entry, tmp_path):
    data = tmp_path / "data"
    child = job(entry, data, write_slowly)
    child.until(lambda: "half written" in child.text()).kill()
    assert [path.name for path in data.iterdir() if not path.name.startswith(".")] == ["train.npy"]
    job(entry, data).ended()
    assert [len(open_split(data, split)) for split in SPLITS] == [9, 0, 3]


@pytest.mark.faults("prepare_data with settings that are refused, over good data")
def test_settings_that_are_refused_leave_good_data(entry, tmp_path):
    data = tmp_path / "data"
    prepare("mine", entry, data)
    before = {path: path.read_bytes() for path in data.iterdir()}
    with user_error(r"train split .*expected_sha256 says .*remove datasets\.mine\.expected_sha256"):
        prepare("mine", entry | {"levels": 16, "expected_sha256": {"train": "0" * 64}}, data)
    assert {path: path.read_bytes() for path in data.iterdir()} == before
