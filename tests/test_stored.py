"""Images on disk stand for arrays in memory: the same hash, statistics and files, read a slab at a time."""

from __future__ import annotations

import numpy as np
import pytest

from vaeglow.data import stored
from vaeglow.data.arrays import array_sha256, open_split, write_dataset
from vaeglow.data.prepare import channel_statistics, quantise
from vaeglow.data.stored import StoredImages, slabs

ARRAY = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), dtype=np.uint8)


@pytest.fixture(params=[2**24, 100, 1])
def on_disk(request, tmp_path, monkeypatch) -> StoredImages:
    monkeypatch.setattr(stored, "SLAB_BYTES", request.param)
    images = StoredImages(tmp_path / "store", (3, 4, 4))
    for start in range(0, 50, 7):
        images.add(ARRAY[start : start + 7])
    return images


def test_they_are_what_the_array_is(on_disk, tmp_path):
    assert len(on_disk) == 50 and on_disk.shape == ARRAY.shape and on_disk.nbytes == ARRAY.nbytes
    assert np.array_equal(on_disk[10:20], ARRAY[10:20]) and np.array_equal(on_disk[:], ARRAY)
    assert np.array_equal(np.concatenate(list(slabs(on_disk))), ARRAY)
    assert array_sha256(on_disk) == array_sha256(ARRAY)
    assert channel_statistics(on_disk, 256) == channel_statistics(ARRAY, 256)
    assert np.array_equal(quantise(on_disk, 5)[:], quantise(ARRAY, 5)) and quantise(on_disk, 256) is on_disk
    order = np.random.default_rng(1).permutation(50)[:40]
    assert np.array_equal(on_disk.take(order)[:], ARRAY[order])
    assert list((tmp_path / "store").iterdir()) == []  # no name on disk, so nothing can be left behind


def test_they_are_written_as_numpy_would(on_disk, tmp_path):
    splits = {"train": on_disk, "val": StoredImages(tmp_path / "store", (3, 4, 4)), "test": ARRAY[:3]}
    about = dict.fromkeys(("name", "kind"), "x") | {"channels": 3, "size": 4, "levels": 256}
    write_dataset(tmp_path / "out", splits, about | {"mean": [0.5] * 3, "std": [0.1] * 3, "source": {}})
    for split, array in {"train": ARRAY, "val": ARRAY[:0], "test": ARRAY[:3]}.items():
        np.save(tmp_path / "plain.npy", array)
        assert (tmp_path / "out" / f"{split}.npy").read_bytes() == (tmp_path / "plain.npy").read_bytes()
        assert np.array_equal(open_split(tmp_path / "out", split), array)
