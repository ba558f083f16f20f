"""Preparing data killed or refused: nothing half-written, and the same command makes them."""

import json
from pathlib import Path

import pytest
from faults_tools import Child
from PIL import Image
from run_tools import blobs

from vaeglow.data import prepare
from vaeglow.data.arrays import SPLITS, open_split
from vaeglow.errors import UserError

pytestmark = pytest.mark.faults


@pytest.fixture
def entry(tmp_path) -> dict:
    """Settings of a folder of twelve images."""
    (tmp_path / "images").mkdir()
    for k, image in enumerate(blobs(12, 0)):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"images/{k:02}.png")
    return {"kind": "folder", "root": str(tmp_path / "images"), "size": 8, "test_fraction": 0.25}


def write_slowly() -> None:
    """In the child: the process stops for long in the middle of the second array."""
    import time

    from vaeglow.data import arrays

    plain = arrays.np.save

    def save(file, array, **options) -> None:
        if "val" in str(file.name):
            file.write(b"half")
            print("half written", flush=True)
            time.sleep(60)
        plain(file, array, **options)

    arrays.np.save = save


def job(entry: dict, data: Path, *hook) -> Child:
    command = ["python", "-m", "vaeglow.steps.prepare_data", "--name", "mine", "--settings", json.dumps(entry)]
    return Child([*command, "--output-dir", str(data), "--threads", "1"], *hook)


def test_killed_while_writing(entry, tmp_path, fault):
    with fault("SIGKILL of prepare_data"):
        child = job(entry, tmp_path / "data", write_slowly)
        child.until(lambda: "half written" in child.text())
        child.kill()
        names = {path.name for path in (tmp_path / "data").iterdir() if not path.name.startswith(".")}
        assert names == {"train.npy"}
        again = job(entry, tmp_path / "data")
        assert again.wait() == 0, again.text("stderr")
        counts = {split: len(open_split(tmp_path / "data", split)) for split in SPLITS}
        assert counts == {"train": 9, "val": 0, "test": 3}


def test_settings_that_are_refused_leave_good_data(entry, tmp_path, fault):
    data = tmp_path / "data"
    prepare("mine", entry, data)
    before = {path: path.read_bytes() for path in data.iterdir()}
    with fault("prepare_data with settings that are refused, over good data"):
        with pytest.raises(UserError, match="expected_sha256 says"):
            prepare("mine", entry | {"levels": 16, "expected_sha256": {"train": "0" * 64}}, data)
        assert {path: path.read_bytes() for path in data.iterdir()} == before
