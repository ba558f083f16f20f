"""The prepared form of a dataset: written whole, read back checked, larger than memory if need be; its inspection."""

import hashlib
import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from run_tools import flags, step

from vaeglow.data import arrays, moments, value_counts
from vaeglow.data.arrays import SPLITS, array_sha256, on_disk, open_split, read_info, slabs, write_dataset
from vaeglow.errors import UserError
from vaeglow.files import sha256_file, sha256_json, write_json
from vaeglow.reporting.style import image_grid, lettered
from vaeglow.steps import inspect_data
from vaeglow.steps.inspect_data import inspect


@pytest.fixture
def dataset(tmp_path) -> tuple[Path, dict[str, np.ndarray]]:
    """A tiny prepared dataset."""
    splits = splits_of(3, 4, 256)
    return written(tmp_path, splits), splits


def test_arrays_come_back_read_only(dataset):
    folder, splits = dataset
    info = read_info(folder)
    for split in SPLITS:
        array = open_split(folder, split)
        assert np.array_equal(array, splits[split]) and not array.flags.writeable
        assert (info["counts"][split], info["sha256"][split]) == (len(array), array_sha256(splits[split]))
    assert sorted(p.name for p in folder.iterdir()) == ["dataset.json", "test.npy", "train.npy", "val.npy"]


def test_hash_sees_values_shape_and_type_but_not_layout():
    a = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    assert array_sha256(a) == array_sha256(np.asfortranarray(a)) == array_sha256(a.astype(">u2"))
    others = [a.reshape(3, 2, 4), a.astype(np.uint32), a + 1, a[:1], a[:0]]
    assert len({array_sha256(x) for x in [a, *others]}) == 6
    large = np.arange(20_000_000, dtype=np.uint8).reshape(-1, 10)  # more than is read at a time
    header = b'["|u1", [2000000, 10]]'
    assert array_sha256(large) == hashlib.sha256(header + large.tobytes()).hexdigest()


@pytest.mark.parametrize("slab", [2**24, 100, 1])
def test_an_array_on_disk_is_like_one_in_memory(tmp_path, monkeypatch, slab):
    monkeypatch.setattr(arrays, "SLAB_BYTES", slab)
    array = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)
    stored = on_disk(tmp_path / "store", array.shape)
    stored[:] = array
    assert list((tmp_path / "store").iterdir()) == []  # no name on disk, so nothing can be left behind
    assert np.array_equal(np.concatenate(list(slabs(stored))), array) and array_sha256(stored) == array_sha256(array)
    found = moments(value_counts(stored, 256))
    centred = (array + 0.5) / 256
    assert found == (pytest.approx(centred.mean((0, 2, 3)), 1e-8), pytest.approx(centred.std((0, 2, 3)), 1e-8))
    splits = {"train": stored[:40], "val": on_disk(tmp_path, (0, 3, 4, 4)), "test": stored[40:]}
    assert np.array_equal(open_split(written(tmp_path / "out", splits), "train"), array[:40])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "train.npy").unlink(), "No such file"),
        (lambda f: (f / "train.npy").write_bytes((f / "train.npy").read_bytes()[:-7]), "not a whole array"),
        (lambda f: (f / "train.npy").write_bytes(b""), "not a whole array"),
        (lambda f: np.save(f / "train.npy", np.load(f / "train.npy")[::-1]), "changed .*prepare the data again"),
        (lambda f: (f / "dataset.json").write_text('{"name": "x"}'), "lacks kind"),
    ],
)
def test_damaged_data_is_one_clear_line(dataset, damage, says):
    folder, _ = dataset
    damage(folder)
    with pytest.raises(UserError, match=says) as caught:
        open_split(folder, "train")
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_a_failed_write_leaves_no_description(dataset, monkeypatch):
    folder, splits = dataset
    info = read_info(folder)
    monkeypatch.setattr(np, "save", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="disk is full"):
        write_dataset(folder, splits, info)
    assert sorted(path.name for path in folder.iterdir()) == ["test.npy", "train.npy", "val.npy"]


Splits = dict[str, np.ndarray]


def splits_of(channels: int, size: int, levels: int) -> Splits:
    """60 training images, no val, 7 test: the last training image twice, the first test image from train."""
    draw = np.random.default_rng(0)
    train, test = (draw.integers(1, levels, (n, channels, size, size), dtype=np.uint8) for n in (60, 7))
    train[-1], test[0] = train[-2], train[5]
    train[0, 0, 0, 0] = 0
    return {"train": train, "val": train[:0], "test": test}


