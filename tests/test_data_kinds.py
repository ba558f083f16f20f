"""Dataset kinds `digits`, `fashion_mnist` and `celeba`: from tiny stand-ins of their files, never the network."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaeglow.data import celeba, fashion_mnist
from vaeglow.data.arrays import open_split, read_info
from vaeglow.data.prepare import prepare
from vaeglow.errors import UserError

DIGITS = {"kind": "digits", "channels": 1, "size": 16, "val_images": 97, "test_images": 400}
FASHION = {"kind": "fashion_mnist", "channels": 1, "size": 28, "val_images": 3}
CELEBA = {"kind": "celeba", "size": 64, "crop": 128}


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


@pytest.fixture
def fashion(tmp_path, monkeypatch) -> tuple[Path, dict[str, np.ndarray]]:
    """A folder with the two files, of ten and four images, and what they hold."""
    rng, folder, files, held = np.random.default_rng(0), tmp_path / "fashion", {}, {}
    folder.mkdir()
    for split, count in (("train", 10), ("test", 4)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        content = struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes()
        name = fashion_mnist.FILES[split][0]
        (folder / name).write_bytes(gzip.compress(content))
        files[split], held[split] = (name, hashlib.sha256(content).hexdigest(), count), images
    monkeypatch.setattr(fashion_mnist, "FILES", files)
    monkeypatch.setattr(fashion_mnist, "SYSTEM", tmp_path / "nowhere")
    return folder, held


@pytest.fixture
def serve(monkeypatch) -> Iterator[Callable[[Path], None]]:
    """Call with a folder: from then on that is what the network has."""
    folder = [Path()]

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            return str(folder[0] / path.lstrip("/"))

        def log_message(self, *_: object) -> None:
            pass

    from torchvision.datasets import FashionMNIST

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.setattr(FashionMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        yield lambda path: folder.__setitem__(0, path)
        server.shutdown()


def check(data_dir: Path, held: dict[str, np.ndarray]) -> None:
    assert np.array_equal(open_split(data_dir, "test")[:, 0], held["test"])
    train = np.concatenate([open_split(data_dir, "train"), open_split(data_dir, "val")])[:, 0]
    assert sorted(image.tobytes() for image in train) == sorted(image.tobytes() for image in held["train"])
    assert read_info(data_dir)["counts"] == {"train": 7, "val": 3, "test": 4}


@pytest.mark.parametrize("source", ["local", "system", "download"])
def test_fashion_mnist_from_every_source(source, fashion, serve, tmp_path, monkeypatch):
    folder, held = fashion
    if source == "system":
        monkeypatch.setattr(fashion_mnist, "SYSTEM", folder)
    if source == "download":
        serve(folder)
    prepare("fashion_mnist", {**FASHION, "local": str(folder) if source == "local" else None}, tmp_path / "data")
    check(tmp_path / "data", held)
    if source == "download":  # kept: a second run needs no network
        serve(tmp_path / "gone")
        prepare("fashion_mnist", FASHION, tmp_path / "data")
        check(tmp_path / "data", held)


@pytest.mark.parametrize("damage", [lambda c: c[:-20], lambda c: b"x" + c, lambda c: gzip.compress(b"other")])
@pytest.mark.parametrize("local", [True, False])
def test_fashion_mnist_of_another_content_is_refused(damage, local, fashion, serve, tmp_path):
    folder, _ = fashion
    name = fashion_mnist.FILES["test"][0]
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    serve(folder)
    with pytest.raises(UserError, match="hash differs"):
        prepare("fashion_mnist", {**FASHION, "local": str(folder) if local else None}, tmp_path / "data")
    assert not (tmp_path / "data" / "download" / name).exists()


def test_fashion_mnist_out_of_reach_says_what_to_do(fashion, serve, tmp_path):
    serve(tmp_path / "gone")
    with pytest.raises(UserError, match=r"fetch it by hand and set datasets\.fashion_mnist\.local"):
        prepare("fashion_mnist", FASHION, tmp_path / "data")
    with pytest.raises(UserError, match="has no file"):
        prepare("fashion_mnist", {**FASHION, "local": str(tmp_path)}, tmp_path / "data")


@pytest.fixture
def faces(tmp_path) -> Path:
    """CelebA in small: five images whose colour says who they are, with a bright frame outside the crop of 128."""
    root = tmp_path / "celeba"
    (root / celeba.FOLDER).mkdir(parents=True)
    for number in range(5):
        image = np.full((218, 178, 3), 255, np.uint8)
        image[45:173, 25:153] = 40 * number
        Image.fromarray(image).save(root / celeba.FOLDER / f"{number:06}.jpg", quality=100)
    lines = [f"{number:06}.jpg {part}" for number, part in enumerate((0, 0, 1, 2, 2))]
    (root / celeba.PARTITION).write_text("\n".join(lines) + "\n")
    return root


def as_archive(root: Path) -> None:
    with zipfile.ZipFile(root / celeba.ARCHIVE, "w") as archive:
        for path in sorted((root / celeba.FOLDER).iterdir()):
            archive.write(path, f"{celeba.FOLDER}/{path.name}")
            path.unlink()
    (root / celeba.FOLDER).rmdir()


@pytest.mark.parametrize("archive", [False, True])
def test_celeba_takes_the_official_partition_and_the_crop(archive, faces, tmp_path):
    if archive:
        as_archive(faces)
    prepare("celeba64", {**CELEBA, "local": str(faces)}, tmp_path / "data")
    for split, numbers in {"train": [0, 1], "val": [2], "test": [3, 4]}.items():
        images = open_split(tmp_path / "data", split)
        assert images.shape == (len(numbers), 3, 64, 64)
        for image, number in zip(images, numbers, strict=True):
            inner = image[:, 2:-2, 2:-2].astype(int)
            assert np.abs(inner - 40 * number).max() <= 2  # the frame lies outside
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "dataset.json", "test.npy", "train.npy", "val.npy",
    ]  # fmt: skip


def test_a_larger_crop_of_celeba_shows_the_frame(faces, tmp_path):
    prepare("celeba64", {**CELEBA, "crop": 148, "local": str(faces)}, tmp_path / "data")
    assert open_split(tmp_path / "data", "train")[0, :, 0].min() > 200


def spoil(root: Path, what: str) -> None:
    if what == "missing":
        (root / celeba.FOLDER / "000003.jpg").unlink()
    elif what == "size":
        Image.new("RGB", (64, 64)).save(root / celeba.FOLDER / "000003.jpg")
    elif what == "bytes":
        (root / celeba.FOLDER / "000003.jpg").write_bytes(b"no image")
    elif what == "partition":
        (root / celeba.PARTITION).write_text("000000.jpg 7\n")
    elif what == "path":
        (root / celeba.PARTITION).write_text("../../secret.jpg 0\n")
    elif what == "zip":
        as_archive(root)
        content = (root / celeba.ARCHIVE).read_bytes()
        (root / celeba.ARCHIVE).write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "000003.jpg is missing"),
        ("size", "64x64, not the aligned 178x218"),
        ("bytes", "cannot be read"),
        ("partition", "line 1"),
        ("path", "line 1"),
        ("zip", "no zip file"),
    ],
)
def test_what_is_not_celeba_is_refused_and_leaves_nothing(what, message, faces, tmp_path):
    spoil(faces, what)
    with pytest.raises(UserError, match=message):
        prepare("celeba64", {**CELEBA, "local": str(faces)}, tmp_path / "data")
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


def test_celeba_says_how_to_fetch_it(tmp_path):
    with pytest.raises(UserError, match=r"fetch img_align_celeba.zip and list_eval_partition.txt by hand"):
        prepare("celeba64", CELEBA, tmp_path)
