"""The rule of verdicts, and intervals that cover as often as they say."""

import itertools
import math
import re

import numpy as np
import pytest
import scipy.stats
import torch
import yaml
from claims_tools import claim
from numpy import ndarray
from numpy.testing import assert_allclose
from pytest import approx

from vaeglow.evaluation import bootstrap
from vaeglow.evaluation.bootstrap import DRAWS
from vaeglow.evaluation.sample_quality import kernel
from vaeglow.reporting.claims import Measured, statistics
from vaeglow.reporting.claims.statistics import FAILS, HOLDS, UNDECIDED, judge, rule
from vaeglow.reporting.columns import LEVEL

ENDS = (-math.inf, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, math.inf)


def measured(effects, draws=None, units: int | None = 1000) -> Measured:
    effects = np.atleast_1d(np.asarray(effects, float))[:, None]
    if draws is not None:
        effects = np.concatenate([effects, np.atleast_2d(draws)], axis=1)
    return Measured(effects, "KID", "a minus b", "60 images", "bootstrap", units)


def one_seed(effect: float, spread: float, units: int = 1000) -> Measured:
    return measured(effect, effect + spread * np.random.default_rng(0).normal(size=DRAWS), units)


def verdict(seeds: list[Measured], **keys) -> str:
    return judge(claim("kid", **keys), seeds)[1]


@pytest.mark.parametrize("low, high", [*itertools.combinations_with_replacement(ENDS, 2)])
def test_a_claim_holds_only_if_the_whole_interval_is_where_it_needs_it_and_fails_only_if_it_is_outside(low, high):
    expected = {True: HOLDS, False: UNDECIDED}
    for threshold, entry in ((0, {}), (1, {"threshold": 1})):
        assert rule(low, high, entry) == (FAILS if high < threshold else expected[low > threshold])
    # no gain: a loss is none, either
    assert rule(low, high, {"margin": 1.0}) == (FAILS if low > 1 else expected[high < 1])


@pytest.mark.parametrize("effect, shown", [(1.0, "holds"), (-1.0, "does not hold")])
@pytest.mark.parametrize("count, name", [(1, "one seed"), (2, "two seeds")])
def test_one_or_two_seeds_cannot_decide_a_claim_about_training_and_the_note_says_what_they_show(
    effect, shown, count, name
):
    seeds = [one_seed(effect, 0.1)] * count
    interval, given, notes = judge(claim("kid", training=True), seeds)
    assert given == UNDECIDED
    assert notes[0].startswith(name)
    assert f"would give '{shown}'" in notes[0]
    assert judge(claim("kid", training=False), seeds) == (interval, shown, [name])


def test_three_seeds_are_judged_by_students_t_over_seeds_and_not_by_images():
    effects = [0.5, 0.7, 0.6]
    interval, given, notes = judge(claim("kid", training=True), [one_seed(effect, 1e-3) for effect in effects])
    t = scipy.stats.ttest_1samp(effects, 0).confidence_interval(LEVEL)
    assert (interval.low, interval.high) == approx((t.low, t.high))
    assert interval.how == "t over 3 seeds"
    assert given == HOLDS
    assert notes == []
    scattered = [one_seed(effect, 1e-3) for effect in (0.1, 2.0, 0.4)]
    assert verdict(scattered, training=True) == UNDECIDED  # though every seed alone is decided


@pytest.mark.parametrize(
    "effects, keys",
    yaml.safe_load("""
    - [[[0.1], [2.0], [0.4]], {}]
    - [[[0.6], [2.0], [0.4]], {threshold: 0.5}]
    - [[[-0.1], [-2.0], [-0.4]], {margin: 0.2}]
    - [[[-0.8, 3.0], [-1.5, 9.0], [-0.9, 6.0]], {}]  # the least of two fails, at half the tail
    """),
)
def test_so_many_seeds_decide_it_four_times_in_five(effects, keys):
    _, given, notes = judge(claim("kid", training=True, **keys), [measured(seed) for seed in effects])
    words = "about (\\d+) seeds that spread like these would decide it with 80% power"
    count = int(re.fullmatch(words, notes[0])[1])
    assert given == UNDECIDED
    assert count > len(effects)
    random = np.random.default_rng(0)
    mean = np.mean(effects, axis=0)
    spread = np.std(effects, axis=0, ddof=1)
    for number, low, high in ((count, 0.74, 1.0), (count - 1, 0.0, 0.86)):
        studies = mean + spread * random.normal(size=(400, number, len(spread)))
        verdicts = [statistics.verdict_of(list(map(measured, study)), claim("kid", **keys)) for study in studies]
        assert low < 1 - verdicts.count(UNDECIDED) / 400 <= high


@pytest.mark.parametrize("rivals, fails", [(1, 34), (2, 41), (3, 45)])
def test_seeds_for_power_are_those_of_a_t_test_at_a_share_of_the_tail_for_each_rival(rivals, fails):
    """Of half a standard deviation: 34 is the textbook's. All effects must hold, but one of several may fail."""
    effects = (3.0, 1.0, -1.0)
    holding = [measured([effect] * rivals) for effect in effects]
    failing = [measured([-effect] * rivals) for effect in effects]
    assert statistics.seeds_for_power(holding, claim("kid")) == 34
    assert statistics.seeds_for_power(failing, claim("kid")) == fails


def test_no_number_of_seeds_decides_an_effect_of_nothing():
    _, _, notes = judge(claim("kid", training=True), [one_seed(effect, 1e-3) for effect in (1.0, 0.0, -1.0)])
    assert notes == ["more than 1,000 seeds that spread like these would decide it with 80% power"]
    _, given, notes = judge(claim("kid", training=True), [measured([effect]) for effect in (1.0, 2.0, math.nan)])
    assert given == UNDECIDED
    assert notes == ["an effect has no value"]


