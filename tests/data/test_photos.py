"""The embedded datasets: kinds `photos` and `digits`."""

from __future__ import annotations

import numpy as np
import pytest

from vaeglow.data import digits, photos
from vaeglow.data.arrays import SPLITS, open_split, read_info
from vaeglow.data.kinds import complete, prepare
from vaeglow.errors import UserError

PHOTOS = {
    "kind": "photos",
    "size": 32,
    "pictures": list(photos.PICTURES),
    "crop_sides": [32, 48, 64, 96],
    "train_images": 400,
    "val_images": 55,
    "test_images": 103,
}
DIGITS = {"kind": "digits", "channels": 1, "size": 16, "val_images": 97, "test_images": 400}


def build(**changes):
    """The splits, and each image's crop."""
    settings = complete("mine", PHOTOS | changes)
    return photos.build(settings)[0], photos.plan(settings)[2]


@pytest.fixture(scope="module")
def built():
    return build()


def test_photos_have_the_asked_shapes_and_every_picture(built):
    splits, crops = built
    for split in SPLITS:
        count = PHOTOS[f"{split}_images"]
        assert splits[split].shape == (count, 3, 32, 32) and splits[split].dtype == np.uint8
        per_picture = [sum(c.picture == name for c in crops[split]) for name in PHOTOS["pictures"]]
        assert sum(per_picture) == count and max(per_picture) - min(per_picture) <= 1
        assert len({c.side for c in crops[split]}) == 4
        assert splits[split].std(axis=(2, 3)).max(axis=1).min() > 2  # none is nearly blank


def test_splits_come_from_disjoint_regions(built):
    for name in PHOTOS["pictures"]:
        size = photos.load_picture(name, 3).size
        seen = np.zeros((3, *size), dtype=bool)
        for k, split in enumerate(SPLITS):
            for c in (c for c in built[1][split] if c.picture == name):
                assert c.x >= 0 and c.y >= 0 and c.x + c.side <= size[0] and c.y + c.side <= size[1]
                seen[k, c.x : c.x + c.side, c.y : c.y + c.side] = True
            assert seen[k].any()
        assert seen.sum(0).max() == 1


def test_images_show_the_crop_they_claim(built):
    splits, crops = built
    unscaled = [i for i, c in enumerate(crops["test"]) if c.side == 32]
    assert unscaled
    for i in unscaled:
        c = crops["test"][i]
        whole = np.asarray(photos.load_picture(c.picture, 3))
        assert np.array_equal(splits["test"][i].transpose(1, 2, 0), whole[c.y : c.y + 32, c.x : c.x + 32])


def test_photos_depend_on_the_seed_only(built):
    again, other = build(), build(split_seed=1)
    for split in SPLITS:
        assert np.array_equal(again[0][split], built[0][split]) and again[1][split] == built[1][split]
        assert set(other[1][split]) != set(built[1][split])


def test_first_and_evenly_spaced_images_are_a_fair_subset(built):
    crops, names = built[1]["train"], PHOTOS["pictures"]
    for n in (10, 100, 237):
        first = [c.picture for c in crops[:n]]
        shares = [first.count(name) for name in names]
        assert max(shares) - min(shares) <= 1
    sides = [c.side for c in crops[:200]]
    assert all(25 <= sides.count(side) <= 75 for side in PHOTOS["crop_sides"])
    spaced = [crop.picture for crop in crops[:: len(names)]]  # turns in a fixed order: one picture only
    assert len(set(spaced)) >= 0.8 * len(names)


def test_grey_crops_without_val():
    splits, _ = build(channels=1, size=64, crop_sides=[64, 80], val_images=0, train_images=40)
    assert splits["train"].shape == (40, 1, 64, 64) and splits["val"].shape == (0, 1, 64, 64)


def test_grid_shares_blocks_and_drops_sides_too_large():
    grid = photos.make_grid("any", (300, 200), [32, 64, 128], seed=3)
    assert grid.sides == (32, 64) and grid.width >= 64 and grid.height >= 64
    dealt = sorted(b for blocks in grid.blocks.values() for b in blocks)
    assert dealt == list(range(grid.columns * grid.rows))
    assert len(grid.blocks["train"]) > len(grid.blocks["test"]) > 0 and len(grid.blocks["val"]) > 0
    with pytest.raises(UserError, match=r"any .300x200. is too small for crops of 128"):
        photos.make_grid("any", (300, 200), [128, 160], seed=3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pictures": ["astronaut", "chelsey"]}, "did you mean 'chelsea'"),
        ({"pictures": ["zzz"]}, "choose from astronaut"),
        ({"pictures": ["china", "china"]}, "non-unique"),
        ({"crop_sides": [16, 32]}, "32 .* or more"),
        ({"crop_sides": [900]}, "too small for crops of 900"),
    ],
)
def test_photos_settings_that_cannot_be_met(change, says):
    with pytest.raises(UserError, match=says):
        build(**change)


@pytest.mark.parametrize("file", ["skimage/data/chelsea.png", "skimage/data/gone.png"])
def test_altered_or_missing_picture_names_it_and_its_package(monkeypatch, file):
    monkeypatch.setitem(photos.PICTURES, "coffee", (file, "credit"))
    with pytest.raises(UserError, match=rf"picture coffee: .*/{file} is missing or not the expected .*scikit-image"):
        build()


def test_digits_are_dealt_out_whole_and_enlarged(tmp_path):
    prepare("digits", DIGITS, tmp_path)
    info = read_info(tmp_path)
    assert info["counts"] == {"train": 1300, "val": 97, "test": 400} and info["channels"] == 1
    splits = [open_split(tmp_path, split) for split in SPLITS]
    images = np.concatenate(splits)
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) > 1780  # no image in two splits; a few are twins
    assert images.min() == 0 and images.max() == 255
    prepare("digits", {**DIGITS, "split_seed": 1}, tmp_path / "other")
    assert not np.array_equal(open_split(tmp_path / "other", "test"), splits[2])


def test_digits_that_do_not_suffice():
    with pytest.raises(UserError, match=r"is 1797 of 1797 digits: at least one must train"):
        digits.build(complete("digits", {**DIGITS, "test_images": 1700}))
