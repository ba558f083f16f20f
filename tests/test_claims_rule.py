from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from claims_tools import claim

from vaeglow.evaluation.kid import kernel_inception_distance
from vaeglow.evaluation.neighbours import compare_neighbours
from vaeglow.reporting.claims import features, statistics
from vaeglow.reporting.claims.statistics import DRAWS, LEVEL, Measured
from vaeglow.reporting.claims.verdict import FAILS, HOLDS, RULE, UNDECIDED, judge, rule

ENDS = (-math.inf, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, math.inf)
INTERVALS = [(low, high) for low, high in itertools.combinations_with_replacement(ENDS, 2)]
SAME = {"margin": 1.0}
ABOVE = {"threshold": 0.0}
WORTH = {FAILS: 0, UNDECIDED: 1, HOLDS: 2}


def measured(effects, draws=None, units: int | None = 1000) -> Measured:
    effects = np.atleast_1d(np.asarray(effects, float))
    draws = None if draws is None else np.atleast_2d(draws)
    return Measured(effects, draws, units, "bootstrap", "KID", "a minus b", "60 images", {})


def one_seed(effect: float, spread: float, units: int = 1000) -> Measured:
    return measured(effect, effect + spread * np.random.default_rng(0).normal(size=DRAWS), units)


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_a_claim_holds_only_if_the_whole_interval_is_where_it_needs_it_and_fails_only_if_it_is_outside(low, high):
    above, same = rule(low, high, ABOVE), rule(low, high, SAME)
    assert (above == HOLDS) == (low > 0) and (above == FAILS) == (high < 0)
    assert (same == HOLDS) == (high < 1) and (same == FAILS) == (low > 1)  # no gain: a loss is none, either


def test_a_better_interval_never_gets_a_worse_verdict_and_a_wider_one_is_never_decided_otherwise():
    for (low, high), (better_low, better_high) in itertools.product(INTERVALS, INTERVALS):
        verdict, other = rule(low, high, ABOVE), rule(better_low, better_high, ABOVE)
        if better_low >= low and better_high >= high:
            assert WORTH[other] >= WORTH[verdict]
        if better_low <= low and better_high >= high:
            assert other in (verdict, UNDECIDED)


@pytest.mark.parametrize("ends", [(math.nan, 1.0), (0.0, math.nan), (1.0, 0.0)])
def test_there_is_no_verdict_without_an_interval(ends):
    with pytest.raises(ValueError, match="no interval"):
        rule(*ends, ABOVE)


def test_a_threshold_moves_the_verdict():
    found = [one_seed(1.0, 0.1)]
    assert [judge(claim("kid", threshold=t), found).verdict for t in (0.0, 1.0, 2.0)] == [HOLDS, UNDECIDED, FAILS]


def test_one_or_two_seeds_cannot_decide_a_claim_about_training_and_the_note_says_what_they_show():
    for effect, shown in ((1.0, "holds"), (-1.0, "does not hold")):
        for count, name in ((1, "one seed"), (2, "two seeds")):
            judgement = judge(claim("kid", training=True), [one_seed(effect, 0.1)] * count)
            assert judgement.verdict == UNDECIDED
            assert judgement.notes[0].startswith(name) and f"would give '{shown}'" in judgement.notes[0]
            other = judge(claim("kid", training=False), [one_seed(effect, 0.1)] * count)
            assert other.verdict == shown and other.notes == (name,)
            assert other.interval == judgement.interval


def test_three_seeds_are_judged_by_students_t_over_seeds_and_not_by_images():
    effects = [0.5, 0.7, 0.6]
    judgement = judge(claim("kid", training=True), [one_seed(effect, 1e-3) for effect in effects])
    t = scipy.stats.ttest_1samp(effects, 0).confidence_interval(LEVEL)
    assert (judgement.interval.low, judgement.interval.high) == pytest.approx((t.low, t.high))
    assert judgement.interval.how == "t over 3 seeds" and judgement.verdict == HOLDS and judgement.notes == ()
    scattered = judge(claim("kid", training=True), [one_seed(effect, 1e-3) for effect in (0.1, 2.0, 0.4)])
    assert scattered.verdict == UNDECIDED  # though every seed alone is decided


def test_nothing_to_resample_means_no_interval_under_three_seeds_and_one_from_three_on():
    found = [measured(effect) for effect in (1.0, 1.1, 1.2)]
    for training in (True, False):
        judgement = judge(claim("information", training=training), found[:2])
        assert (judgement.interval.low, judgement.interval.high) == (-math.inf, math.inf)
        assert judgement.verdict == UNDECIDED
    assert judge(claim("information", training=True), found).verdict == HOLDS


