"""Our FID against the `pytorch-fid` command, fed the same images as PNG files, and our features against its own.

The command finds its weights file in torch's cache, where it would have put the download.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from fid_tools import CLASSIFIER, photographs, pytorch_fid_network, random_weights
from PIL import Image
from pytorch_fid import fid_score

from vaeglow.evaluation.fid import GaussianStatistics, frechet_distance, image_features
from vaeglow.evaluation.inception import load_inception

WEIGHTS = "pt_inception-2015-12-05-6726825d.pth"
pytestmark = pytest.mark.skipif(
    "disp" not in inspect.signature(scipy.linalg.sqrtm).parameters,
    reason="scipy 1.18 dropped an argument that the pytorch-fid command passes",
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for TORCH_HOME with the weights in place."""
    folder = tmp_path_factory.mktemp("torch")
    (folder / "hub/checkpoints").mkdir(parents=True)
    torch.save({**random_weights(), **CLASSIFIER}, folder / "hub/checkpoints" / WEIGHTS)
    return folder


def write_pngs(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number:05}.png")
    return folder


def command_fid(one: Path, two: Path, features: int, cache: Path) -> float:
    """What `pytorch-fid` prints, in a process of its own without the network's help."""
    command = [sys.executable, "-m", "pytorch_fid", "--device", "cpu", "--num-workers", "0", "--batch-size", "10"]
    home = {"TORCH_HOME": str(cache), "OMP_NUM_THREADS": "1", "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [*command, "--dims", str(features), str(one), str(two)],
        env={**os.environ, **home, "https_proxy": home["http_proxy"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(re.search(r"^FID: +(\S+)$", done.stdout, re.MULTILINE)[1])


@pytest.mark.parametrize(
    ("features", "count"),
    [
        (64, 68),  # more images than features: full rank
        (192, 12),  # the rest singular, as in the demo: the command's matrix root is then good to about 1e-5
        (768, 12),
        pytest.param(2048, 12, marks=pytest.mark.slow),  # the command takes the root of a matrix of 2048 x 2048
        pytest.param(192, 220, marks=pytest.mark.slow),  # singular too: five features of this network are dead
    ],
)
def test_our_fid_is_the_commands(features: int, count: int, inception_file: Path, cache: Path, tmp_path: Path) -> None:
    images = photographs(count, seed=1), photographs(count, seed=2) // 2
    folders = [write_pngs(tmp_path / name, part) for name, part in zip(("one", "two"), images, strict=True)]
    theirs = command_fid(*folders, features, cache)
    net = load_inception(inception_file, features, "cpu")
    (_, one), (_, two) = (image_features(part, net, features, 10, "cpu") for part in images)
    full = np.linalg.matrix_rank(one.covariance) == features
    assert full == (features == 64)
    ours = frechet_distance(one.mean, one.covariance, two.mean, two.covariance)
    assert theirs > 1 and ours == pytest.approx(theirs, abs=1e-3)


@pytest.mark.slow
def test_our_distance_of_2048_features_at_full_rank_is_the_commands(cache: Path, tmp_path: Path) -> None:
    """The command takes statistics as well, so this needs no 4,000 images through Inception."""
    rng, found = np.random.default_rng(0), []
    for name, scale in (("one", 1.0), ("two", 1.3)):
        statistics = GaussianStatistics(2048)
        mixing = rng.normal(size=(2048, 2048)) * np.geomspace(1, 0.03, 2048) / 2048**0.5
        for _ in range(6):
            statistics.update(0.4 + scale * rng.normal(size=(500, 2048)) @ mixing)
        np.savez(tmp_path / f"{name}.npz", mu=statistics.mean, sigma=statistics.covariance)
        assert np.linalg.matrix_rank(statistics.covariance) == 2048
        found += [statistics.mean, statistics.covariance]
    theirs = command_fid(tmp_path / "one.npz", tmp_path / "two.npz", 2048, cache)
    assert theirs > 1 and frechet_distance(*found) == pytest.approx(theirs, abs=1e-3)


@pytest.mark.parametrize("features", [64, 192, 768, 2048])
def test_our_features_are_the_original_modules(features: int, inception_file: Path, tmp_path: Path) -> None:
    """From PNG files by pytorch-fid's own loop and unfolded network, and from arrays by ours."""
    images = photographs(4, seed=3)
    files = sorted(write_pngs(tmp_path / "images", images).iterdir())
    theirs = fid_score.get_activations(files, pytorch_fid_network(random_weights(), features), 2, features, "cpu", 0)
    ours, _ = image_features(images, load_inception(inception_file, features, "cpu"), features, 4, "cpu")
    assert theirs.shape == ours.shape == (4, features) and theirs.std(0).max() > 0.01
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
