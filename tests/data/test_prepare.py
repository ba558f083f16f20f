"""From settings to arrays on disk: for every kind, and as a command."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image
from run_tools import refused, shipped_config, step
from test_photos import PHOTOS
from waiting import ROOT, call

from vaeglow.config.check import check_config
from vaeglow.data.arrays import SPLITS, open_split, read_info
from vaeglow.data.kinds import KINDS, complete, prepare
from vaeglow.errors import UserError


def test_prepare_writes_what_it_says(tmp_path):
    settings = PHOTOS | {"levels": 4, "train_images": 40, "val_images": 0, "test_images": 10}
    prepare("tiny", settings, tmp_path)
    info, train = read_info(tmp_path), open_split(tmp_path, "train")
    assert (info["name"], info["kind"], info["size"], info["levels"]) == ("tiny", "photos", 32, 4)
    assert info["counts"] == {"train": 40, "val": 0, "test": 10} and set(np.unique(train)) == {0, 1, 2, 3}
    centred = (train.astype(np.float64) + 0.5) / 4
    assert info["mean"] == pytest.approx(centred.mean(axis=(0, 2, 3)), abs=1e-8)
    assert info["std"] == pytest.approx(centred.std(axis=(0, 2, 3)), abs=1e-8)
    assert "danielbuechele" in info["source"]["pictures"]["china"]["credit"]

    hashes = info["sha256"]
    prepare("tiny", settings | {"expected_sha256": hashes}, tmp_path / "again")
    with pytest.raises(UserError, match=r"test split .*JPEG decoder.*remove datasets\.tiny\.expected_sha256"):
        prepare("tiny", settings | {"expected_sha256": hashes | {"test": "0" * 64}}, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["photos32", "photos64", "digits32"])
def test_the_embedded_datasets_are_those_pinned_in_config(name, tmp_path):
    settings = {k: value for k, value in shipped_config()["datasets"][name].items() if k != "models"}
    assert set(settings["expected_sha256"]) == set(SPLITS)
    prepare(name, settings, tmp_path)
    assert read_info(tmp_path)["sha256"] == settings["expected_sha256"]
    prepare(name, settings | {"expected_sha256": None, "test_images": 3}, tmp_path)  # null accepts others
    assert len(open_split(tmp_path, "test")) == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "photo"}, "no kind 'photo': the kinds are photos, digits"),
        ({"kind": "celeba", "size": 8, "source": ["x"]}, "datasets.mine.source' .did you mean 'sources'"),
        ({"kind": "folder", "size": 8}, "lacks the key 'root'"),
        (PHOTOS | {"crop_side": [3]}, "did you mean 'crop_sides'"),
        (PHOTOS | {"channels": 2}, "datasets.mine.channels"),
        (PHOTOS | {"levels": 1}, "datasets.mine.levels"),
        (PHOTOS | {"expected_sha256": {"tests": ""}}, "did you mean 'test'"),
    ],
)
def test_settings_errors(settings, says):
    with pytest.raises(UserError, match=says):
        complete("mine", settings)


def test_the_config_is_checked_by_the_same_schema():
    config = shipped_config()
    paths = ROOT / "workflow/schemas/config.schema.yaml", ROOT / "resources/published.csv"
    mine = {"kind": "npz", "file": "mine.npz", "size": 32, "val_images": 10, "train_subset": 5}
    config["datasets"]["mine"] = mine
    check_config(config, *paths)
    for change, says in (({"root": "x"}, "root"), ({"file": 3}, "file"), ({"sources": ["x"]}, "sources")):
        config["datasets"]["mine"] = mine | change
        with pytest.raises(UserError, match=rf"datasets\.mine.*{says}"):
            check_config(config, *paths)


def test_every_key_of_a_kind_is_described():
    for module in KINDS.values():
        for key, schema in module.SCHEMA.items():
            assert "const" in schema or schema["description"], key


def test_kinds_are_light_to_import():
    heavy = {"torch", "torchvision", "sklearn", "skimage", "scipy", "pandas"}
    done = call([sys.executable, "-c", f"import sys, vaeglow.data.kinds; print(*({heavy!r} & set(sys.modules)))"])
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_step_end_to_end(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(10):
        Image.new("RGB", (40 + i, 50), (i, 2 * i, 3 * i)).save(tmp_path / "images" / f"{i}.png")
    (tmp_path / "images" / "bad.png").write_bytes(b"nothing")
    settings = {"kind": "folder", "root": str(tmp_path / "images"), "size": 8, "test_fraction": 0.2}
    flags = ["prepare_data", "--name", "mine", "--threads", "2", "--output-dir", str(tmp_path / "out"), "--settings"]
    assert "bad.png" in refused(step(*flags, json.dumps(settings))) and not list((tmp_path / "out").iterdir())

    done = step(*flags, json.dumps(settings | {"on_broken": "skip"}))
    assert done.returncode == 0 and "skipped bad.png: not an image" in done.stdout, done.stderr
    assert done.stdout.endswith("mine: 8 train, 0 val, 2 test images of 3x8x8; 1 broken files skipped\n")
    train, test = open_split(tmp_path / "out", "train"), open_split(tmp_path / "out", "test")
    colours = sorted(tuple(image[:, 0, 0].tolist()) for image in (*train, *test))
    assert colours == [(i, 2 * i, 3 * i) for i in range(10)]
