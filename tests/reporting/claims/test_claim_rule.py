"""The rule of verdicts, and intervals that cover as often as they say."""

import itertools
import math
import re

import numpy as np
import pytest
import scipy.stats
import torch
from claims_tools import claim

from vaeglow.evaluation import bootstrap
from vaeglow.evaluation.bootstrap import DRAWS
from vaeglow.evaluation.sample_quality import kernel
from vaeglow.reporting.claims import Measured, statistics
from vaeglow.reporting.claims.statistics import FAILS, HOLDS, UNDECIDED, judge, rule
from vaeglow.reporting.columns import LEVEL

ENDS = (-math.inf, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, math.inf)
INTERVALS = [(low, high) for low, high in itertools.combinations_with_replacement(ENDS, 2)]


def measured(effects, draws=None, units: int | None = 1000) -> Measured:
    effects = np.atleast_1d(np.asarray(effects, float))[:, None]
    draws = effects if draws is None else np.concatenate([effects, np.atleast_2d(draws)], axis=1)
    return Measured(draws, "KID", "a minus b", "60 images", "bootstrap", units)


def one_seed(effect: float, spread: float, units: int = 1000) -> Measured:
    return measured(effect, effect + spread * np.random.default_rng(0).normal(size=DRAWS), units)


def verdict(found: list[Measured], **keys) -> str:
    return judge(claim("kid", **keys), found)[1]


def test_a_claim_holds_only_if_the_whole_interval_is_where_it_needs_it_and_fails_only_if_it_is_outside():
    for low, high in INTERVALS:
        for threshold, entry in ((0, {}), (1, {"threshold": 1})):
            given = rule(low, high, entry)
            assert (given == HOLDS) == (low > threshold) and (given == FAILS) == (high < threshold)
        same = rule(low, high, {"margin": 1.0})
        assert (same == HOLDS) == (high < 1) and (same == FAILS) == (low > 1)  # no gain: a loss is none, either


@pytest.mark.parametrize(("effect", "shown"), [(1.0, "holds"), (-1.0, "does not hold")])
@pytest.mark.parametrize(("count", "name"), [(1, "one seed"), (2, "two seeds")])
def test_one_or_two_seeds_cannot_decide_a_claim_about_training_and_the_note_says_what_they_show(
    effect, shown, count, name
):
    found = [one_seed(effect, 0.1)] * count
    interval, given, notes = judge(claim("kid", training=True), found)
    assert given == UNDECIDED and notes[0].startswith(name) and f"would give '{shown}'" in notes[0]
    assert judge(claim("kid", training=False), found) == (interval, shown, [name])


def test_three_seeds_are_judged_by_students_t_over_seeds_and_not_by_images():
    effects = [0.5, 0.7, 0.6]
    interval, given, notes = judge(claim("kid", training=True), [one_seed(effect, 1e-3) for effect in effects])
    t = scipy.stats.ttest_1samp(effects, 0).confidence_interval(LEVEL)
    assert interval[1:3] == pytest.approx((t.low, t.high))
    assert interval[3] == "t over 3 seeds" and given == HOLDS and notes == []
    scattered = [one_seed(effect, 1e-3) for effect in (0.1, 2.0, 0.4)]
    assert verdict(scattered, training=True) == UNDECIDED  # though every seed alone is decided


@pytest.mark.parametrize(
    ("effects", "keys"),
    [
        ([[0.1], [2.0], [0.4]], {}),
        ([[0.6], [2.0], [0.4]], {"threshold": 0.5}),
        ([[-0.1], [-2.0], [-0.4]], {"margin": 0.2}),
        ([[-0.8, 3.0], [-1.5, 9.0], [-0.9, 6.0]], {}),  # the least of two fails, at half the tail
    ],
)
def test_so_many_seeds_decide_it_four_times_in_five(effects, keys):
    seeds, entry, random = np.array(effects), claim("kid", training=True, **keys), np.random.default_rng(0)
    _, given, notes = judge(entry, [measured(seed) for seed in seeds])
    words = "about (\\d+) seeds that spread like these would decide it with 80% power"
    count = int(re.fullmatch(words, notes[0])[1])
    assert given == UNDECIDED and count > len(seeds)
    spread = seeds.std(0, ddof=1)
    for number, low, high in ((count, 0.77, 1.0), (count - 1, 0.0, 0.83)):
        drawn = seeds.mean(0) + spread * random.normal(size=(1500, number, len(spread)))
        decided = [verdict([measured(seed) for seed in study], training=True, **keys) != UNDECIDED for study in drawn]
        assert low < np.mean(decided) <= high


def test_no_number_of_seeds_decides_an_effect_of_nothing():
    _, _, notes = judge(claim("kid", training=True), [one_seed(effect, 1e-3) for effect in (1.0, 0.0, -1.0)])
    assert notes == ["more than 1,000 seeds that spread like these would decide it with 80% power"]


def test_p_is_that_of_the_t_test_against_the_threshold():
    for effects, keys, null in (
        ([0.5, 0.7, 0.6], {}, 0.0),
        ([0.5, 0.9, -0.2, 0.1], {"threshold": 1.0}, 1.0),
        ([0.5, 0.7], {}, 0.0),
    ):
        found = [measured(effect) for effect in effects] * (1 if len(effects) > 2 else 2)
        wanted = scipy.stats.ttest_1samp([one.draws[0, 0] for one in found], null).pvalue
        assert statistics.p_value(found, claim("kid", **keys)) == pytest.approx(wanted, rel=1e-6)
    assert statistics.p_value([measured([3.0, 0.1]), measured([4.0, -0.1]), measured([5.0, 0.0])], claim("kid")) == 1.0