def written(folder: Path, splits: Splits, levels: int = 256) -> Path:
    channels, size = splits["train"].shape[1:3]
    about = {"name": folder.name, "kind": "folder", "channels": channels, "size": size, "levels": levels}
    write_dataset(folder, splits, about | {"mean": [0.5] * channels, "std": [0.1] * channels, "source": {"root": "x"}})
    return folder


@pytest.mark.parametrize(("channels", "levels"), [(3, 256), (1, 4)])
def test_the_numbers(tmp_path, channels, levels):
    splits = splits_of(channels, 8, levels)
    folder = written(tmp_path / "mine", splits, levels)
    found, info = inspect(folder), read_info(folder)
    assert (found["dataset"], found["kind"], found["levels"]) == ("mine", "folder", levels)
    assert found["data_sha256"] == sha256_json(info["sha256"]) and found["source"] == {"root": "x"}
    assert {split: about["count"] for split, about in found["splits"].items()} == info["counts"]
    assert set(found["splits"]["val"]) == {"count", "sha256", "repeated", "in_train"}
    for split in ("train", "test"):
        about, by_channel = found["splits"][split], np.moveaxis(splits[split], 1, 0).reshape(channels, -1)
        assert about["lowest"] == by_channel.min(1).tolist() and about["highest"] == by_channel.max(1).tolist()
        assert about["mean"] == pytest.approx(((by_channel + 0.5) / levels).mean(1), abs=1e-8)
        assert about["std"] == pytest.approx(((by_channel + 0.5) / levels).std(1), abs=1e-8)
        assert about["histogram"] == [np.bincount(values, minlength=levels).tolist() for values in by_channel]
    assert (found["splits"]["train"]["repeated"], found["splits"]["test"]["repeated"]) == (1, 0)
    assert found["splits"]["test"]["in_train"] == 1 and "in_train" not in found["splits"]["train"]


@pytest.mark.parametrize(("channels", "size", "levels"), [(3, 8, 256), (1, 28, 4), (3, 700, 256)])
def test_the_page_shows_the_images_the_numbers_and_the_histograms(tmp_path, channels, size, levels):
    splits = {split: array[: 5 if size > 100 else 60] for split, array in splits_of(channels, size, levels).items()}
    folder = written(tmp_path / "mine", splits, levels)
    found = inspect(folder) | {"provenance": {"commit": "0123456789abcdef", "dirty": False}}
    write_json(tmp_path / "mine.json", found)
    figure = inspect_data.draw(tmp_path / "mine.json", folder)
    grids, charts = figure.axes[:2], figure.axes[2:]
    for grid, split in zip(grids, ("train", "test"), strict=True):
        shown = grid.images[0].get_array()
        first = (splits[split][0].astype(int) * 255 // (levels - 1)).transpose(1, 2, 0)
        assert np.array_equal(shown[:size, :size], np.broadcast_to(first, (size, size, 3)))
        images = inspect_data.images_of(folder, split, levels)
        assert np.array_equal(shown, image_grid(images)) and len(images) <= inspect_data.LINES
    assert [axes.get_title(loc="left") for axes in charts] == lettered(inspect_data.CHANNELS[channels])
    for channel, axes in enumerate(charts):
        for line, split in zip(axes.lines, ("train", "test"), strict=True):
            counts = np.array(found["splits"][split]["histogram"][channel])
            assert np.allclose(line.get_ydata(), counts / counts.sum())
    said = "\n".join(text.get_text() for text in figure.texts)
    assert f"train: {len(splits['train'])} images" in said and "val:" not in said and "0123456789" in said
    assert json.loads(figure.get_label()) == {str(tmp_path / "mine.json"): sha256_file(tmp_path / "mine.json")}


def test_the_step_writes_numbers_and_page(tmp_path):
    folder = written(tmp_path / "mine", splits_of(3, 8, 256))
    outputs = [tmp_path / "out" / "mine.json", tmp_path / "out" / "mine.png"]
    done = step("inspect_data", *flags(data_dir=folder, output=outputs))
    assert done.returncode == 0, done.stderr
    assert "mine train: 60 images" in done.stdout and "1 are in train, too" in done.stdout
    found = json.loads(outputs[0].read_text())
    assert found["splits"] == inspect(folder)["splits"]
    assert np.asarray(Image.open(outputs[1]).convert("RGB")).std() > 5
    np.save(folder / "test.npy", np.load(folder / "test.npy")[::-1])
    with pytest.raises(UserError, match=r"test\.npy has changed"):
        inspect_data.main(flags(data_dir=folder, output=[tmp_path / "other.json", tmp_path / "other.png"]))
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "out"}
