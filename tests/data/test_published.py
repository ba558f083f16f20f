"""Kinds `cifar10`, `fashion_mnist`, `celeba`: tiny stand-ins of their files, never the network; Debian's real ones."""

import dataclasses
import gzip
import hashlib
import io
import pickle
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from fid_tools import left_in, one_line
from PIL import Image
from refusals import user_error
from run_tools import shipped_config
from test_dataset_kinds import in_any_order

from vaeglow.data import celeba, cifar10, fashion_mnist, prepare
from vaeglow.data.arrays import SPLITS, open_split, read_info
from vaeglow.data.sources import PinnedFile

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
ARCHIVED = {"cifar10": cifar10, "celeba": celeba}
DRAW = np.random.default_rng(0)
CIFAR = {name: DRAW.integers(0, 256, (4, 3072), dtype=np.uint8) for name in cifar10.BATCHES}
FASHION = {"train": DRAW.integers(0, 256, (10, 28, 28), dtype=np.uint8)}
FASHION["test"] = FASHION["train"][:4] + 1
SETTINGS = yaml.safe_load("""
cifar10: {size: 32, val_images: 5}
fashion_mnist: {size: 28, channels: 1, val_images: 3}
celeba: {size: 64}
""")
OUTSIDE = ("../../dotted", "/absolute", "{folder}/../../within")  # names in an archive


def cifar_archive() -> bytes:
    """`cifar-10-python.tar.gz` with four images a batch, and members that lead out of it."""
    folder = "cifar-10-batches-py"
    members = {name.format(folder=folder): b"bad" for name in OUTSIDE}
    for name, data in CIFAR.items():
        members[f"{folder}/{name}"] = pickle.dumps({"data": data})
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo(f"{folder}/link")
        link.type = tarfile.SYMTYPE
        link.linkname = "/"
        tar.addfile(link)
    return file.getvalue()


def celeba_archive(count: int) -> bytes:
    """`img_align_celeba.zip` with so many faces, and members that lead out of it."""
    folder = "img_align_celeba"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in OUTSIDE:
            archive.writestr(name.format(folder=folder), b"bad")
        for number in range(1, count + 1):
            pixels = np.full((218, 178, 3), 255, np.uint8)
            pixels[45:173, 25:153] = grey(number)  # in a bright frame outside the crop of 128
            archive.writestr(f"{folder}/{number:06}.jpg", jpeg(pixels))
    return file.getvalue()


def grey(number: int) -> int:
    """Which face it is."""
    return 40 * (number - 1)


def jpeg(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=100)
    return content.getvalue()