def test_holms_correction_is_the_textbooks():
    np.testing.assert_allclose(statistics.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(statistics.holm([0.6, 1.0]), [1.0, 1.0])
    assert list(statistics.holm([])) == []


def test_nothing_to_resample_means_no_interval_under_three_seeds_and_one_from_three_on():
    found = [measured(effect) for effect in (1.0, 1.1, 1.2)]
    for training, shown in ((True, "would give no interval, so nothing"), (False, "two seeds")):
        interval, given, notes = judge(claim("information", training=training), found[:2])
        assert (*interval[1:3], given) == (-math.inf, math.inf, UNDECIDED) and shown in notes[0]
        assert verdict(found, training=training) == HOLDS


def test_an_effect_without_a_value_or_of_one_image_is_undecided():
    assert verdict([one_seed(1.0, 0.0, units=1)]) == UNDECIDED
    assert verdict([measured(np.nan, np.full((1, DRAWS), np.nan))]) == UNDECIDED
    assert verdict([measured(np.nan)] * 3) == UNDECIDED
    draws = np.where(np.arange(DRAWS) % 20 == 0, np.nan, 1.0)  # 5% of the draws have none: either end is open
    assert verdict([measured(1.0, draws)]) == UNDECIDED


def test_the_interval_of_a_mean_covers_even_with_six_images(monkeypatch):
    monkeypatch.setattr(bootstrap, "DRAWS", 500)
    random, hits = np.random.default_rng(3), {6: 0, None: 0}
    for repeat in range(300):
        draws = bootstrap.mean_draws(random.normal(size=6), repeat)[1:]
        for units in hits:
            low, high = statistics.percentile_bounds(draws, units, 0.025, 0.025)
            hits[units] += low <= 0 <= high
    assert hits[6] / 300 >= 0.93 > 0.90 > hits[None] / 300  # and the plain percentile interval would not have


def between(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return kernel(torch.from_numpy(x), torch.from_numpy(y)).numpy()


def expected_kernel(a: np.ndarray, b: np.ndarray) -> float:
    """E (x.y / d + 1)^3 for x ~ N(a, I) and y ~ N(b, I), from the moments of x.y."""
    d, product, square, other = len(a), a @ b, a @ a, b @ b
    moments = product, d + square + other + product**2, product**3 + 3 * product * (square + other + d + 2)
    return 1 + 3 * moments[0] / d + 3 * moments[1] / d**2 + moments[2] / d**3


def test_the_interval_of_a_kid_difference_covers(monkeypatch):
    """Samples of two models against one reference, all Gaussian; the true difference in closed form."""
    count, width, repeats = 30, 4, 250
    monkeypatch.setattr(bootstrap, "DRAWS", 300)
    random = np.random.default_rng(5)
    near, far, real = (np.full(width, shift) for shift in (0.5, 0.8, 0.1))
    truth = sum(sign * (expected_kernel(m, m) - 2 * expected_kernel(m, real)) for sign, m in ((1, far), (-1, near)))
    hits, errors, bias, spread = 0, [], [], []
    for repeat in range(repeats):
        x, y, z = (mean + random.normal(size=(count, width)) for mean in (near, far, real))
        u, v, w = (bootstrap.resample(count, repeat, name) for name in ("near", "far", "real"))
        kids = [
            bootstrap.pair_mean(between(s, s), weights) - 2 * bootstrap.cross_mean(between(s, z), weights, w)
            for s, weights in ((x, u), (y, v))
        ]
        found = kids[1] - kids[0]
        low, high = statistics.percentile_bounds(found[1:], count, 0.025, 0.025)
        hits += low <= truth <= high
        errors.append(found[0] - truth)
        bias.append(found[1:].mean() - found[0])
        spread.append(found[1:].std())
    assert 0.91 <= hits / repeats <= 0.99
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(repeats)  # unbiased
    assert abs(np.mean(bias)) < 0.1 * np.mean(spread)  # and resampling does not move it


def test_the_least_of_tied_effects_is_covered_from_both_sides():
    random, hits = np.random.default_rng(7), 0
    for _ in range(300):
        effects = random.normal(size=3)
        draws = effects[:, None] + random.normal(size=(3, DRAWS))
        _, low, high, _ = statistics.interval([measured(effects, draws, None)])
        hits += low <= 0 <= high
    assert hits / 300 >= 0.94


def test_copies_of_one_image_are_no_pair():
    values = np.array([[9.0, 1.0, 2.0], [1.0, 9.0, 3.0], [2.0, 3.0, 9.0]])
    found = bootstrap.pair_mean(values, np.array([[1, 1, 1], [2, 1, 0], [3, 0, 0]], float))
    assert found[:2] == pytest.approx([2.0, 1.0]) and np.isnan(found[2])


def test_weights_are_resamplings_the_first_row_the_sample_itself_and_shared_by_key():
    weights = bootstrap.resample(30, "a", 1)
    assert weights.shape == (1 + DRAWS, 30) and (weights[0] == 1).all() and (weights.sum(1) == 30).all()
    assert (weights == np.round(weights)).all() and (weights >= 0).all()
    assert (weights == bootstrap.resample(30, "a", 1)).all() and (weights != bootstrap.resample(30, "a", 2)).any()
