"""Dataset kind `npz`: the user's own arrays."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from run_tools import ROOT, shipped_config

from vaeglow.config.check import check_config
from vaeglow.data import stored
from vaeglow.data.arrays import open_split, read_info
from vaeglow.data.prepare import prepare
from vaeglow.errors import UserError

DRAW = np.random.default_rng(0)
TRAIN, TEST = (DRAW.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8) for count in (20, 6))


def made(tmp_path: Path, arrays: dict[str, np.ndarray], **settings) -> Path:
    np.savez_compressed(tmp_path / "mine.npz", **arrays)
    return prepared(tmp_path, **settings)


def prepared(tmp_path: Path, **settings) -> Path:
    prepare("mine", {"kind": "npz", "file": str(tmp_path / "mine.npz"), "size": 8, **settings}, tmp_path / "out")
    return tmp_path / "out"


def same_images(one: np.ndarray, other: np.ndarray) -> bool:
    """In any order."""
    return sorted(image.tobytes() for image in one) == sorted(image.tobytes() for image in other)


def refused(tmp_path: Path, **settings) -> str:
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, **settings)
    assert "\n" not in str(caught.value) and "mine.npz" in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    return str(caught.value)


@pytest.mark.parametrize("slab", [2**24, 500])  # bytes read at a time
def test_train_is_shuffled_and_val_taken_off_it(tmp_path, monkeypatch, slab):
    monkeypatch.setattr(stored, "SLAB_BYTES", slab)
    folder = made(tmp_path, {"train": TRAIN, "test": TEST, "labels": np.arange(20)}, val_images=5)
    train, val, test = (open_split(folder, split) for split in ("train", "val", "test"))
    assert (len(train), len(val)) == (15, 5) and same_images(np.concatenate([train, val]), TRAIN)
    assert not np.array_equal(train, TRAIN[:15]) and np.array_equal(test, TEST)
    assert read_info(folder)["source"]["arrays_ignored"] == ["labels"]
    again = made(tmp_path, {"train": TRAIN, "test": TEST}, val_images=5, split_seed=1)
    assert not np.array_equal(open_split(again, "train"), train)


def test_a_val_array_is_taken_as_it_is(tmp_path):
    folder = made(tmp_path, {"train": TRAIN, "val": TEST[:2], "test": TEST[2:]})
    assert np.array_equal(open_split(folder, "val"), TEST[:2]) and same_images(open_split(folder, "train"), TRAIN)
    assert "an array val, so `val_images` would do nothing" in refused_after(tmp_path, val_images=3)


def refused_after(tmp_path: Path, **settings) -> str:
    """As `refused`, with the dataset of before still there."""
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, **settings)
    return str(caught.value)


def test_channels_may_come_last_and_grey_needs_none(tmp_path):
    first = made(tmp_path, {"train": TRAIN, "test": TEST})
    images = open_split(first, "train").copy()
    last = made(tmp_path, {"train": TRAIN.transpose(0, 2, 3, 1).copy(), "test": TEST.transpose(0, 2, 3, 1).copy()})
    assert np.array_equal(open_split(last, "train"), images)
    for grey in (TEST[:, 0], TEST[:, :1], TEST[:, 0, :, :, None]):
        folder = made(tmp_path, {"train": grey, "test": grey}, channels=1)
        assert np.array_equal(open_split(folder, "test"), TEST[:, :1])


def test_levels_are_taken_down(tmp_path):
    assert np.array_equal(open_split(made(tmp_path, {"train": TRAIN, "test": TEST}, levels=4), "test"), TEST // 64)


@pytest.mark.parametrize(
    ("arrays", "settings", "says"),
    [
        ({"x_train": TRAIN, "test": TEST}, {}, "has no array 'train': it has test, x_train"),
        ({"train": TRAIN}, {}, "has no array 'test': it has train"),
        ({"train": TRAIN / 255, "test": TEST}, {}, "array train is float64, not uint8"),
        ({"train": TRAIN.astype(np.int64), "test": TEST}, {}, "array train is int64, not uint8"),
        ({"train": np.asfortranarray(TRAIN), "test": TEST}, {}, "uint8 in Fortran order"),
        (
            {"train": TRAIN, "test": TEST[:0]},
            {},
            r"array test is \[0, 3, 8, 8\] where \[N, 3, 8, 8\] or \[N, 8, 8, 3\]",
        ),
        ({"train": TRAIN[..., :7], "test": TEST}, {}, r"array train is \[20, 3, 8, 7\] where"),
        ({"train": TRAIN.reshape(20, -1), "test": TEST}, {}, r"array train is \[20, 192\] where .*set `size`"),
        ({"train": TRAIN, "test": TEST}, {"channels": 1}, r"\[N, 1, 8, 8\] or \[N, 8, 8, 1\], \[N, 8, 8\] belongs"),
        ({"train": TRAIN, "test": TEST}, {"size": 16}, r"\[N, 3, 16, 16\]"),
        ({"train": TRAIN, "test": TEST}, {"val_images": 20}, r"`val_images` is 20: it must lie in 0\.\.19"),
        ({"train": TRAIN[:, :, :3, :3], "test": TEST}, {"size": 3}, "either axis could be the channels"),
    ],
)
def test_arrays_that_will_not_do(tmp_path, arrays, settings, says):
    np.savez(tmp_path / "mine.npz", **arrays)
    if "val_images" in settings:
        with pytest.raises(UserError, match=says):
            prepared(tmp_path, **settings)
        return
    assert re.search(says, refused(tmp_path, **settings))


def test_no_pickle_is_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trap"),)

    objects = np.empty(20, dtype=object)
    objects[:] = [Trap() for _ in objects]
    np.savez(tmp_path / "mine.npz", train=objects, test=TEST)
    assert "array train is object, not uint8" in refused(tmp_path) and not (tmp_path / "trap").exists()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: None, "does not exist: correct the path"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.write_bytes(b""), "no whole .npz file"),
        (lambda p: p.write_bytes(header(TRAIN.shape) + TRAIN.tobytes()), "no whole .npz file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "no whole .npz file"),
        (lambda p: flip(p), "array train is damaged"),
    ],
)
def test_damaged_files(tmp_path, make, says):
    path = tmp_path / "mine.npz"
    if says.startswith(("no whole", "array")):
        np.savez(path, train=TRAIN, test=TEST)
    make(path)
    assert says in refused(tmp_path)


def flip(path: Path) -> None:
    """One other bit among the pixels: only the zip's checksum can tell."""
    content = bytearray(path.read_bytes())
    content[content.index(TRAIN.tobytes()) + 500] ^= 1
    path.write_bytes(content)