def test_an_effect_without_a_value_is_undecided():
    draws = np.full((1, DRAWS), np.nan)
    assert judge(claim("kid"), [measured(np.nan, draws)]).verdict == UNDECIDED
    assert judge(claim("kid"), [measured(np.nan)] * 3).verdict == UNDECIDED
    draws = np.where(np.arange(DRAWS) % 20 == 0, np.nan, 1.0)  # 5% of the draws have none: either end is open
    assert judge(claim("kid"), [measured(1.0, draws)]).verdict == UNDECIDED


def test_one_image_bounds_nothing():
    assert judge(claim("kid"), [one_seed(1.0, 0.0, units=1)]).verdict == UNDECIDED


def test_the_rule_as_printed_names_its_verdicts_and_numbers():
    for text in (HOLDS, FAILS, UNDECIDED, "95%", str(DRAWS), str(features.LIMIT), "Student's t", "Bonferroni"):
        assert text in RULE


# ------------------------------------------------------------------------------------- intervals that cover
def test_the_interval_of_a_mean_covers_even_with_six_images(monkeypatch):
    monkeypatch.setattr(statistics, "DRAWS", 1000)
    random, hits, plain = np.random.default_rng(3), 0, 0
    for repeat in range(300):
        values = random.normal(size=6)
        draws = statistics.mean_draws(values, repeat)[1:]
        low, high = statistics.percentile_bounds(draws, 6, 0.025, 0.025)
        hits += low <= 0 <= high
        low, high = statistics.percentile_bounds(draws, None, 0.025, 0.025)
        plain += low <= 0 <= high
    assert hits / 300 >= 0.93 > 0.90 > plain / 300  # and the plain percentile interval would not have


def expected_kernel(a: np.ndarray, b: np.ndarray) -> float:
    """E (x.y / d + 1)^3 for x ~ N(a, I) and y ~ N(b, I), from the moments of x.y."""
    d, product, square, other = len(a), a @ b, a @ a, b @ b
    moments = product, d + square + other + product**2, product**3 + 3 * product * (square + other + d + 2)
    return 1 + 3 * moments[0] / d + 3 * moments[1] / d**2 + moments[2] / d**3


def test_the_interval_of_a_kid_difference_covers(monkeypatch):
    """Samples of two models against one reference, all Gaussian; the true difference in closed form."""
    count, width, repeats = 30, 4, 250
    monkeypatch.setattr(statistics, "DRAWS", 300)
    random = np.random.default_rng(5)
    near, far, real = (np.full(width, shift) for shift in (0.5, 0.8, 0.1))
    truth = sum(sign * (expected_kernel(m, m) - 2 * expected_kernel(m, real)) for sign, m in ((1, far), (-1, near)))
    hits, errors, bias, spread = 0, [], [], []
    for repeat in range(repeats):
        x, y, z = (mean + random.normal(size=(count, width)) for mean in (near, far, real))
        u, v, w = (statistics.resample(count, repeat, name) for name in ("near", "far", "real"))
        kids = [
            features.pair_mean(features.kernel(s, s), weights)
            - 2 * features.cross_mean(features.kernel(s, z), weights, w)
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
        found = statistics.interval([measured(effects, draws, None)])
        hits += found.low <= 0 <= found.high
    assert hits / 300 >= 0.94


def test_copies_of_one_image_are_no_pair():
    values = np.array([[9.0, 1.0, 2.0], [1.0, 9.0, 3.0], [2.0, 3.0, 9.0]])
    found = features.pair_mean(values, np.array([[1, 1, 1], [2, 1, 0], [3, 0, 0]], float))
    assert found[:2] == pytest.approx([2.0, 1.0]) and np.isnan(found[2])


def test_weights_are_resamplings_the_first_row_the_sample_itself_and_shared_by_key():
    weights = statistics.resample(30, "a", 1)
    assert weights.shape == (1 + DRAWS, 30) and (weights[0] == 1).all()
    assert (weights.sum(1) == 30).all() and (weights == np.round(weights)).all() and (weights >= 0).all()
    assert (weights == statistics.resample(30, "a", 1)).all()
    assert (weights[1:] != statistics.resample(30, "a", 2)[1:]).any()


def test_the_estimates_are_those_of_the_step_evaluate():
    random = np.random.default_rng(2)
    samples, real = random.normal(size=(50, 6)) * 1.2, random.normal(size=(40, 6)) + 0.3
    ones, others = np.ones((1, 50)), np.ones((1, 40))
    kid = features.pair_mean(features.kernel(samples, samples), ones)
    kid += features.pair_mean(features.kernel(real, real), others)
    kid -= 2 * features.cross_mean(features.kernel(samples, real), ones, others)
    assert kid[0] == pytest.approx(kernel_inception_distance(samples, real, "cpu")["kid"])
    theirs = compare_neighbours(samples, real, "cpu")
    assert features.pair_mean(features.distances(samples, samples), ones)[0] == pytest.approx(theirs["diversity"])
    assert features.recalled(samples, real).mean() == pytest.approx(theirs["recall"])
