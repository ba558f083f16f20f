"""Prepared arrays, the embedded photographs, the loader and the step."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from vaeglow.data import photos, pictures
from vaeglow.data.arrays import SPLITS, array_sha256, open_split, read_info, write_dataset
from vaeglow.data.loader import DataOnDevice, batch_count, batches, dequantise, epoch_order, step_generator
from vaeglow.data.prepare import channel_statistics, complete, prepare, quantise
from vaeglow.data.seeds import Stream, stable_hash
from vaeglow.errors import UserError

CONFIG = Path(__file__).parents[1] / "config/config.yaml"
PHOTOS = {
    "kind": "photos",
    "channels": 3,
    "size": 32,
    "levels": 256,
    "pictures": list(pictures.PICTURES),
    "crop_sides": [32, 48, 64, 96],
    "train_images": 400,
    "val_images": 55,
    "test_images": 103,
    "split_seed": 0,
}


@pytest.fixture(scope="module")
def built():
    return photos.build(PHOTOS)


@pytest.fixture
def dataset(tmp_path):
    """A tiny prepared dataset: 6 train, no val, 3 test images of 3x4x4."""
    draw = np.random.default_rng(0)
    splits = {s: draw.integers(0, 256, (n, 3, 4, 4), dtype=np.uint8) for s, n in zip(SPLITS, (6, 0, 3), strict=True)}
    info = dict.fromkeys(("name", "kind"), "x") | {"channels": 3, "size": 4, "levels": 256}
    write_dataset(tmp_path, splits, info | {"mean": [0.5] * 3, "std": [0.1] * 3, "source": {}})
    return tmp_path, splits


# ------------------------------------------------------------------------------------------------ arrays


def test_arrays_come_back_read_only(dataset):
    folder, splits = dataset
    for split in SPLITS:
        array = open_split(folder, split)
        assert np.array_equal(array, splits[split]) and array.shape == splits[split].shape
        assert not array.flags.writeable
    info = read_info(folder)
    assert info["counts"] == {"train": 6, "val": 0, "test": 3}
    assert info["sha256"] == {split: array_sha256(splits[split]) for split in SPLITS}
    assert sorted(p.name for p in folder.iterdir()) == ["dataset.json", "test.npy", "train.npy", "val.npy"]


def test_hash_sees_values_shape_and_type_but_not_layout():
    a = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    assert array_sha256(a) == array_sha256(np.asfortranarray(a)) == array_sha256(a.astype(">u2"))
    others = [a.reshape(3, 2, 4), a.astype(np.uint32), a + 1, a[:1], a[:0]]
    assert len({array_sha256(x) for x in [a, *others]}) == 6
    large = np.arange(20_000_000, dtype=np.uint8).reshape(-1, 10)  # more than is read at a time
    header = b'["|u1", [2000000, 10]]'
    assert array_sha256(large) == hashlib.sha256(header + large.tobytes()).hexdigest()


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "train.npy").unlink(), "does not exist"),
        (lambda f: _truncate(f / "train.npy"), "not a whole array"),
        (lambda f: (f / "train.npy").write_bytes(b""), "not a whole array"),
        (lambda f: (f / "train.npy").write_bytes(b"no array at all"), "not a whole array"),
        (lambda f: np.save(f / "train.npy", np.array([{}], dtype=object)), "not a whole array"),
        (lambda f: np.save(f / "train.npy", np.zeros((6, 3, 4, 4), np.float32)), "float32"),
        (lambda f: np.save(f / "train.npy", np.zeros((6, 1, 4, 4), np.uint8)), r"\[6, 1, 4, 4\]"),
        (lambda f: np.save(f / "train.npy", np.zeros((6, 48), np.uint8)), r"\[6, 48\]"),
        (lambda f: np.save(f / "train.npy", np.zeros((5, 3, 4, 4), np.uint8)), "5 images, dataset.json says 6"),
        (lambda f: (f / "dataset.json").unlink(), "does not exist"),
        (lambda f: (f / "dataset.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "dataset.json").write_text('{"name": "x"}'), "lacks kind"),
    ],
)
def test_damaged_data_is_one_clear_line(dataset, damage, says):
    folder, _ = dataset
    damage(folder)
    with pytest.raises(UserError, match=says) as caught:
        open_split(folder, "train")
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("where", [0, 6 * 48 - 1])
def test_one_other_byte_in_an_array_is_seen(dataset, where):
    path = dataset[0] / "train.npy"
    content = bytearray(path.read_bytes())
    content[len(content) - 6 * 48 + where] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train\.npy has changed since it was prepared .*prepare the data again"):
        open_split(dataset[0], "train")
    assert len(open_split(dataset[0], "test")) == 3


def test_arrays_swapped_between_splits_are_seen(dataset):
    folder, splits = dataset
    np.save(folder / "test.npy", splits["train"][:3])
    with pytest.raises(UserError, match=r"test\.npy has changed"):
        open_split(folder, "test")


def test_unknown_split(dataset):
    with pytest.raises(UserError, match="train, val, test"):
        open_split(dataset[0], "tset")


def test_a_failed_write_leaves_no_description(dataset):
    folder, splits = dataset
    info = read_info(folder)
    with pytest.raises(UserError, match="test split"):
        write_dataset(folder, splits | {"test": splits["test"].astype(np.int16)}, info)
    assert not (folder / "dataset.json").exists()


# ------------------------------------------------------------------------------------------------ photos


def test_photos_have_the_asked_shapes_and_every_picture(built):
    splits, _, crops = built
    for split in SPLITS:
        count = PHOTOS[f"{split}_images"]
        assert splits[split].shape == (count, 3, 32, 32) and splits[split].dtype == np.uint8
        per_picture = [sum(c.picture == name for c in crops[split]) for name in PHOTOS["pictures"]]
        assert sum(per_picture) == count and max(per_picture) - min(per_picture) <= 1
        assert len({c.side for c in crops[split]}) == 4


def test_splits_come_from_disjoint_regions(built):
    _, _, crops = built
    for name in PHOTOS["pictures"]:
        size = pictures.load_picture(name, 3).size
        masks = {}
        for split in SPLITS:
            masks[split] = np.zeros(size, dtype=bool)
            for c in (c for c in crops[split] if c.picture == name):
                assert c.x >= 0 and c.y >= 0 and c.x + c.side <= size[0] and c.y + c.side <= size[1]
                masks[split][c.x : c.x + c.side, c.y : c.y + c.side] = True
            assert masks[split].any()
        assert not (masks["train"] & masks["val"]).any()
        assert not (masks["train"] & masks["test"]).any()
        assert not (masks["val"] & masks["test"]).any()


def test_images_show_the_crop_they_claim(built):
    splits, _, crops = built
    unscaled = [i for i, c in enumerate(crops["test"]) if c.side == 32]
    assert unscaled
    for i in unscaled:
        c = crops["test"][i]
        whole = np.asarray(pictures.load_picture(c.picture, 3))
        assert np.array_equal(splits["test"][i].transpose(1, 2, 0), whole[c.y : c.y + 32, c.x : c.x + 32])


def test_photos_depend_on_the_seed_only(built):
    again, _, crops = photos.build(PHOTOS)
    _, _, other_crops = photos.build(PHOTOS | {"split_seed": 1})
    for split in SPLITS:
        assert np.array_equal(again[split], built[0][split]) and crops[split] == built[2][split]
        assert set(other_crops[split]) != set(crops[split])


def test_first_images_are_a_fair_subset(built):
    for n in (10, 100, 237):
        first = [c.picture for c in built[2]["train"][:n]]
        shares = [first.count(name) for name in PHOTOS["pictures"]]
        assert max(shares) - min(shares) <= 1
    sides = [c.side for c in built[2]["train"][:200]]
    assert all(25 <= sides.count(side) <= 75 for side in PHOTOS["crop_sides"])


def test_no_photo_is_nearly_blank(built):
    for split in SPLITS:
        flat = built[0][split].std(axis=(2, 3)).max(axis=1)
        assert flat.min() > 2


def test_a_larger_dataset_of_one_channel():
    splits, _, _ = photos.build(PHOTOS | {"channels": 1, "size": 64, "crop_sides": [64, 80], "val_images": 0})
    assert splits["train"].shape == (400, 1, 64, 64) and splits["val"].shape == (0, 1, 64, 64)


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
        ({"pictures": ["astronaut", "chelsey"]}, "did you mean chelsea"),
        ({"pictures": ["zzz"]}, "choose from astronaut"),
        ({"pictures": []}, "at least one"),
        ({"pictures": ["china", "china"]}, "each once"),
        ({"crop_sides": [16, 32]}, "32 .* or more"),
        ({"crop_sides": []}, "32 .* or more"),
        ({"crop_sides": [900]}, "too small for crops of 900"),
        ({"test_images": 0}, "`test_images` is 0"),
        ({"train_images": -1}, "`train_images` is -1"),
    ],
)
def test_photos_settings_that_cannot_be_met(change, says):
    with pytest.raises(UserError, match=says):
        photos.build(PHOTOS | change)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sha256": "0" * 64}, "not the expected file"),
        ({"file": "data/gone.png"}, "lacks .*gone.png"),
        ({"package": "no_such_package"}, "not installed"),
    ],
)
def test_altered_or_missing_picture_names_it_and_its_package(monkeypatch, change, says):
    monkeypatch.setitem(pictures.DISTRIBUTIONS, "no_such_package", "scikit-image")
    monkeypatch.setitem(pictures.PICTURES, "coffee", replace(pictures.PICTURES["coffee"], **change))
    with pytest.raises(UserError, match=says) as caught:
        photos.build(PHOTOS)
    assert "coffee" in str(caught.value) and "scikit-image" in str(caught.value)


# ----------------------------------------------------------------------------------------------- prepare


def test_prepare_writes_what_it_says(tmp_path):
    settings = PHOTOS | {"levels": 4, "train_images": 40, "val_images": 0, "test_images": 10, "models": {"vae": {}}}
    prepare("tiny", settings, tmp_path)
    info, train = read_info(tmp_path), open_split(tmp_path, "train")
    assert (info["name"], info["kind"], info["size"], info["levels"]) == ("tiny", "photos", 32, 4)
    assert info["counts"] == {"train": 40, "val": 0, "test": 10} and set(np.unique(train)) == {0, 1, 2, 3}
    centred = (train.astype(np.float64) + 0.5) / 4
    assert info["mean"] == pytest.approx(centred.mean(axis=(0, 2, 3)), abs=1e-8)
    assert info["std"] == pytest.approx(centred.std(axis=(0, 2, 3)), abs=1e-8)
    assert "danielbuechele" in info["source"]["pictures"]["china"]["credit"]

    hashes = info["sha256"]
    prepare("tiny", settings | {"expected_sha256": hashes}, tmp_path / "again")
    with pytest.raises(UserError, match=r"test split .*JPEG decoder.*remove datasets\.tiny\.expected_sha256"):
        prepare("tiny", settings | {"expected_sha256": hashes | {"test": "0" * 64}}, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", ["photos32", "photos64", "digits32"])
def test_the_embedded_datasets_are_those_pinned_in_config(name, tmp_path):
    settings = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["datasets"][name]
    assert set(settings["expected_sha256"]) == set(SPLITS)
    prepare(name, settings, tmp_path)
    assert read_info(tmp_path)["sha256"] == settings["expected_sha256"]
    prepare(name, settings | {"expected_sha256": None, "test_images": 3}, tmp_path)  # null accepts others
    assert len(open_split(tmp_path, "test")) == 3


def test_quantise_and_statistics():
    x = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert quantise(x, 256) is x
    for levels in (2, 4, 7, 32):
        assert np.array_equal(quantise(x, levels).ravel(), np.arange(256) * levels // 256)
    assert channel_statistics(x, 256)[0] == [0.5]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "photo"}, "kinds are photos, digits, cifar10, fashion_mnist, celeba, folder, npz"),
        ({}, "kinds are photos, digits, cifar10, fashion_mnist, celeba, folder, npz"),
        ({"kind": "celeba", "source": ["x"]}, "did you mean sources"),
        ({"kind": "npz", "size": 8}, "needs file"),
        (PHOTOS | {"crop_side": [3]}, "did you mean crop_sides"),
        ({"kind": "folder", "size": 8}, "needs root"),
        (PHOTOS | {"channels": 2}, "must be 1 or 3"),
        (PHOTOS | {"size": 0}, "positive whole number"),
        (PHOTOS | {"levels": 1}, r"2\.\.256"),
        (PHOTOS | {"expected_sha256": {"tests": ""}}, "names tests"),
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
    command = [sys.executable, "-m", "vaeglow.steps.prepare_data", "--name", "mine", "--workers", "1"]
    command += ["--output-dir", tmp_path / "out"]

    failed = subprocess.run([*command, "--settings", json.dumps(settings)], capture_output=True, text=True)
    assert failed.returncode == 2 and not list((tmp_path / "out").glob("[a-z]*"))  # but the hidden folder
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1 and "bad.png" in failed.stderr

    settings["on_broken"] = "skip"
    done = subprocess.run([*command, "--settings", json.dumps(settings)], capture_output=True, text=True)
    assert done.returncode == 0 and "skipped bad.png" in done.stdout, done.stderr
    train, test = open_split(tmp_path / "out", "train"), open_split(tmp_path / "out", "test")
    assert len(train) + len(test) == 10 and train.shape[1:] == (3, 8, 8)
    colours = sorted(tuple(image[:, 0, 0].tolist()) for image in (*train, *test))
    assert colours == [(i, 2 * i, 3 * i) for i in range(10)]

    failed = subprocess.run([*command, "--settings", "{'kind'"], capture_output=True, text=True)
    assert failed.returncode == 2 and failed.stderr.startswith("error: --settings is not JSON")


# ------------------------------------------------------------------------------------------------ loader


def test_streams_are_the_same_everywhere():
    assert stable_hash(0, "a") == 2671967653362453091  # a change here reshuffles every dataset and run
    assert Stream(1).permutation(5).tolist() == [0, 2, 1, 4, 3]
    assert len({stable_hash(1, 23), stable_hash(12, 3), stable_hash("1", 23), stable_hash(1, 2, 3)}) == 4
    stream = Stream("dice")
    assert {stream.below(6) for _ in range(200)} == set(range(6))
    assert sorted(Stream(2).permutation(1000)) == list(range(1000))


def test_order_is_a_permutation_of_seed_and_epoch_only():
    orders = {(s, e): epoch_order(500, s, e) for s in range(3) for e in range(3)}
    torch.manual_seed(5)
    for (seed, epoch), order in orders.items():
        assert order.dtype == torch.int64 and torch.equal(order.sort().values, torch.arange(500))
        assert torch.equal(order, epoch_order(500, seed, epoch))
    assert len({tuple(order.tolist()) for order in orders.values()}) == 9


def test_step_generators_differ_by_every_argument():
    def draw(*key):
        return tuple(torch.rand(4, generator=step_generator(*key)).tolist())

    keys = [(s, e, i) for s in range(3) for e in range(3) for i in range(3)]
    assert len({draw(*key) for key in keys}) == 27
    assert draw(1, 2, 0) == draw(1, 2, 0)


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(10, 3, [3, 3, 3]), (9, 3, [3, 3, 3]), (2, 3, [2]), (3, 3, [3])]
)
def test_batches_drop_a_short_last_one_unless_it_is_alone(count, size, expected):
    order = epoch_order(count, 0, 0)
    cut = list(batches(order, size))
    assert [len(b) for b in cut] == expected and batch_count(count, size) == len(expected)
    assert torch.equal(torch.cat(cut), order[: sum(expected)])


def test_data_on_device_takes_the_first_images(dataset):
    images = open_split(dataset[0], "train")
    data = DataOnDevice(images, "cpu", subset=4)
    assert len(data) == 4 and data.images.dtype == torch.uint8
    batch = data.batch(torch.tensor([3, 0]))
    assert np.array_equal(batch.numpy(), images[[3, 0]])
    batch.zero_()
    assert np.array_equal(data.images.numpy(), images[:4])
    assert len(DataOnDevice(images, "cpu")) == 6
    for subset in (0, 7):
        with pytest.raises(UserError, match=f"{subset} images are asked for, the split holds 6"):
            DataOnDevice(images, "cpu", subset)
    with pytest.raises(UserError, match="no images"):
        DataOnDevice(open_split(dataset[0], "val"), "cpu")


@pytest.mark.parametrize("levels", [256, 2, 4, 100])
def test_dequantised_values_give_the_level_back(levels):
    x = torch.arange(levels, dtype=torch.uint8).repeat(2_000_000 // levels)
    before = x.clone()
    y = dequantise(x, levels, torch.Generator().manual_seed(0))
    assert y.dtype == torch.float32 and y.min() > 0 and y.max() < 1
    assert torch.equal((y * levels).floor().to(torch.uint8), x) and torch.equal(x, before)
    u = y.double() * levels - x
    assert abs(u.mean() - 0.5) < 1e-3 and abs(u.var() - 1 / 12) < 1e-3  # sd of the mean: 2e-4


def test_dequantisation_survives_the_extreme_draws(monkeypatch):
    x = torch.arange(256, dtype=torch.uint8)
    for u in (0.0, 1 - 2**-24):
        monkeypatch.setattr(torch, "rand", lambda shape, u=u, **_: torch.full(shape, u))
        for levels in range(2, 257):
            y = dequantise(x[:levels], levels, torch.Generator())
            assert y.max() < 1 and torch.equal((y * levels).floor().to(torch.uint8), x[:levels])


def test_noise_is_fresh_and_follows_its_generator():
    x = torch.zeros(100, dtype=torch.uint8)
    generator = step_generator(0, 0, 0)
    first, second = dequantise(x, 256, generator), dequantise(x, 256, generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, dequantise(x, 256, step_generator(0, 0, 0)))


def test_evenly_spaced_images_are_a_fair_subset_too(built):
    names = PHOTOS["pictures"]
    spaced = [crop.picture for crop in built[2]["train"][:: len(names)]]  # turns in a fixed order: one picture only
    assert len(set(spaced)) >= 0.8 * len(names)
