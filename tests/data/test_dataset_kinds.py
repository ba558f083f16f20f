"""From settings to arrays on disk: what all kinds share, in Python and as a command; embedded data; own arrays."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fid_tools import one_line
from refusals import user_error
from run_tools import flags, shipped_config
from test_folder import fill

from vaeglow.data import arrays, complete, digits, moments, photos, prepare, value_counts
from vaeglow.data.arrays import SPLITS, open_split, read_info
from vaeglow.steps import prepare_data

PHOTOS = shipped_config()["datasets"]["photos32"] | {"expected_sha256": None}
PHOTOS |= {
    "train_images": 400,
    "val_images": 55,
    "test_images": 103,
}
DIGITS = {
    "kind": "digits",
    "channels": 1,
    "size": 16,
    "val_images": 97,
    "test_images": 400,
}


def test_prepare_writes_what_it_says(tmp_path):
    counts = {
        "train": 40,
        "val": 0,
        "test": 10,
    }
    settings = PHOTOS | {f"{split}_images": count for split, count in counts.items()}
    settings |= {"levels": 4, "channels": 1}
    info = prepare("tiny", settings, tmp_path)
    train = open_split(tmp_path, "train")
    assert info == read_info(tmp_path)
    assert train.shape == (40, 1, 32, 32)
    assert set(np.unique(train)) == {0, 1, 2, 3}
    assert (info["name"], info["kind"], info["counts"]) == ("tiny", "photos", counts)
    assert (info["mean"], info["std"]) == moments(value_counts(train, 4))
    assert "danielbuechele" in info["source"]["pictures"]["china"]["credit"]


@pytest.mark.parametrize("name", ["photos32", "photos64", "digits32"])
def test_the_embedded_datasets_are_those_pinned_in_config(name, tmp_path):
    settings = shipped_config()["datasets"][name]
    settings.pop("models", None)
    assert set(settings["expected_sha256"]) == set(SPLITS)
    prepare(name, settings, tmp_path)  # else it is an error


def test_step_end_to_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    images = tmp_path / "images"
    fill(images, range(10))
    (images / "bad.png").write_bytes(b"nothing")
    settings = {
        "kind": "folder",
        "root": "~/images",
        "size": 8,
        "test_fraction": 0.2,
    }
    out = tmp_path / "out"

    def step(**more: str) -> None:
        prepare_data.main(
            flags(
                settings=json.dumps(settings | more),
                name="mine",
                threads=2,
                output_dir=out,
            )
        )

    with user_error(r"bad\.png"):
        step()
    assert not list(out.iterdir())
    step(on_broken="skip")
    printed = capsys.readouterr().out
    assert "skipped bad.png: not an image" in printed
    assert printed.endswith("mine: 8 train, 0 val, 2 test images of 3x8x8; 1 broken files skipped\n")
    pixels = np.concatenate([open_split(out, "train"), open_split(out, "test")])[:, 0, 0, 0]
    assert sorted(pixels) == [*range(10)]


@pytest.fixture(scope="module")
def crops():
    """Of every image of every split."""
    return photos.plan(complete(PHOTOS))[2]


@pytest.mark.parametrize("name", photos.PICTURES)
def test_splits_come_from_disjoint_regions(crops, name):
    seen = np.zeros((3, *photos.load_picture(name, 3).size), dtype=bool)
    for split, region in zip(SPLITS, seen, strict=True):
        own = [crop for crop in crops[split] if crop.picture == name]
        assert own
        for _, x, y, side in own:
            inside = region[x : x + side, y : y + side]
            assert inside.shape == (side, side)
            inside[:] = True
    assert seen.sum(0).max() == 1


def test_first_and_evenly_spaced_images_are_a_fair_subset(crops):
    names = PHOTOS["pictures"]
    firsts = [("train", 10), ("train", 237)]
    firsts += [(split, PHOTOS[f"{split}_images"]) for split in SPLITS]
    for split, count in firsts:
        first = [crop.picture for crop in crops[split][:count]]
        shares = [first.count(name) for name in names]
        assert sum(shares) == count
        assert max(shares) - min(shares) <= 1
    spaced = {crop.picture for crop in crops["train"][:: len(names)]}  # turns in a fixed order: one picture only
    assert len(spaced) >= 0.8 * len(names)


def test_grid_shares_blocks_and_drops_sides_too_large():
    grid = photos.make_grid("any", (300, 200), [32, 64, 128], seed=3)
    assert grid.sides == (32, 64)
    assert min(grid.width, grid.height) >= 64
    train, val, test = (grid.blocks[split] for split in SPLITS)
    assert sorted([*train, *val, *test]) == list(range(grid.columns * grid.rows))
    assert len(train) > len(test) > 0
    assert len(val) > 0


@pytest.mark.parametrize("sides, says", [([16, 32], "32 .* or more"), ([900], "too small for crops of 900")])
def test_photos_settings_that_cannot_be_met(sides, says):
    with user_error(says):
        photos.plan(complete(PHOTOS | {"crop_sides": sides}))


@pytest.mark.parametrize("name", ["chelsea", "gone"])
def test_an_altered_or_missing_picture(name, monkeypatch):
    monkeypatch.setitem(photos.PICTURES, name, ("skimage", "png", "credit", photos.PICTURES["coffee"][3]))
    with user_error(rf"picture {name}: .*/{name}.png is missing or not .*scikit-image"):
        photos.load_picture(name, 3)


def test_digits_are_dealt_out_whole_and_enlarged():
    splits, _ = digits.build(complete(DIGITS))
    assert [splits[split].shape for split in SPLITS] == [(n, 1, 16, 16) for n in (1300, 97, 400)]
    images = np.concatenate(list(splits.values())).reshape(1797, -1)
    assert len(np.unique(images, axis=0)) > 1780  # no image in two splits; a few are twins
    other, _ = digits.build(complete({**DIGITS, "split_seed": 1}))
    assert not np.array_equal(other["test"], splits["test"])
    with user_error(r"is 1797 of 1797 digits: at least one must train"):
        digits.build(complete({**DIGITS, "test_images": 1700}))


DRAW = np.random.default_rng(0)
TRAIN = DRAW.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8)
TEST = DRAW.integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
GOOD = {"train": TRAIN, "test": TEST}


def made(tmp_path: Path, content: dict[str, np.ndarray], **settings) -> dict[str, np.ndarray]:
    """The splits made of a file with this content."""
    np.savez_compressed(tmp_path / "mine.npz", **content)
    prepare_file(tmp_path, **settings)
    return {split: open_split(tmp_path / "out", split).copy() for split in SPLITS}


def prepare_file(tmp_path: Path, **settings) -> None:
    file = {
        "kind": "npz",
        "file": str(tmp_path / "mine.npz"),
        "size": 8,
    }
    prepare("mine", file | settings, tmp_path / "out")


def in_any_order(images: np.ndarray) -> list[bytes]:
    return sorted(image.tobytes() for image in images)


def refuse_file(tmp_path: Path, *words: str, **settings) -> None:
    """`mine.npz` is refused in one line with these words; nothing is written."""
    with user_error(one_line(*words)):
        prepare_file(tmp_path, **settings)
    assert not list(tmp_path.glob("out/*"))


def test_train_is_shuffled_and_val_taken_off_it(tmp_path, monkeypatch):
    splits = made(tmp_path, {**GOOD, "labels": np.arange(20)}, val_images=5)
    train, val, test = (splits[split] for split in SPLITS)
    assert (len(train), len(val)) == (15, 5)
    assert in_any_order(np.concatenate([train, val])) == in_any_order(TRAIN)
    assert not np.array_equal(train, TRAIN[:15])
    assert np.array_equal(test, TEST)
    assert read_info(tmp_path / "out")["source"]["arrays_ignored"] == ["labels"]
    monkeypatch.setenv("HOME", str(tmp_path))
    again = made(tmp_path, GOOD, val_images=5, split_seed=1, file="~/mine.npz")
    assert not np.array_equal(again["train"], train)


@pytest.mark.parametrize("levels, slab", [(4, 2**24), (7, 100), (2, 1)])
def test_a_val_of_its_own_is_left_as_it_is_and_levels_are_taken_down(tmp_path, monkeypatch, levels, slab):
    monkeypatch.setattr(arrays, "SLAB_BYTES", slab)
    content = {
        "train": TRAIN,
        "val": TEST[:2],
        "test": TEST[2:],
    }
    splits = made(tmp_path, content, levels=levels)
    lowered = {split: (images.astype(int) * levels // 256).astype(np.uint8) for split, images in content.items()}
    assert np.array_equal(splits["val"], lowered["val"])
    assert np.array_equal(splits["test"], lowered["test"])
    assert in_any_order(splits["train"]) == in_any_order(lowered["train"])


def test_channels_may_come_last_and_grey_needs_none(tmp_path):
    images = made(tmp_path, GOOD)["train"]
    last = {split: array.transpose(0, 2, 3, 1).copy() for split, array in GOOD.items()}
    for content in (last, GOOD | {"train": np.asfortranarray(TRAIN)}):
        assert np.array_equal(made(tmp_path, content)["train"], images)
    for grey in (TEST[:, 0], TEST[:, :1], TEST[:, 0, :, :, None]):
        splits = made(tmp_path, {"train": grey, "test": grey}, channels=1)
        assert np.array_equal(splits["test"], TEST[:, :1])


MISFITS = [
    ({"x_train": TRAIN, "test": TEST}, {}, "has no array 'train': it has test, x_train"),
    ({"train": TRAIN}, {}, "has no array 'test': it has train"),
    ({**GOOD, "train": TRAIN / 255}, {}, "array train is float64, not uint8"),
    ({**GOOD, "test": TEST[:0]}, {}, "array test is [0, 3, 8, 8], not [N, 3, 8, 8], [N, 8, 8, 3]: set"),
    ({**GOOD, "train": TRAIN[..., :7]}, {}, "array train is [20, 3, 8, 7], not"),
    (GOOD, {"channels": 1}, "[N, 1, 8, 8], [N, 8, 8, 1], [N, 8, 8]:"),
    (GOOD, {"val_images": 20}, "`val_images` is 20: it must lie in 0..19"),
    ({**GOOD, "val": TEST}, {"val_images": 3}, "an array val, so `val_images` would do nothing"),
    ({**GOOD, "train": TRAIN[:, :, :3, :3]}, {"size": 3}, "which axis has the channels"),
]


@pytest.mark.parametrize("arrays, settings, says", MISFITS)
def test_arrays_that_do_not_fit(tmp_path, arrays, settings, says):
    np.savez(tmp_path / "mine.npz", **arrays)
    refuse_file(tmp_path, says, **settings)


def claim(path: Path, images: int) -> None:
    """Train's header, and the zip's directory, claim more images than there are."""
    file = io.BytesIO()
    about = {
        "descr": "|u1",
        "fortran_order": False,
        "shape": (images, 3, 8, 8),
    }
    np.lib.format.write_array_header_1_0(file, about)
    content = file.getvalue() + TRAIN.tobytes()
    np.savez(path, test=TEST)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train.npy", content)
    size = len(content) - TRAIN.nbytes + images * 192
    claimed = min(size, 2**32 - 2).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(len(content).to_bytes(4, "little"), claimed))


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def save_one_array(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, TRAIN)


DAMAGE = [
    (Path.unlink, "(No such file or directory): correct the path"),
    (make_folder, "(Is a directory): correct the path"),
    (save_one_array, "not a complete .npz file"),
    (lambda p: p.write_bytes(p.read_bytes()[:-100]), "not a complete .npz file"),
    (lambda p: p.write_bytes(p.read_bytes().replace(TRAIN.tobytes()[:9], bytes(9))), "array train is damaged"),
    (lambda p: np.savez(p, train=np.array([{}] * 9), test=TEST), "or holds objects"),
    (lambda p: claim(p, 10**12), "array train is damaged"),
    (lambda p: claim(p, 20_000_000), "array train is damaged"),
]


@pytest.mark.parametrize("damage, says", DAMAGE)
def test_damaged_files(tmp_path, damage, says):
    path = tmp_path / "mine.npz"
    np.savez(path, **GOOD)
    damage(path)
    refuse_file(tmp_path, str(path), says)
