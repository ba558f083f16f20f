"""From settings to arrays on disk: what all kinds share, in Python and as a command; embedded data; own arrays."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from run_tools import refused, shipped_config, step

from vaeglow.data import arrays, complete, digits, moments, photos, prepare, value_counts
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


DRAW = np.random.default_rng(0)
TRAIN, TEST = (DRAW.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8) for count in (20, 6))
GOOD = {"train": TRAIN, "test": TEST}


def made(tmp_path: Path, content: dict[str, np.ndarray], **settings) -> Path:
    np.savez_compressed(tmp_path / "mine.npz", **content)
    return prepared(tmp_path, **settings)


def prepared(tmp_path: Path, **settings) -> Path:
    prepare("mine", {"kind": "npz", "file": str(tmp_path / "mine.npz"), "size": 8, **settings}, tmp_path / "out")
    return tmp_path / "out"


def same_images(one: np.ndarray, other: np.ndarray) -> bool:
    """In any order."""
    return sorted(image.tobytes() for image in one) == sorted(image.tobytes() for image in other)


def refused_file(tmp_path: Path, **settings) -> str:
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
    assert re.search(says, refused_file(tmp_path, **settings))


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
    line = refused_file(tmp_path)
    assert says in line and str(path) in line