def header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_a_header_that_says_more_than_there_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        archive.writestr("train.npy", header((10**12, 3, 8, 8)) + TRAIN.tobytes())
        archive.writestr("test.npy", header((6, 3, 8, 8)) + TEST.tobytes())
    assert "192,000,000,000,000 bytes, and has 3,840" in refused(tmp_path)


def test_a_directory_that_says_more_than_there_is(tmp_path):
    content = header((20_000_000, 3, 8, 8)) + TRAIN.tobytes()
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        archive.writestr("train.npy", content)
        archive.writestr("test.npy", header((6, 3, 8, 8)) + TEST.tobytes())
    claim = (len(content) - TRAIN.nbytes + 20_000_000 * 192).to_bytes(4, "little")
    raw = (tmp_path / "mine.npz").read_bytes()
    (tmp_path / "mine.npz").write_bytes(raw.replace(len(content).to_bytes(4, "little"), claim))
    assert "damaged" in refused(tmp_path)


def test_config_takes_it_and_says_what_is_wrong():
    schema, published = ROOT / "workflow/schemas/config.schema.yaml", ROOT / "resources/published.csv"
    mine = {"kind": "npz", "file": "mine.npz", "size": 32, "val_images": 10}
    config = shipped_config()
    config["datasets"]["mine"] = mine
    check_config(config, schema, published)
    for change, says in (({"root": "x"}, "root"), ({"file": 3}, "file"), ({"sources": ["x"]}, "sources")):
        config["datasets"]["mine"] = mine | change
        with pytest.raises(UserError, match=rf"datasets\.mine.*{says}"):
            check_config(config, schema, published)
