"""KID: against its formula written out, without bias, its standard error against the spread it is to predict."""

from __future__ import annotations

import numpy as np
import pytest

from vaeglow.evaluation import kid as kid_module
from vaeglow.evaluation.kid import kernel_inception_distance

FEATURES = 6


def rows(count: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    """Features like Inception's: not negative, skewed; float32."""
    values = np.random.default_rng(seed).gamma(2.0, 0.3, (count, FEATURES))
    return (scale * values + shift).astype(np.float32)


def kid(one: np.ndarray, two: np.ndarray) -> float:
    return kernel_inception_distance(one, two, "cpu")["kid"]


def written_out(one: np.ndarray, two: np.ndarray) -> float:
    """The unbiased estimator, term by term."""

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (float(x.astype(float) @ y.astype(float)) / len(x) + 1) ** 3

    own = [np.mean([k(a, b) for i, a in enumerate(part) for j, b in enumerate(part) if i != j]) for part in (one, two)]
    return sum(own) - 2 * np.mean([k(a, b) for a in one for b in two])


@pytest.mark.parametrize(("n", "m"), [(9, 9), (5, 12), (12, 3)])
def test_it_is_the_formula(n: int, m: int) -> None:
    one, two = rows(n, 0), rows(m, 1, shift=0.2)
    assert kid(one, two) == pytest.approx(written_out(one, two), rel=1e-9)
    assert kid(two, one) == pytest.approx(kid(one, two), rel=1e-9)


def test_the_standard_error_is_the_jackknife() -> None:
    one, two = rows(7, 0), rows(10, 1, shift=0.2)
    variance = 0.0
    for part, left_out in [(one, lambda k: (np.delete(one, k, 0), two)), (two, lambda k: (one, np.delete(two, k, 0)))]:
        values = np.array([written_out(*left_out(k)) for k in range(len(part))])
        variance += (len(part) - 1) * values.var()
    found = kernel_inception_distance(one, two, "cpu")
    assert found["kid_standard_error"] == pytest.approx(variance**0.5, rel=1e-9)


def test_the_block_size_is_irrelevant(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = rows(23, 0), rows(31, 1)
    wanted = kernel_inception_distance(one, two, "cpu")
    for block in (1, 7, 23, 31):
        monkeypatch.setattr(kid_module, "BLOCK", block)
        assert kernel_inception_distance(one, two, "cpu") == pytest.approx(wanted, rel=1e-9)


def test_no_bias_and_no_distance_between_equal_distributions() -> None:
    """At 6 images as at 60: the mean over many draws is 0, which an FID's would not be."""
    for count, draws in ((6, 1500), (60, 300)):
        values = np.array([kid(rows(count, 2 * i), rows(count, 2 * i + 1)) for i in range(draws)])
        assert abs(values.mean()) < 4 * values.std() / draws**0.5
        assert (values < 0).any()


def test_no_bias_between_different_distributions() -> None:
    small = np.array([kid(rows(5, 2 * i), rows(8, 2 * i + 1, shift=0.3)) for i in range(1500)])
    large = kernel_inception_distance(rows(4000, 7), rows(4000, 8, shift=0.3), "cpu")
    error = np.hypot(small.std() / len(small) ** 0.5, large["kid_standard_error"])
    assert abs(small.mean() - large["kid"]) < 4 * error < 0.2 * large["kid"]


@pytest.mark.parametrize(("shift", "low", "high"), [(0.3, 0.9, 1.1), (0.0, 1.1, 1.6)])
def test_the_standard_error_is_the_spread_over_draws(shift: float, low: float, high: float) -> None:
    """Of independent samples and references; up to sqrt(2) too large where there is no distance to find."""
    found = [kernel_inception_distance(rows(80, 2 * i), rows(120, 2 * i + 1, shift), "cpu") for i in range(400)]
    spread = np.std([one["kid"] for one in found], ddof=1)
    predicted = np.mean([one["kid_standard_error"] ** 2 for one in found]) ** 0.5
    assert low < predicted / spread < high
