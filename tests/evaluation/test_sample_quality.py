"""KID, precision, recall, density, coverage, diversity: against their definitions, and what they say of known sets."""

import numpy as np
import pytest
from numpy import ndarray
from pytest import approx
from scipy.spatial.distance import cdist, pdist

from vaeglow.evaluation import sample_quality
from vaeglow.evaluation.sample_quality import compare_neighbours, kernel_inception_distance


def rows(count: int, seed: int, shift: float = 0.0) -> ndarray:
    """Features like Inception's: not negative, skewed; float32."""
    values = np.random.default_rng(seed).gamma(2.0, 0.3, (count, 6))
    return (values + shift).astype(np.float32)


def kid_written_out(first: ndarray, second: ndarray) -> float:
    """The unbiased estimator: without the pairs of an image and itself."""

    def k(x: ndarray, y: ndarray) -> ndarray:
        return (x.astype(float) @ y.astype(float).T / 6 + 1) ** 3

    def own(x: ndarray) -> float:
        return k(x, x)[~np.eye(len(x), dtype=bool)].mean()

    return own(first) + own(second) - 2 * k(first, second).mean()


@pytest.mark.parametrize("n, m", [(5, 12), (12, 3)])
def test_kid_is_the_formula_and_its_error_the_jackknife(n, m):
    first = rows(n, 0)
    second = rows(m, 1, shift=0.2)
    measured = kernel_inception_distance(first, second, "cpu")
    assert measured["kid"] == approx(kid_written_out(first, second), rel=1e-9)
    without_one = np.array([kid_written_out(np.delete(first, i, 0), second) for i in range(n)])
    without_two = np.array([kid_written_out(first, np.delete(second, i, 0)) for i in range(m)])
    variance = (n - 1) * without_one.var() + (m - 1) * without_two.var()
    assert measured["kid_standard_error"] == approx(variance**0.5, rel=1e-9)


@pytest.mark.parametrize("block, columns", [(7, 31), (31, 1)])
def test_the_block_size_is_irrelevant(block, columns, monkeypatch):
    first = cloud(23, 0, 0.5)
    second = cloud(31, 1)
    wanted = compare(first, second) | kernel_inception_distance(first, second, "cpu")
    monkeypatch.setattr(sample_quality, "COLUMNS", columns)
    monkeypatch.setattr(sample_quality, "BLOCK", block)
    monkeypatch.setattr(sample_quality, "KERNEL_BLOCK", block)
    assert compare(first, second) | kernel_inception_distance(first, second, "cpu") == approx(wanted, rel=1e-9)


def cloud(count: int, seed: int, centre: float = 0.0, scale: float = 1.0) -> ndarray:
    values = np.random.default_rng(seed).normal(size=(count, 5))
    return (centre + scale * values).astype(np.float32)


def compare(samples: ndarray, reference: ndarray) -> dict[str, float]:
    return compare_neighbours(samples, reference, "cpu")


def written_out(samples: ndarray, reference: ndarray) -> dict[str, float]:
    """By scipy's distances, all at once."""
    samples = samples.astype(float)
    reference = reference.astype(float)
    between = cdist(samples, reference)
    in_samples = np.sort(cdist(samples, samples))
    in_reference = np.sort(cdist(reference, reference))
    near = between <= in_reference[:, 5]
    return {
        "precision": (between <= in_reference[:, 3]).any(1).mean(),
        "recall": (between <= in_samples[:, 3, None]).any(0).mean(),
        "density": near.sum() / (5 * len(samples)),
        "coverage": near.any(0).mean(),
        "diversity": pdist(samples).mean(),
        "reference_diversity": pdist(reference).mean(),
    }


@pytest.mark.parametrize("n, m", [(30, 70), (70, 6)])
def test_they_are_their_definitions(n, m):
    samples = cloud(n, 0, 0.5)
    reference = cloud(m, 1, 0.0, 1.3)
    assert compare(samples, reference) == approx(written_out(samples, reference), rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_equal_sets_have_precision_recall_and_coverage_one(offset):
    """Also with copies among them, whose balls have radius 0, and far from the origin, where rounding is coarse."""
    real = cloud(30, 0, offset)
    copies = np.concatenate([real, np.repeat(real[:2], 6, axis=0)])
    for images in (real, copies):
        measured = compare(images[::-1].copy(), images)
        assert measured["precision"] == measured["recall"] == measured["coverage"] == 1
        assert measured["diversity"] == approx(measured["reference_diversity"], rel=1e-9)
    thrice = np.repeat(real[:3], 10, axis=0)  # balls of radius 0, each with ten images
    missing = compare(thrice[:20], thrice)  # nothing of the third image: its 10 balls stay empty
    assert missing["coverage"] == approx(2 / 3)
    assert missing["density"] == approx(2 * 10 * 10 / (5 * 20))
