"""FID: streaming statistics, closed forms, features and pytorch-fid's own result, sets of samples."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from fid_tools import CLASSIFIER, pixels, write_pngs
from numpy import ndarray
from numpy.testing import assert_allclose, assert_array_equal
from pytest import approx
from pytorch_fid import fid_score
from pytorch_fid import inception as theirs
from refusals import user_error

from benchmarks.work import photographs, random_inception
from vaeglow.data import arrays
from vaeglow.evaluation import fid
from vaeglow.evaluation.fid import Reference, extract_features, frechet_distance, image_features
from vaeglow.evaluation.inception import load_inception, pytorch_fid_network
from vaeglow.evaluation.sample_quality import compare_neighbours, kernel_inception_distance
from vaeglow.results import Result


@pytest.mark.parametrize("size", [50, 7])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_streamed_statistics_are_those_of_all_rows(size, offset):
    random = np.random.default_rng(0)
    scales = [1, 2, 3, 0.1, 1, 0]
    rows = offset + scales * random.normal(size=(50, 6))
    mean, covariance = fid.gaussian_statistics(torch.from_numpy(rows).split(size))
    assert_allclose(mean, rows.mean(0), rtol=1e-10, atol=1e-10)
    assert_allclose(covariance, np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-10)


def random_covariance(seed: int, features: int = 8, rank: int = 8) -> ndarray:
    root = np.random.default_rng(seed).normal(size=(features, rank))
    return root @ root.T / rank


def between(first: ndarray, second: ndarray, shift: float = 0.0) -> float:
    """The distance of Gaussians with these covariances, each entry of their means so far apart."""
    zero = np.zeros(len(first))
    return frechet_distance(zero, first, zero + shift, second)


def test_distance_is_pytorch_fids_formula_and_a_distance():
    first = random_covariance(1)
    second = random_covariance(2)
    wanted = np.trace(first + second - 2 * scipy.linalg.sqrtm(first @ second).real)
    assert between(first, second) == approx(wanted, rel=1e-9)
    assert between(second, first, 0.5) == approx(wanted + 8 * 0.5**2, rel=1e-9)
    assert 0 <= between(first, first) < 1e-9
    with pytest.raises(ValueError, match="infs or NaNs"):
        between(first * np.nan, second)


def test_distance_of_singular_gaussians():
    """Fewer images than features, constant images: the matrix has no inverse, the distance still exists."""
    flat = np.zeros((40, 40))
    wide = random_covariance(3, 40, 40)
    line = np.diag([4.0, *[0] * 39])
    other_line = np.diag([0, 9.0, *[0] * 38])
    thin = random_covariance(4, 40, 5)
    assert between(flat, flat) == 0
    assert between(flat, wide) == approx(np.trace(wide), rel=1e-9)
    assert between(line, other_line) == approx(13.0, rel=1e-6)
    assert 0 <= between(thin, thin) < 1e-5
    roots = np.sqrt(np.linalg.eigvals(thin @ wide).real.clip(0))
    assert between(thin, wide) == approx(np.trace(thin) + np.trace(wide) - 2 * roots.sum(), rel=1e-5)


def colours(images: torch.Tensor) -> list[torch.Tensor]:
    """Stands for Inception: returns its input's colours at every position."""
    return [images]


@pytest.mark.parametrize("batch_size", [5, 100])
def test_one_pass_gives_features_in_order_and_their_statistics(batch_size):
    images = photographs(23)
    indices = np.array([3, 0, 22, 7])
    measured = image_features(images, colours, batch_size, "cpu")
    features = measured["features"]
    assert features.dtype == np.float32
    assert_allclose(features, (images / 255.0).mean((2, 3)), atol=1e-6)
    assert_allclose(measured["mean"], features.mean(0, dtype=np.float64), rtol=1e-12)
    assert_allclose(measured["covariance"], np.cov(features.astype(np.float64), rowvar=False), rtol=1e-9)
    few = images // 64
    parts = list(extract_features(few, colours, batch_size, "cpu", levels=4, indices=indices))
    assert_allclose(torch.cat(parts), (few[indices] / 3).mean((2, 3)), atol=1e-6)


def test_grey_images_are_repeated_and_features_that_are_not_finite_are_refused():
    grey = photographs(3)[:, :1]
    (measured,) = extract_features(grey, colours, 3, "cpu")
    (wanted,) = extract_features(grey.repeat(3, axis=1), colours, 3, "cpu")
    assert torch.equal(measured, wanted)
    with user_error("features are not finite"):
        list(extract_features(photographs(4), lambda x: [torch.where(x == x.max(), torch.nan, x)], 4, "cpu"))


@pytest.mark.parametrize("features", [64, 768, 2048])  # 192: the next test
def test_our_features_are_the_original_modules(features, inception_file, tmp_path):
    """From PNG files by pytorch-fid's own loop and unfolded network, and from arrays by ours."""
    images = photographs(4, seed=3)
    files = sorted(write_pngs(tmp_path / "images", images).iterdir())
    network = pytorch_fid_network(random_inception(), features)
    wanted = fid_score.get_activations(files, network, 2, features, "cpu", 0)
    ours = image_features(images, load_inception(inception_file, features, "cpu"), 4, "cpu")["features"]
    assert wanted.std(0).max() > 0.01
    assert_allclose(ours, wanted, rtol=0, atol=1e-4)


