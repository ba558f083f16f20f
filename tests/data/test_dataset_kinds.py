"""From settings to arrays on disk: what all kinds share, as a function and as a command; the embedded datasets."""

import json

import numpy as np
import pytest
from PIL import Image
from run_tools import refused, shipped_config, step

from vaeglow.data import complete, digits, moments, photos, prepare, value_counts
from vaeglow.data.arrays import SPLITS, open_split, read_info
from vaeglow.errors import UserError

PHOTOS = {"kind": "photos", "size": 32, "pictures": list(photos.PICTURES), "crop_sides": [32, 48, 64, 96]}
PHOTOS |= {"train_images": 400, "val_images": 55, "test_images": 103}
DIGITS = {"kind": "digits", "channels": 1, "size": 16, "val_images": 97, "test_images": 400}


def test_prepare_writes_what_it_says(tmp_path):
    settings = PHOTOS | {"levels": 4, "channels": 1, "train_images": 40, "val_images": 0, "test_images": 10}
    info = prepare("tiny", settings, tmp_path)
    train = open_split(tmp_path, "train")
    assert info == read_info(tmp_path) and train.shape == (40, 1, 32, 32) and set(np.unique(train)) == {0, 1, 2, 3}
    wanted = {"name": "tiny", "kind": "photos", "size": 32, "levels": 4, "counts": {"train": 40, "val": 0, "test": 10}}
    assert wanted.items() <= info.items() and (info["mean"], info["std"]) == moments(value_counts(train, 4))
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
        (PHOTOS | {"pictures": ["astronaut", "chelsey"]}, "did you mean 'chelsea'"),
        (PHOTOS | {"expected_sha256": {"tests": ""}}, "did you mean 'test'"),
    ],
)
def test_settings_errors(settings, says):
    with pytest.raises(UserError, match=says):
        complete("mine", settings)


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


@pytest.fixture(scope="module")
def crops():
    """Of every image of every split."""
    return photos.plan(complete("mine", PHOTOS))[2]


def test_photos_have_the_asked_shapes_and_every_picture(crops):
    splits, _ = photos.build(complete("mine", PHOTOS))
    for split in SPLITS:
        count = PHOTOS[f"{split}_images"]
        assert splits[split].shape == (count, 3, 32, 32) and splits[split].dtype == np.uint8
        assert len(crops[split]) == count and len({c.side for c in crops[split]}) == 4
        assert splits[split].std(axis=(2, 3)).max(axis=1).min() > 2  # none is nearly blank


def test_splits_come_from_disjoint_regions(crops):
    for name in PHOTOS["pictures"]:
        size = photos.load_picture(name, 3).size
        seen = np.zeros((3, *size), dtype=bool)
        for k, split in enumerate(SPLITS):
            for c in (c for c in crops[split] if c.picture == name):
                assert c.x >= 0 and c.y >= 0 and c.x + c.side <= size[0] and c.y + c.side <= size[1]
                seen[k, c.x : c.x + c.side, c.y : c.y + c.side] = True
            assert seen[k].any()
        assert seen.sum(0).max() == 1


def test_first_and_evenly_spaced_images_are_a_fair_subset(crops):
    names = PHOTOS["pictures"]
    for split, n in (("train", 10), ("train", 237), *((split, PHOTOS[f"{split}_images"]) for split in SPLITS)):
        first = [c.picture for c in crops[split][:n]]
        shares = [first.count(name) for name in names]
        assert sum(shares) == n and max(shares) - min(shares) <= 1
    spaced = [crop.picture for crop in crops["train"][:: len(names)]]  # turns in a fixed order: one picture only
    assert len(set(spaced)) >= 0.8 * len(names)


def test_grid_shares_blocks_and_drops_sides_too_large():
    grid = photos.make_grid("any", (300, 200), [32, 64, 128], seed=3)
    assert grid.sides == (32, 64) and grid.width >= 64 and grid.height >= 64
    dealt = sorted(b for blocks in grid.blocks.values() for b in blocks)
    assert dealt == list(range(grid.columns * grid.rows))
    assert len(grid.blocks["train"]) > len(grid.blocks["test"]) > 0 and len(grid.blocks["val"]) > 0


def test_photos_settings_that_cannot_be_met_and_an_altered_or_missing_picture(monkeypatch):
    for sides, says in (([16, 32], "32 .* or more"), ([900], "too small for crops of 900")):
        with pytest.raises(UserError, match=says):
            photos.plan(complete("mine", PHOTOS | {"crop_sides": sides}))
    for name in ("chelsea", "gone"):
        monkeypatch.setitem(photos.PICTURES, name, ("skimage", "png", "credit"))
        monkeypatch.setitem(photos.SHA256, name, photos.SHA256["coffee"])
        with pytest.raises(UserError, match=rf"picture {name}: .*/{name}.png is missing or not .*scikit-image"):
            photos.load_picture(name, 3)


def test_digits_are_dealt_out_whole_and_enlarged():
    splits, _ = digits.build(complete("digits", DIGITS))
    assert [splits[split].shape for split in SPLITS] == [(n, 1, 16, 16) for n in (1300, 97, 400)]
    images = np.concatenate(list(splits.values()))
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) > 1780  # no image in two splits; a few are twins
    other, _ = digits.build(complete("digits", {**DIGITS, "split_seed": 1}))
    assert not np.array_equal(other["test"], splits["test"])
    with pytest.raises(UserError, match=r"is 1797 of 1797 digits: at least one must train"):
        digits.build(complete("digits", {**DIGITS, "test_images": 1700}))
