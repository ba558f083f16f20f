"""Dataset kind `fashion_mnist`: tiny stand-ins of its files, and the real ones where Debian's package is installed."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from run_tools import ROOT
from server_tools import file_server
from test_demo import random_inception
from waiting import call

from vaeglow.data import fashion_mnist
from vaeglow.data.arrays import open_split, read_info
from vaeglow.data.prepare import prepare
from vaeglow.errors import UserError

COUNTS = {"train": 10, "test": 4}
NAMES = {split: file.name for split, file in fashion_mnist.FILES.items()}
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """A folder with both files, of ten and four images, pinned in place of the real ones."""
    draw, folder, pinned = np.random.default_rng(0), tmp_path / "fashion", {}
    folder.mkdir()
    for split, count in COUNTS.items():
        images = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        content = struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes()
        (folder / NAMES[split]).write_bytes(gzip.compress(content))
        digest = hashlib.sha256(content).hexdigest()
        pinned[split] = fashion_mnist.pinned(NAMES[split], count, digest, max_bytes=100_000)
    monkeypatch.setattr(fashion_mnist, "FILES", pinned)
    return folder


def made(folder: Path, **settings) -> Path:
    prepare("fashion_mnist", {"kind": "fashion_mnist", "val_images": 3, **settings}, folder)
    return folder


def held(folder: Path, split: str) -> np.ndarray:
    """The images of a file, read another way: [N, 28, 28]."""
    content = gzip.decompress((folder / NAMES[split]).read_bytes())
    return np.frombuffer(content[16:], np.uint8).reshape(-1, 28, 28)


def test_the_splits_hold_what_the_files_do(files, tmp_path):
    folder = made(tmp_path / "out", local=str(files))
    train, val = open_split(folder, "train"), open_split(folder, "val")
    assert (train.shape, val.shape) == ((7, 1, 28, 28), (3, 1, 28, 28))
    together = sorted(image.tobytes() for image in (*train, *val))
    assert together == sorted(image.tobytes() for image in held(files, "train"))
    assert np.array_equal(open_split(folder, "test")[:, 0], held(files, "test"))


def test_a_copy_compressed_anew_is_the_same_data_from_anywhere(files, tmp_path):
    first = made(tmp_path / "first", sources=[str(tmp_path / "nowhere"), str(files)])
    for name in NAMES.values():
        content = gzip.decompress((files / name).read_bytes())
        (files / name).write_bytes(gzip.compress(content, compresslevel=1, mtime=5))
    with file_server() as server:
        server.files |= {name: (files / name).read_bytes() for name in NAMES.values()}
        fetched = made(tmp_path / "fetched", sources=[server.url])
    assert (first / "dataset.json").read_bytes() == (fetched / "dataset.json").read_bytes()


def bomb(content: bytes) -> bytes:
    """A small file that unpacks to 200 MB."""
    return gzip.compress(gzip.decompress(content) + bytes(200_000_000), compresslevel=1)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda c: c[:-20], "no whole gzip file"),
        (lambda c: b"x" + c, "no whole gzip file"),
        (lambda c: c[:200] + b"xxxx" + c[204:], "content's sha256"),
        (lambda c: gzip.compress(b"other"), "content's sha256"),
        (lambda c: gzip.compress(gzip.decompress(c) + b"x"), "more than the 3,152 bytes"),
        (bomb, "more than the 3,152 bytes"),
    ],
)
def test_other_content_is_refused_and_hashes_are_named(files, tmp_path, damage, says):
    path = files / NAMES["test"]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=says) as caught:
        made(tmp_path / "out", local=str(files))
    assert str(path) in str(caught.value) and fashion_mnist.FILES["test"].digest in str(caught.value)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_without_a_copy_it_says_what_to_do(files, tmp_path):
    with pytest.raises(
        UserError, match=r"dataset-fashion-mnist, or fetch .* by hand .*set datasets\.fashion_mnist\.local"
    ):
        made(tmp_path / "out", sources=[str(tmp_path / "nowhere")])
    (files / NAMES["test"]).unlink()
    with pytest.raises(UserError, match=f"has no {NAMES['test']}"):
        made(tmp_path / "out", local=str(files))
    with pytest.raises(UserError, match="is no folder"):
        made(tmp_path / "out", local=str(files / NAMES["train"]))


@pytest.mark.parametrize("change", [{"size": 32}, {"channels": 3}, {"val_images": 10}])
def test_settings_that_do_not_fit(files, tmp_path, change):
    with pytest.raises(UserError):
        made(tmp_path / "out", local=str(files), **change)


# ------------------------------------------------------------------------------------------- the real images

real = pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")


@pytest.fixture(scope="module")
def fashion(tmp_path_factory) -> Path:
    """Real Fashion-MNIST as config.yaml has it, its paths tried before its URLs."""
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))["datasets"]["fashion_mnist"]
    assert str(DEBIAN) in settings["sources"]
    folder = tmp_path_factory.mktemp("fashion_mnist")
    prepare("fashion_mnist", settings, folder)
    return folder


@real
def test_the_real_images(fashion):
    info = read_info(fashion)
    assert info["counts"] == {"train": 60_000, "val": 0, "test": 10_000}
    assert info["sha256"] == {  # a change here is another order or other images
        "train": "3bd5c65eb3aca25b3fa80a81711a7094b05958e5b05941f810bb9a6e9275734d",
        "val": "98f33de426a9b1548788023a79870336050d519911f5da488a7eaa6f9b2d9175",
        "test": "34a6b66f97ebb0518a41ca92ef8a1a0a73f7ea61d7703ea6457e85d6a88531e0",
    }
    mean, std = (255 * 0.2860 + 0.5) / 256, 255 * 0.3530 / 256  # of x / 255, as published
    assert info["mean"] == pytest.approx([mean], abs=1e-4) and info["std"] == pytest.approx([std], abs=1e-4)
    assert np.array_equal(open_split(fashion, "test")[:, 0], held(DEBIAN, "test"))


TINY = {
    "protocols": {"test-16-64": {"split": "test", "images": 16, "features": 64}},
    "overrides": {
        "roles": {"grey": "fashion_mnist"},
        "datasets": {"fashion_mnist": {"train_subset": 512}},
        "training": {"epochs": 1, "batch_size": 64, "threads": 1},
        "models": {
            "vae": {"network": {"fc_dim": 16, "latent_dim": 4}, "prior": {"layers": 2, "width": 8}},
            "vae_two_stage": {"second_stage": {"width": 8, "depth": 1}},
            **{name: {"training": {"epochs": 1}} for name in ("vae_isotropic_standard", "vae_two_stage")},
        },
        "evaluation": {"protocol": "test-16-64", "importance_samples": [2], "importance_images": 4},
        "tables": {
            "table1": {
                "rows": [
                    {"model": model, "dataset": "grey", "temperature": 0.0}
                    for model in ("vae_isotropic_standard", "vae_two_stage", "vae_isotropic")
                ]
            }
        },
    },
}


@real
@pytest.mark.slow
def test_table_1_on_the_real_images(tmp_path):
    """Prepared, inspected, trained, sampled, measured: every test image counts in bits/dim."""
    TINY["overrides"]["evaluation"]["inception"] = random_inception(tmp_path / "weights.pth")
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(TINY))
    targets = ["results/table1.csv", "results/data/fashion_mnist.png"]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *targets, "--directory", str(tmp_path)]
    command += ["--configfile", str(tmp_path / "overlay.yaml")]
    done = call(command)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    rows = list(csv.DictReader((tmp_path / "results/table1.csv").read_text(encoding="utf-8").splitlines()))
    measured = [row for row in rows if row["source"] == "measured"]
    assert [row["run"] for row in measured] == ["vae_isotropic_standard", "vae_two_stage", "vae_isotropic"]
    for row in measured:
        assert row["dataset"] == "fashion_mnist" and float(row["fid"]) > 0
    likelihood = tmp_path / "results/demo/fashion_mnist/vae_isotropic/seed0/likelihood.json"
    assert json.loads(likelihood.read_text())["images"] == 10_000
    found = json.loads((tmp_path / "results/data/fashion_mnist.json").read_text())
    assert [about["count"] for about in found["splits"].values()] == [60_000, 0, 10_000]
