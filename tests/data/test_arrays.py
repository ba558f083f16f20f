"""The prepared form of a dataset: written whole, read back checked, larger than memory if need be; its inspection."""

import hashlib
import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from data_tools import prepared
from fid_tools import one_line
from PIL import Image
from pytest import approx
from refusals import user_error
from run_tools import run_step

from vaeglow.data import arrays, moments, value_counts
from vaeglow.data.arrays import SPLITS, array_sha256, on_disk, open_split, read_info, write_dataset
from vaeglow.files import sha256_json, write_json
from vaeglow.steps import inspect_data
from vaeglow.steps.inspect_data import inspect


def splits_of(channels: int = 3, size: int = 8, levels: int = 256) -> dict[str, np.ndarray]:
    """60 training images, no val, 7 test: the last training image twice, the first test image from train."""
    draw = np.random.default_rng(0)
    train = draw.integers(1, levels, (60, channels, size, size), dtype=np.uint8)
    test = draw.integers(1, levels, (7, channels, size, size), dtype=np.uint8)
    train[-1] = train[-2]
    train[0, 0, 0, 0] = 0
    test[0] = train[5]
    return {
        "train": train,
        "val": train[:0],
        "test": test,
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    """A tiny prepared dataset."""
    return prepared(tmp_path / "mine", **splits_of())


def test_arrays_come_back_read_only(folder):
    info = read_info(folder)
    for split, wanted in splits_of().items():
        array = open_split(folder, split)
        assert np.array_equal(array, wanted)
        assert not array.flags.writeable
        assert (info["counts"][split], info["sha256"][split]) == (len(array), array_sha256(array))
    assert {path.name for path in folder.iterdir()} == {"dataset.json", "test.npy", "train.npy", "val.npy"}


def test_hash_sees_values_shape_and_type_but_not_layout():
    array = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    digest = hashlib.sha256(b'["<u2", [2, 3, 4]]' + array.tobytes()).hexdigest()
    for alike in (array, np.asfortranarray(array), array.astype(">u2")):
        assert array_sha256(alike) == digest


@pytest.mark.parametrize("slab", [2**24, 100, 1])
def test_an_array_on_disk_is_like_one_in_memory(tmp_path, monkeypatch, slab):
    monkeypatch.setattr(arrays, "SLAB_BYTES", slab)
    array = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    stored = on_disk(tmp_path / "store", array.shape)
    stored[:] = array
    assert list((tmp_path / "store").iterdir()) == []  # no name on disk, so nothing can be left behind
    assert array_sha256(stored) == hashlib.sha256(b'["|u1", [50, 3, 4, 4]]' + array.tobytes()).hexdigest()
    mean, std = moments(value_counts(stored, 256))
    centred = (array + 0.5) / 256
    assert mean == approx(centred.mean((0, 2, 3)), 1e-8)
    assert std == approx(centred.std((0, 2, 3)), 1e-8)
    assert on_disk(tmp_path, (0, 3, 4, 4)).shape == (0, 3, 4, 4)


DAMAGE = [
    (lambda train, _: train.unlink(), "No such file"),
    (lambda train, _: train.write_bytes(train.read_bytes()[:-7]), "not a whole array"),
    (lambda train, _: train.write_bytes(b""), "not a whole array"),
    (
        lambda train, _: np.save(train, np.load(train)[::-1]),
        "has changed since it was prepared (its sha256 is not dataset.json's): delete the folder and prepare the data",
    ),
    (lambda _, info: info.write_text('{"name": "x"}'), "lacks kind"),
]


@pytest.mark.parametrize("damage, says", DAMAGE)
def test_damaged_data_is_one_clear_line(folder, damage, says):
    damage(folder / "train.npy", folder / "dataset.json")
    with user_error(one_line(str(folder), says)):
        open_split(folder, "train")


def test_a_failed_write_leaves_no_description(folder, monkeypatch):
    info = read_info(folder)
    monkeypatch.setattr(np, "save", Mock(side_effect=OSError(28, "No space left on device")))
    with user_error("disk is full"):
        write_dataset(folder, splits_of(), info)
    assert {path.name for path in folder.iterdir()} == {"test.npy", "train.npy", "val.npy"}


@pytest.mark.parametrize("channels, levels", [(3, 256), (1, 4)])
def test_the_numbers(tmp_path, channels, levels):
    splits = splits_of(channels, 8, levels)
    info = read_info(prepared(tmp_path / "mine", levels, **splits))
    inspected = inspect(tmp_path / "mine")
    assert inspected["data_sha256"] == sha256_json(info["sha256"])
    train, val, test = (inspected["splits"][split] for split in SPLITS)
    assert val == {
        "count": 0,
        "sha256": info["sha256"]["val"],
        "repeated": 0,
        "in_train": 0,
    }
    assert (train["repeated"], test["repeated"], test["in_train"]) == (1, 0, 1)
    by_channel = np.moveaxis(splits["test"], 1, 0).reshape(channels, -1)
    assert test["lowest"] == by_channel.min(1).tolist()
    assert test["highest"] == by_channel.max(1).tolist()
    assert test["mean"] == approx((by_channel.mean(1) + 0.5) / levels, abs=1e-8)
    assert test["histogram"] == [np.bincount(values, minlength=levels).tolist() for values in by_channel]


@pytest.mark.parametrize("channels, size, levels", [(3, 8, 256), (1, 28, 4), (3, 700, 256)])
def test_the_page_shows_the_images_the_numbers_and_the_histograms(tmp_path, channels, size, levels):
    splits = splits_of(channels, size, levels)
    folder = prepared(tmp_path / "mine", levels, **{split: images[:7] for split, images in splits.items()})
    inspected = inspect(folder)
    numbers = tmp_path / "mine.json"
    write_json(numbers, inspected)
    figure = inspect_data.draw(numbers, folder)
    charts = figure.axes[2:]
    assert len(charts) == channels
    shown = figure.axes[1].images[0].get_array()
    first = splits["test"][0].astype(int) * 255 // (levels - 1)
    assert (shown[:size, :size] == first.transpose(1, 2, 0)).all()
    counts = np.array(inspected["splits"]["test"]["histogram"][0])
    assert np.allclose(charts[0].lines[1].get_ydata(), counts / counts.sum())
    text = "\n".join(part.get_text() for part in figure.texts)
    assert "train: 7 images" in text
    assert "val:" not in text


def test_the_step_writes_numbers_and_page(folder, tmp_path, capsys):
    numbers = tmp_path / "out/mine.json"
    page = tmp_path / "out/mine.png"
    run_step("inspect_data", data_dir=folder, output=[numbers, page])
    printed = capsys.readouterr().out
    assert "mine train: 60 images" in printed
    assert "1 are in train, too" in printed
    assert json.loads(numbers.read_text())["splits"] == inspect(folder)["splits"]
    assert np.asarray(Image.open(page).convert("RGB")).std() > 5
    np.save(folder / "test.npy", np.load(folder / "test.npy")[::-1])
    with user_error(r"test\.npy has changed"):
        run_step("inspect_data", data_dir=folder, output=[tmp_path / "other.json", tmp_path / "other.png"])
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "out"}