@pytest.mark.parametrize(
    "effects, threshold",
    [
        ([0.5, 0.7, 0.6], 0.0),
        ([0.5, 0.9, -0.2, 0.1], 1.0),
    ],
)
def test_p_is_that_of_the_t_test_against_the_threshold(effects, threshold):
    p = statistics.p_value([measured(effect) for effect in effects], claim("kid", threshold=threshold))
    assert p == approx(scipy.stats.ttest_1samp(effects, threshold).pvalue, rel=1e-6)


def test_p_is_1_where_the_interval_never_decides():
    seeds = [measured(effects) for effects in ([3.0, 0.1], [4.0, -0.1], [5.0, 0.0])]
    assert statistics.p_value(seeds, claim("kid")) == 1.0


def test_holms_correction_is_the_textbooks():
    assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert_allclose(statistics.holm([0.6, 1.0]), [1.0, 1.0])
    assert list(statistics.holm([])) == []


@pytest.mark.parametrize("training, shown", [(True, "would give no interval, so nothing"), (False, "two seeds")])
def test_nothing_to_resample_means_no_interval_under_three_seeds_and_one_from_three_on(training, shown):
    seeds = [measured(effect) for effect in (1.0, 1.1, 1.2)]
    interval, given, notes = judge(claim("information", training=training), seeds[:2])
    assert (interval.low, interval.high, given) == (-math.inf, math.inf, UNDECIDED)
    assert shown in notes[0]
    assert verdict(seeds, training=training) == HOLDS


MISSING = np.where(np.arange(DRAWS) % 20 == 0, np.nan, 1.0)  # 5% of the draws have no value: either end is open


@pytest.mark.parametrize(
    "seeds",
    [
        [one_seed(1.0, 0.0, units=1)],
        [measured(np.nan, np.full((1, DRAWS), np.nan))],
        [measured(np.nan)] * 3,
        [measured(1.0, MISSING)],
    ],
)
def test_an_effect_without_a_value_or_of_one_image_is_undecided(seeds):
    assert verdict(seeds) == UNDECIDED


def test_the_interval_of_a_mean_covers_even_with_six_images(monkeypatch):
    monkeypatch.setattr(bootstrap, "DRAWS", 500)
    random = np.random.default_rng(3)
    hits = {6: 0, None: 0}
    for repeat in range(300):
        draws = bootstrap.mean_draws(random.normal(size=6), repeat)[1:]
        for units in hits:
            low, high = statistics.percentile_bounds(draws, units, 0.025, 0.025)
            hits[units] += low <= 0 <= high
    assert hits[6] / 300 >= 0.93 > 0.90 > hits[None] / 300  # and the plain percentile interval would not have


def between(x: ndarray, y: ndarray) -> ndarray:
    return kernel(torch.from_numpy(x), torch.from_numpy(y)).numpy()


def expected_kernel(a: ndarray, b: ndarray) -> float:
    """E (x.y / d + 1)^3 for x ~ N(a, I) and y ~ N(b, I), from the moments of x.y."""
    d = len(a)
    first = a @ b
    squares = a @ a + b @ b
    second = d + squares + first**2
    third = first**3 + 3 * first * (squares + d + 2)
    return 1 + 3 * first / d + 3 * second / d**2 + third / d**3


def test_the_interval_of_a_kid_difference_covers(monkeypatch):
    """Samples of two models against one reference, all Gaussian; the true difference in closed form."""
    count = 30
    repeats = 250
    monkeypatch.setattr(bootstrap, "DRAWS", 300)
    random = np.random.default_rng(5)
    near, far, real = (np.full(4, shift) for shift in (0.5, 0.8, 0.1))

    def true_kid(mean: ndarray) -> float:
        """Without the term of the reference alone."""
        return expected_kernel(mean, mean) - 2 * expected_kernel(mean, real)

    def kid(samples: ndarray, weights: ndarray, reference: ndarray, others: ndarray) -> ndarray:
        own = bootstrap.pair_mean(between(samples, samples), weights)
        return own - 2 * bootstrap.cross_mean(between(samples, reference), weights, others)

    truth = true_kid(far) - true_kid(near)
    hits = 0
    errors = []
    bias = []
    spread = []
    for repeat in range(repeats):
        x, y, z = (mean + random.normal(size=(count, 4)) for mean in (near, far, real))
        u, v, w = (bootstrap.resample(count, repeat, name) for name in ("near", "far", "real"))
        difference = kid(y, v, z, w) - kid(x, u, z, w)
        low, high = statistics.percentile_bounds(difference[1:], count, 0.025, 0.025)
        hits += low <= truth <= high
        errors.append(difference[0] - truth)
        bias.append(difference[1:].mean() - difference[0])
        spread.append(difference[1:].std())
    assert 0.91 <= hits / repeats <= 0.99
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(repeats)  # unbiased
    assert abs(np.mean(bias)) < 0.1 * np.mean(spread)  # and resampling does not move it


def test_the_least_of_tied_effects_is_covered_from_both_sides():
    random = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        effects = random.normal(size=3)
        draws = effects[:, None] + random.normal(size=(3, DRAWS))
        interval = statistics.interval([measured(effects, draws, None)])
        hits += interval.low <= 0 <= interval.high
    assert hits / 200 >= 0.93


def test_weights_are_resamplings_the_first_row_the_sample_itself_and_shared_by_key():
    weights = bootstrap.resample(30, "a", 1)
    assert weights.shape == (1 + DRAWS, 30)
    assert (weights[0] == 1).all()
    assert (weights.sum(1) == 30).all()
    assert (weights == bootstrap.resample(30, "a", 1)).all()
    assert (weights != bootstrap.resample(30, "a", 2)).any()
