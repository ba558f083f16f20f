"""Dataset kind `celeba`: from a tiny stand-in of its archive, never the network."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from server_tools import Reply, file_server

from vaeglow.data import celeba
from vaeglow.data.arrays import open_split, read_info
from vaeglow.data.prepare import prepare
from vaeglow.errors import UserError

LAST = {"train": 2, "val": 3, "test": 5}
Files = dict[str, bytes]


def test_the_partition_is_the_published_list():
    names = celeba.partition()
    assert {split: len(part) for split, part in names.items()} == {"train": 162_770, "val": 19_867, "test": 19_962}
    lines = [f"{name} {number}\r\n" for number, part in enumerate(names.values()) for name in part]
    published = "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7"  # of list_eval_partition.txt
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == published


def jpeg(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=100)
    return file.getvalue()


def face(number: int) -> bytes:
    """An image whose grey says which it is, in a bright frame outside the crop of 128."""
    pixels = np.full((218, 178, 3), 255, np.uint8)
    pixels[45:173, 25:153] = 40 * (number - 1)
    return jpeg(pixels)


@pytest.fixture
def files(monkeypatch) -> Files:
    """CelebA in small: five images."""
    monkeypatch.setattr(celeba, "LAST", LAST)
    return {f"img_align_celeba/{number:06}.jpg": face(number) for number in range(1, 6)}


def archive(folder: Path, files: Files, monkeypatch) -> Path:
    """Write and pin the archive."""
    folder.mkdir(exist_ok=True)
    path = folder / celeba.ARCHIVE.name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)
    pin(path, monkeypatch)
    return path


def pin(path: Path, monkeypatch) -> None:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(celeba, "ARCHIVE", dataclasses.replace(celeba.ARCHIVE, digest=digest))


def made(folder: Path, threads: int = 1, **settings) -> Path:
    prepare("celeba64", {"kind": "celeba", "size": 64, **settings}, folder, threads)
    return folder


@pytest.mark.parametrize("form", ["archive", "its folder"])
def test_the_official_partition_and_the_crop(files, tmp_path, monkeypatch, form):
    path = archive(tmp_path / "celeba", files, monkeypatch)
    folder = made(tmp_path / "out", local=str(path if form == "archive" else path.parent))
    for split, numbers in {"train": [1, 2], "val": [3], "test": [4, 5]}.items():
        images = open_split(folder, split)
        assert images.shape == (len(numbers), 3, 64, 64)
        for image, number in zip(images, numbers, strict=True):
            assert np.abs(image[:, 2:-2, 2:-2].astype(int) - 40 * (number - 1)).max() <= 2  # the frame lies outside
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "test.npy", "train.npy", "val.npy"]
    source = {"crop": 128, "partition": "official", "filter": "bilinear", "archive_sha256": celeba.ARCHIVE.digest}
    assert read_info(folder)["source"] == source


@pytest.mark.parametrize("crop", celeba.SCHEMA["crop"]["enum"])
def test_the_crop_is_the_centre_and_shrinking_antialiases(files, tmp_path, monkeypatch, crop):
    content = jpeg(np.random.default_rng(0).integers(0, 256, (218, 178, 3), dtype=np.uint8))
    files["img_align_celeba/000001.jpg"] = content
    decoded = np.asarray(Image.open(io.BytesIO(content))).astype(np.float64)
    path = archive(tmp_path / "celeba", files, monkeypatch)
    found = open_split(made(tmp_path / "out", local=str(path), crop=crop), "train")[0]
    top, left = (218 - crop) // 2, (178 - crop) // 2
    square = decoded[top : top + crop, left : left + crop]
    weights = triangle(crop, 64)
    expected = weights @ square.transpose(2, 0, 1) @ weights.T
    assert np.abs(found - expected).max() <= 1.01  # Pillow rounds after each axis


def triangle(length: int, size: int) -> np.ndarray:
    """Weights [size, length] of a bilinear filter as wide as the shrinking asks: antialiased."""
    scale = length / size
    centres = (np.arange(size)[:, None] + 0.5) * scale
    weights = np.clip(1 - np.abs(np.arange(length) + 0.5 - centres) / scale, 0, None)
    return weights / weights.sum(1, keepdims=True)


def test_the_result_does_not_depend_on_the_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(celeba, "LAST", {"train": 40, "val": 45, "test": 60})
    monkeypatch.setattr("vaeglow.data.progress.BATCH", 16)
    ramp = np.linspace(0, 200, 178).astype(np.uint8)[:, None] + np.zeros((218, 178, 3), np.uint8)
    files = {f"img_align_celeba/{n:06}.jpg": jpeg(np.roll(ramp, 3 * n, 1)) for n in range(1, 61)}
    path = archive(tmp_path / "celeba", files, monkeypatch)
    one, three = (made(tmp_path / f"out{threads}", threads, local=str(path)) for threads in (1, 3))
    assert (one / "dataset.json").read_bytes() == (three / "dataset.json").read_bytes()
    images = open_split(three, "train")
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == 40


def test_a_download_goes_on_and_is_kept(files, tmp_path, monkeypatch):
    path = archive(tmp_path / "celeba", files, monkeypatch)
    monkeypatch.setattr("vaeglow.data.fetch.BACK_OFF", 0.001)
    with file_server() as server:
        server.files[path.name], server.replies = path.read_bytes(), [Reply(cut=1000)]
        folder = made(tmp_path / "out", sources=[f"{server.url}/{path.name}"])
        assert [asked for _, asked in server.asked] == ["", "bytes=1000-"]
    assert (folder / "download" / path.name).read_bytes() == path.read_bytes()


def without(files: Files, number: int) -> Files:
    return {name: content for name, content in files.items() if f"{number:06}" not in name}


@pytest.mark.parametrize(
    ("content", "says", "threads"),
    [
        (None, "no whole 000004.jpg", 1),
        (b"no image", "000004.jpg cannot be read", 1),
        (b"no image", "000004.jpg cannot be read", 2),
        (face(4)[:-400], "000004.jpg cannot be read", 1),
        (jpeg(np.zeros((64, 64, 3), np.uint8)), "64x64, not the aligned 178x218", 1),
        (bytes(2_000_000), "000004.jpg has more than 1,000,000 bytes", 1),  # some 2 kB in the archive
    ],
)
def test_what_is_no_aligned_image_is_refused_and_leaves_nothing(files, tmp_path, monkeypatch, content, says, threads):
    changed = without(files, 4) | ({} if content is None else {"img_align_celeba/000004.jpg": content})
    path = archive(tmp_path / "celeba", changed, monkeypatch)
    with pytest.raises(UserError, match=says) as caught:
        made(tmp_path / "out", threads, local=str(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_size_that_lies_is_found_out(files, tmp_path, monkeypatch):
    files["img_align_celeba/000004.jpg"] = bytes(2_000_000)
    path = archive(tmp_path / "celeba", files, monkeypatch)
    content = path.read_bytes()
    assert content.count((2_000_000).to_bytes(4, "little")) == 2  # in the local header and in the directory
    path.write_bytes(content.replace((2_000_000).to_bytes(4, "little"), (500).to_bytes(4, "little")))
    pin(path, monkeypatch)
    with pytest.raises(UserError, match=r"no whole 000004\.jpg .*fetch it again"):
        made(tmp_path / "out", local=str(path))


def test_names_that_lead_out_go_nowhere(files, tmp_path, monkeypatch):
    names = ("../../dotted", str(tmp_path / "absolute"), "img_align_celeba/../../within")
    path = archive(tmp_path / "celeba", {**dict.fromkeys(names, b"bad"), **files}, monkeypatch)
    link = zipfile.ZipInfo("img_align_celeba/link.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as target:
        target.writestr(link, "/etc/passwd")
    pin(path, monkeypatch)
    made(tmp_path / "out", local=str(path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["celeba", "out"]


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"<html>quota exceeded</html>"])
def test_a_damaged_archive_is_one_line(files, tmp_path, monkeypatch, damage):
    path = archive(tmp_path / "celeba", files, monkeypatch)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"sha256 is .* instead of {celeba.ARCHIVE.digest}"):
        made(tmp_path / "out", local=str(path))
    pin(path, monkeypatch)
    with pytest.raises(UserError, match="cut short or no zip file"):
        made(tmp_path / "out", local=str(path))


def test_without_the_archive_it_says_how_to_fetch_it(tmp_path):
    with pytest.raises(UserError, match=r"fetch img_align_celeba\.zip by hand .*set datasets\.celeba64\.local"):
        made(tmp_path / "out", sources=[str(tmp_path)])
    (tmp_path / "img_align_celeba").mkdir()
    with pytest.raises(UserError, match=r"has the folder img_align_celeba but not img_align_celeba\.zip"):
        made(tmp_path / "out", local=str(tmp_path))


@pytest.mark.parametrize("change", [{"crop": 100}, {"channels": 1}])
def test_settings_that_do_not_fit(tmp_path, change):
    with pytest.raises(UserError, match=f"datasets.celeba64.{next(iter(change))}"):
        made(tmp_path / "out", **change)
