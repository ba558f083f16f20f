"""Dataset kind `digits`."""

from __future__ import annotations

import numpy as np
import pytest

from vaeglow.data.arrays import open_split, read_info
from vaeglow.data.prepare import prepare
from vaeglow.errors import UserError

DIGITS = {"kind": "digits", "channels": 1, "size": 16, "val_images": 97, "test_images": 400}


def test_digits_are_dealt_out_whole_and_enlarged(tmp_path):
    prepare("digits", DIGITS, tmp_path)
    info = read_info(tmp_path)
    assert info["counts"] == {"train": 1300, "val": 97, "test": 400} and info["channels"] == 1
    splits = [open_split(tmp_path, split) for split in ("train", "val", "test")]
    images = np.concatenate(splits)
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) > 1780  # no image in two splits; a few are twins
    assert images.min() == 0 and images.max() == 255
    prepare("digits", {**DIGITS, "split_seed": 1}, tmp_path / "other")
    assert not np.array_equal(open_split(tmp_path / "other", "test"), splits[2])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"channels": 3}, "grey"), ({"test_images": 1700}, "1797"), ({"test_images": 0}, "must test")],
)
def test_digits_refuse_what_they_cannot_be(change, message, tmp_path):
    with pytest.raises(UserError, match=message):
        prepare("digits", {**DIGITS, **change}, tmp_path)
