"""Precision, recall, density, coverage, diversity: against their definitions, and what they say of known sets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from vaeglow.evaluation import neighbours
from vaeglow.evaluation.neighbours import compare_neighbours


def cloud(count: int, seed: int, centre: float = 0.0, scale: float = 1.0, features: int = 5) -> np.ndarray:
    return (centre + scale * np.random.default_rng(seed).normal(size=(count, features))).astype(np.float32)


def compare(samples: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    return compare_neighbours(samples, reference, "cpu")


def written_out(samples: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """By scipy's distances, all at once."""
    samples, reference = samples.astype(float), reference.astype(float)
    radii = {name: np.sort(cdist(x, x))[:, 3] for name, x in (("samples", samples), ("reference", reference))}
    between, wider = cdist(samples, reference), np.sort(cdist(reference, reference))[:, 5]
    return {
        "precision": (between <= radii["reference"]).any(1).mean(),
        "recall": (between <= radii["samples"][:, None]).any(0).mean(),
        "density": (between <= wider).sum() / (5 * len(samples)),
        "coverage": (between <= wider).any(0).mean(),
        "diversity": pdist(samples).mean(),
        "reference_diversity": pdist(reference).mean(),
    }


@pytest.mark.parametrize(("n", "m"), [(40, 40), (30, 70), (70, 6)])
def test_they_are_their_definitions(n: int, m: int) -> None:
    samples, reference = cloud(n, 0, 0.5), cloud(m, 1, 0.0, 1.3)
    found = compare(samples, reference)
    assert found == pytest.approx(written_out(samples, reference), rel=1e-9)
    swapped = compare(reference, samples)
    assert (swapped["precision"], swapped["recall"]) == (found["recall"], found["precision"])


def test_six_numbers_on_a_line() -> None:
    """By hand. Real images at 0..5: balls of radius 3 2 2 2 2 3 (third nearest) and 5 4 3 3 4 5 (fifth nearest)."""
    real = np.arange(6, dtype=np.float32)[:, None]
    samples = np.array([[-5], [2.5], [50], [51], [52], [53]], np.float32)  # third nearest: 56 49.5 3 2 2 3
    found = compare(samples, real)
    assert found["precision"] == pytest.approx(1 / 6)  # 2.5 only
    assert found["recall"] == 1  # the ball of -5 reaches to 51
    assert found["density"] == pytest.approx((1 + 6) / (5 * 6))  # -5 on the surface of one ball, 2.5 in all six
    assert found["coverage"] == 1
    samples[1] = 49  # now the ball of 0 alone holds a sample
    found = compare(samples, real)
    assert (found["precision"], found["density"], found["coverage"]) == pytest.approx((0, 1 / 30, 1 / 6))


def test_the_block_size_is_irrelevant(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, reference = cloud(23, 0, 0.5), cloud(31, 1)
    wanted = compare(samples, reference)
    assert all(0 < wanted[name] < 1 for name in ("precision", "recall", "density", "coverage"))
    for block, columns in ((1, 4096), (7, 31), (23, 5), (31, 1)):
        monkeypatch.setattr(neighbours, "COLUMNS", columns)
        monkeypatch.setattr(neighbours, "BLOCK", block)
        assert compare(samples, reference) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_equal_sets_have_precision_recall_and_coverage_one(offset: float) -> None:
    """Also with copies among them, whose balls have radius 0, and far from the origin, where rounding is coarse."""
    real = cloud(30, 0, offset)
    copies = np.concatenate([real, np.repeat(real[:2], 6, axis=0)])
    for one in (real, copies):
        found = compare(one[::-1].copy(), one)
        assert found["precision"] == found["recall"] == found["coverage"] == 1
        assert found["diversity"] == pytest.approx(found["reference_diversity"], rel=1e-9)


def test_density_of_equal_sets_counts_each_image_and_its_neighbours() -> None:
    """No ties: a ball holds its own image and five others, six over k = 5. Copies: each ball holds all of its image."""
    real = cloud(30, 0)
    assert compare(real, real)["density"] == pytest.approx(6 / 5)
    copies = np.repeat(real[:3], 10, axis=0)  # radius 0
    found = compare(copies, copies)
    assert found["density"] == pytest.approx(10 / 5) and found["coverage"] == 1
    missing = compare(copies[:20], copies)  # nothing of the third image: its 10 balls stay empty
    assert missing["coverage"] == pytest.approx(2 / 3)
    assert missing["density"] == pytest.approx(2 * 10 * 10 / (5 * 20))


def test_density_and_coverage_of_perfect_samples_are_what_theory_says() -> None:
    """Naeem et al. (2020): 1, and 1 - (N - 1)...(N - k) / (2N - 1)...(2N - k), about 1 - 1/2^k."""
    found = [compare(cloud(200, 2 * i), cloud(200, 2 * i + 1)) for i in range(20)]
    k = np.arange(1, 6)
    coverage = 1 - np.prod((200 - k) / (400 - k))
    for name, wanted in (("density", 1.0), ("coverage", coverage)):
        values = np.array([one[name] for one in found])
        assert abs(values.mean() - wanted) < 4 * values.std() / len(values) ** 0.5 < 0.05


def test_one_stray_real_image_spoils_precision_but_not_density() -> None:
    """What density is for: an outlier's ball reaches far, and every sample in it counts as real for precision."""
    real = np.concatenate([cloud(200, 0), np.full((1, 5), 30, np.float32)])
    found = compare(cloud(200, 1, 8.0, 0.5), real)
    assert found["precision"] == 1 and found["coverage"] < 0.01 and found["density"] < 0.3


def test_a_collapsed_set_loses_recall_and_diversity_but_not_precision() -> None:
    real = cloud(300, 0)
    whole, collapsed = compare(cloud(300, 1), real), compare(cloud(300, 1, scale=0.1), real)
    assert collapsed["precision"] >= whole["precision"] > 0.5
    assert whole["recall"] > 0.5 and collapsed["recall"] < 0.1
    assert collapsed["diversity"] < 0.2 * whole["diversity"]
    single = compare(np.repeat(real[:1], 300, axis=0), real)  # a model that always draws one training image
    assert single["coverage"] < 0.05 < whole["coverage"]
    assert single["precision"] == 1 and single["recall"] == pytest.approx(1 / 300) and single["diversity"] == 0