def gaussian(images: ndarray, net: Any) -> tuple[ndarray, ndarray]:
    """Mean and covariance of the features of images."""
    measured = image_features(images, net, 10, "cpu")
    return measured["mean"], measured["covariance"]


@pytest.mark.skipif(
    "disp" not in inspect.signature(scipy.linalg.sqrtm).parameters,
    reason="scipy 1.18 dropped an argument that the pytorch-fid command passes",
)
@pytest.mark.parametrize(
    "features, count",
    [
        (64, 68),  # more images than features: full rank
        (192, 12),  # the rest singular, as in the demo: the command's matrix root is then good to about 1e-5
        pytest.param(2048, 12, marks=pytest.mark.slow),  # the command takes the root of a matrix of 2048 x 2048
    ],
)
def test_our_fid_is_the_commands(features, count, inception_file, tmp_path, monkeypatch):
    """By the function whose result `pytorch-fid` prints."""
    download = {**random_inception(), **CLASSIFIER}
    monkeypatch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: download)
    net = load_inception(inception_file, features, "cpu")
    first = photographs(count, seed=1)
    second = photographs(count, seed=2) // 2
    folders = [str(write_pngs(tmp_path / name, images)) for name, images in (("1", first), ("2", second))]
    wanted = fid_score.calculate_fid_given_paths(folders, 10, "cpu", features, 0)
    mean, covariance = gaussian(first, net)
    rank = np.linalg.matrix_rank(covariance)
    assert (rank == features) == (features == 64)
    assert wanted > 1
    assert frechet_distance(mean, covariance, *gaussian(second, net)) == approx(wanted, abs=1e-3)


def images_of(count: int, seed: int, most: int = 256) -> ndarray:
    return np.random.default_rng(seed).integers(0, most, (count, 3, 2, 2), np.uint8)


def reference_of(images: ndarray, count: int, sets: int = 1) -> Reference:
    content = {"images": count, "sets": sets, "levels": 256}
    real = Result(Path("r.npz"), content, image_features(images, pixels, 7, "cpu"))
    return Reference(real, pixels, 7, "cpu")


def test_each_set_is_measured_as_if_it_were_alone():
    samples = images_of(100, 0, 200)
    real = images_of(30, 1)
    features, measured = reference_of(real, 30, sets=3).measure_sets(samples)
    alone = [reference_of(real, 30).measure_sets(samples[start : start + 30]) for start in (0, 30, 60)]
    distances = [numbers["fid"] for _, numbers in alone]
    assert measured["fid_by_set"] == approx(distances, rel=1e-12)
    assert (measured["fid"], measured["fid_sd"]) == approx((np.mean(distances), np.std(distances, ddof=1)))
    first_features, first = alone[0]
    assert_array_equal(features, first_features)
    assert first["fid_sd"] is None
    differ = {name for name, value in measured.items() if value != first[name]}
    assert differ == {"fid", "fid_by_set", "fid_sd", "fid_sets"}  # all else is of the first set
    distance = frechet_distance(*gaussian(samples[:30], pixels), *gaussian(real, pixels))
    assert first["fid"] == approx(distance, rel=1e-6)


def test_features_of_so_many_images_are_kept_and_fid_is_of_all(monkeypatch):
    samples = images_of(50, 0, 200)
    real = images_of(50, 1)
    features, whole = reference_of(real, 50).measure_sets(samples)
    monkeypatch.setattr(arrays, "MOST_FEATURES", 12)
    reference = reference_of(real, 50)
    kept, measured = reference.measure_sets(samples)
    chosen = np.arange(12) * 50 // 12  # evenly spaced
    assert_array_equal(kept, features[chosen])
    kept_real = reference.real.arrays["features"]
    assert measured["fid"] == whole["fid"]
    assert measured["feature_images"] == 12
    wanted = kernel_inception_distance(kept, kept_real, "cpu") | compare_neighbours(kept, kept_real, "cpu")
    assert wanted.items() <= measured.items()


@pytest.mark.parametrize("levels, variance", [(256, 400), (32, 25)])
def test_images_of_a_gaussian_have_the_training_pixels_mean_and_covariance(levels, variance):
    """A few draws of the narrower range lie outside it and are clipped."""
    random = np.random.default_rng(0)
    covariance = variance * np.array([[1, 0.8], [0.8, 1]])
    pairs = random.multivariate_normal([levels / 2] * 2, covariance, 500)
    train = pairs.round().clip(0, levels - 1).astype(np.uint8)
    images = train.reshape(500, 1, 1, 2)
    drawn = fid.gaussian_images(images, 20_000, levels)
    values = drawn.reshape(-1, 2).astype(float)
    assert drawn.max() < levels
    assert_allclose(values.mean(0), train.mean(0), atol=0.5)
    assert_allclose(np.cov(values.T), np.cov(train.T.astype(float)), rtol=0.05, atol=variance / 80)
    assert_array_equal(fid.gaussian_images(images, 20_000, levels), drawn)