def idx(images: np.ndarray) -> bytes:
    """The content of a file of Fashion-MNIST."""
    return struct.pack(">IIII", 0x803, len(images), 28, 28) + images.tobytes()


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """The folder `files` with the published files of all kinds, in small, pinned in place of the real ones."""
    folder = tmp_path / "files"
    folder.mkdir()
    monkeypatch.setattr(
        celeba,
        "LAST",
        {
            "train": 2,
            "val": 3,
            "test": 5,
        },
    )
    for module, content in ((cifar10, cifar_archive()), (celeba, celeba_archive(5))):
        (folder / module.ARCHIVE.name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setattr(module, "ARCHIVE", dataclasses.replace(module.ARCHIVE, digest=digest))
    pinned = {}
    for split, images in FASHION.items():
        content = idx(images)
        name = fashion_mnist.FILES[split].name
        (folder / name).write_bytes(gzip.compress(content))
        pinned[split] = fashion_mnist.pinned(name, len(images), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(fashion_mnist, "FILES", pinned)
    return folder


def pinned_file(kind: str) -> PinnedFile:
    return fashion_mnist.FILES["test"] if kind == "fashion_mnist" else ARCHIVED[kind].ARCHIVE


def made(kind: str, folder: Path, threads: int = 1, **settings) -> Path:
    prepare(
        "mine",
        {
            "kind": kind,
            **SETTINGS[kind],
            **settings,
        },
        folder,
        threads,
    )
    return folder


def refuse(kind: str, folder: Path, files: Path, *words: str) -> None:
    """The files are refused in one line with these words; no dataset is left."""
    with user_error(one_line(*words)):
        made(kind, folder, local=str(files))
    assert not {"dataset.json", "train.npy"} & set(left_in(folder))


@pytest.mark.parametrize("kind", SETTINGS)
def test_names_in_an_archive_lead_nowhere(files, tmp_path, kind):
    before = left_in(tmp_path)
    folder = made(kind, tmp_path / "out", sources=[str(tmp_path / "nowhere"), str(files)])
    assert left_in(folder) == ["dataset.json", "test.npy", "train.npy", "val.npy"]
    shutil.rmtree(folder)
    assert left_in(tmp_path) == before
    assert not Path("/absolute").exists()


@pytest.mark.parametrize("kind", SETTINGS)
def test_another_file_is_refused_unread_and_hashes_are_named(files, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(pickle, "loads", lambda *_, **__: pytest.fail("read before its hash was checked"))
    file = pinned_file(kind)
    path = files / file.name
    whole = path.read_bytes()
    for content in (whole[:-20], b"x" + whole, b"<html>quota exceeded</html>"):
        path.write_bytes(content)
        refuse(kind, tmp_path / "out", files, f"{path} is cut short or another file", f"instead of {file.digest}")


PUBLISHED = {
    "cifar10": (np.concatenate(list(CIFAR.values())[:5]), CIFAR["test_batch"]),
    "fashion_mnist": (FASHION["train"], FASHION["test"]),
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_val_is_taken_off_train_and_test_keeps_its_order(files, tmp_path, kind):
    folder = made(kind, tmp_path / "out", local=str(files))
    train, val, test = (open_split(folder, split) for split in SPLITS)
    published_train, published_test = PUBLISHED[kind]
    assert test.tobytes() == published_test.tobytes()
    assert len(val) == SETTINGS[kind]["val_images"]
    assert in_any_order(np.concatenate([train, val])) == in_any_order(published_train)
    assert train.tobytes() != published_train[: len(train)].tobytes()


def test_fashion_mnist_compressed_anew_is_the_same_data(files, tmp_path):
    first = made("fashion_mnist", tmp_path / "first", local=str(files))
    for file in fashion_mnist.FILES.values():
        content = gzip.decompress((files / file.name).read_bytes())
        (files / file.name).write_bytes(gzip.compress(content, compresslevel=1, mtime=5))
    anew = made("fashion_mnist", tmp_path / "anew", local=str(files))
    assert (first / "dataset.json").read_bytes() == (anew / "dataset.json").read_bytes()
    name = pinned_file("fashion_mnist").name
    (files / name).write_bytes(gzip.compress(idx(FASHION["test"]) + bytes(200_000_000), compresslevel=1))  # a bomb
    refuse("fashion_mnist", tmp_path / "out", files, "another file")


def test_the_official_partition_of_celeba_is_the_published_list():
    names = celeba.partition()
    assert {split: len(part) for split, part in names.items()} == {
        "train": 162_770,
        "val": 19_867,
        "test": 19_962,
    }
    lines = [f"{name} {number}\r\n" for number, part in enumerate(names.values()) for name in part]
    published = "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7"  # of list_eval_partition.txt
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == published


def test_celebas_partition_and_crop(files, tmp_path):
    folder = made("celeba", tmp_path / "out", local=str(files))
    for split, numbers in {
        "train": [1, 2],
        "val": [3],
        "test": [4, 5],
    }.items():
        images = open_split(folder, split)
        assert images.shape == (len(numbers), 3, 64, 64)
        inside = images[..., 2:-2, 2:-2].astype(int)  # the frame lies outside
        greys = np.reshape([grey(number) for number in numbers], (-1, 1, 1, 1))
        assert np.abs(inside - greys).max() <= 2
    made_so = {
        "crop": 128,
        "partition": "official",
        "filter": "bilinear",
    }
    assert read_info(folder)["source"] == made_so | {"archive_sha256": celeba.ARCHIVE.digest}


@pytest.mark.parametrize("crop", celeba.SCHEMA["crop"]["enum"])
def test_the_crop_is_the_centre_and_shrinking_antialiases(crop):
    content = jpeg(np.random.default_rng(crop).integers(0, 256, (218, 178, 3), dtype=np.uint8))
    decoded = torch.from_numpy(np.array(Image.open(io.BytesIO(content)))).permute(2, 0, 1).double()
    top = (218 - crop) // 2
    left = (178 - crop) // 2
    centre = decoded[None, :, top : top + crop, left : left + crop]
    expected = torch.nn.functional.interpolate(centre, (64, 64), mode="bilinear", antialias=True)
    shrunk = celeba.square(content, crop, 64)
    assert np.abs(shrunk - expected[0].numpy()).max() <= 1.01  # Pillow rounds after each axis


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_real_fashion_mnist(tmp_path):
    settings = shipped_config()["datasets"]["fashion_mnist"]
    assert str(DEBIAN) in settings["sources"]  # before its URLs
    settings.pop("models", None)
    info = prepare("fashion_mnist", settings, tmp_path)
    assert info["counts"] == {
        "train": 60_000,
        "val": 0,
        "test": 10_000,
    }
    assert info["sha256"] == {  # a change here is another order or other images
        "train": "3bd5c65eb3aca25b3fa80a81711a7094b05958e5b05941f810bb9a6e9275734d",
        "val": "98f33de426a9b1548788023a79870336050d519911f5da488a7eaa6f9b2d9175",
        "test": "34a6b66f97ebb0518a41ca92ef8a1a0a73f7ea61d7703ea6457e85d6a88531e0",
    }
