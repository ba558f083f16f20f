"""Dataset kind `npz`: the user's own arrays."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vaeglow.data import arrays, prepare
from vaeglow.data.arrays import open_split, read_info
from vaeglow.errors import UserError

DRAW = np.random.default_rng(0)
TRAIN, TEST = (DRAW.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8) for count in (20, 6))
GOOD = {"train": TRAIN, "test": TEST}


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
    """The one line that refuses `mine.npz`; nothing is written."""
    with pytest.raises(UserError) as caught:
        prepared(tmp_path, **settings)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    return str(caught.value)


def test_train_is_shuffled_val_taken_off_it_or_as_it_is_and_levels_are_taken_down(tmp_path, monkeypatch):
    folder = made(tmp_path, {**GOOD, "labels": np.arange(20)}, val_images=5)
    train, val, test = (open_split(folder, split) for split in ("train", "val", "test"))
    assert (len(train), len(val)) == (15, 5) and same_images(np.concatenate([train, val]), TRAIN)
    assert not np.array_equal(train, TRAIN[:15]) and np.array_equal(test, TEST)
    assert read_info(folder)["source"]["arrays_ignored"] == ["labels"]
    again = made(tmp_path, GOOD, val_images=5, split_seed=1)
    assert not np.array_equal(open_split(again, "train"), train)
    for levels, slab in ((4, 2**24), (7, 100), (2, 1)):
        monkeypatch.setattr(arrays, "SLAB_BYTES", slab)
        folder = made(tmp_path, {"train": TRAIN, "val": TEST[:2], "test": TEST[2:]}, levels=levels)
        lower_train, lower_test = ((images.astype(int) * levels // 256).astype(np.uint8) for images in (TRAIN, TEST))
        assert np.array_equal(open_split(folder, "val"), lower_test[:2])
        assert same_images(open_split(folder, "train"), lower_train)


def test_channels_may_come_last_and_grey_needs_none(tmp_path):
    images = open_split(made(tmp_path, GOOD), "train").copy()
    last = made(tmp_path, {split: array.transpose(0, 2, 3, 1).copy() for split, array in GOOD.items()})
    assert np.array_equal(open_split(last, "train"), images)
    fortran = made(tmp_path, {**GOOD, "train": np.asfortranarray(TRAIN)})
    assert np.array_equal(open_split(fortran, "train"), images)
    for grey in (TEST[:, 0], TEST[:, :1], TEST[:, 0, :, :, None]):
        folder = made(tmp_path, {"train": grey, "test": grey}, channels=1)
        assert np.array_equal(open_split(folder, "test"), TEST[:, :1])


@pytest.mark.parametrize(
    ("arrays", "settings", "says"),
    [
        ({"x_train": TRAIN, "test": TEST}, {}, "has no array 'train': it has test, x_train"),
        ({"train": TRAIN}, {}, "has no array 'test': it has train"),
        ({**GOOD, "train": TRAIN / 255}, {}, "array train is float64, not uint8"),
        ({**GOOD, "test": TEST[:0]}, {}, r"array test is \[0, 3, 8, 8\], not \[N, 3, 8, 8\], \[N, 8, 8, 3\]: set"),
        ({**GOOD, "train": TRAIN[..., :7]}, {}, r"array train is \[20, 3, 8, 7\], not"),
        (GOOD, {"channels": 1}, r"\[N, 1, 8, 8\], \[N, 8, 8, 1\], \[N, 8, 8\]:"),
        (GOOD, {"val_images": 20}, r"`val_images` is 20: it must lie in 0\.\.19"),
        ({**GOOD, "val": TEST}, {"val_images": 3}, "an array val, so `val_images` would do nothing"),
        ({**GOOD, "train": TRAIN[:, :, :3, :3]}, {"size": 3}, "which axis has the channels"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, settings, says):
    np.savez(tmp_path / "mine.npz", **arrays)
    assert re.search(says, refused(tmp_path, **settings))


def header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def claim(path: Path, images: int) -> None:
    """Train's header, and the zip's directory, claim more images than there are."""
    content = header((images, 3, 8, 8)) + TRAIN.tobytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("train.npy", content)
        archive.writestr("test.npy", header(TEST.shape) + TEST.tobytes())
    claimed = min(len(content) - TRAIN.nbytes + images * 192, 2**32 - 2).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(len(content).to_bytes(4, "little"), claimed))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p.unlink(), "(No such file or directory): correct the path"),
        (lambda p: (p.unlink(), p.mkdir()), "(Is a directory): correct the path"),
        (lambda p: p.write_bytes(header(TRAIN.shape) + TRAIN.tobytes()), "not a complete .npz file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "not a complete .npz file"),
        (lambda p: p.write_bytes(p.read_bytes().replace(TRAIN.tobytes()[:9], bytes(9))), "array train is damaged"),
        (lambda p: np.savez(p, train=np.array([{}] * 9), test=TEST), "or holds objects"),
        (lambda p: claim(p, 10**12), "array train is damaged"),
        (lambda p: claim(p, 20_000_000), "array train is damaged"),
    ],
)
def test_damaged_files(tmp_path, make, says):
    path = tmp_path / "mine.npz"
    np.savez(path, **GOOD)
    make(path)
    line = refused(tmp_path)
    assert says in line and str(path) in line
