"""The prepared form of a dataset: written whole, read back checked, larger than memory if need be."""

import hashlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from test_inspect_data import written

from vaeglow.data import arrays, moments, value_counts
from vaeglow.data.arrays import SPLITS, array_sha256, on_disk, open_split, read_info, slabs, write_dataset
from vaeglow.errors import UserError


@pytest.fixture
def dataset(tmp_path) -> tuple[Path, dict[str, np.ndarray]]:
    """A tiny prepared dataset: 6 train, no val, 3 test images of 3x4x4."""
    draw = np.random.default_rng(0)
    splits = {s: draw.integers(0, 256, (n, 3, 4, 4), dtype=np.uint8) for s, n in zip(SPLITS, (6, 0, 3), strict=True)}
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
