"""From measurements to an interval and a verdict: Student's t over seeds, a bootstrap, and the rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaeglow.data.seeds import stable_hash
from vaeglow.reporting.claims import Measured
from vaeglow.reporting.tables.timing import DISAGREE

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
DRAWS = 2000  # of every bootstrap
SEEDS = 3  # from this number on, seeds alone give the interval
SEEDLESS = ("speed",)  # kinds of claims without seeds: networks are timed once, untrained
LIMIT = 2000  # images of a set that a bootstrap of KID takes
OPEN = (-math.inf, math.inf)  # an interval without information
HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run at this preset"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_RUN)
RULE = f"""\
Each claim becomes one number, its effect, turned so that positive favours the paper, with a 95% interval [low, high].
A claim needs its effect above a threshold, or (a claim that something brings no gain) below a margin; the config states
both with a reason. Four of them borrow a published difference of FIDs for KIDs, or of bits/dim: no KID is published.

- **{HOLDS}**: the whole interval lies where the claim needs it.
- **{FAILS}**: the whole interval lies outside.
- **{UNDECIDED}**: anything else; also every claim about training with fewer than {SEEDS} seeds, because another
  training would give other numbers. The note then says what the seeds that ran show.
- **{NOT_RUN}**: the claim is switched off in the config, or its model cannot take the dataset's images.

With {SEEDS} seeds or more the interval is Student's t over the seeds' effects. With fewer it is a bootstrap ({DRAWS}
draws with a fixed seed, expanded percentiles) over images: it says how sure the measurement of these trained networks
is, not how another training would turn out. An interval over seeds says nothing about other test images. For the least
of several effects the upper end is Bonferroni's. Where files hold one number a run, there is no interval under {SEEDS}
seeds. Speed has Student's t over rounds in which all models were timed in turns, and no interval where the ratios of
two rounds, or the medians in CPU seconds and in seconds on the clock, differ by more than {DISAGREE} times; quality at
equal time has the standard errors of both KIDs.

Sample quality is judged by KID (kernel (x.y/F + 1)^3, unbiased) on at most {LIMIT} images a set, because a bootstrapped
FID is biased upward. Samples and real images are resampled by multinomial weights, the real ones alike for all models;
pairs of copies of one image are left out. The paper's numbers are FIDs: the order is compared, never the size."""


def generator(*key: int | str) -> np.random.Generator:
    """A random generator that depends on `key` only."""
    return np.random.default_rng(stable_hash("claims", *key))


def resample(count: int, *key: int | str) -> np.ndarray:
    """Multinomial weights of a bootstrap, float64 [1 + DRAWS, count]; the first row is 1 everywhere: the estimate.

    Equal keys and counts (of images) give equal weights, so that shared images are resampled alike.
    """
    weights = generator("weights", count, *key).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return np.concatenate([np.ones((1, count)), weights])


def mean_draws(values: np.ndarray, *key: int | str) -> np.ndarray:
    """The mean of values [n], and its bootstrap draws: [1 + DRAWS]."""
    random, count = generator("mean", len(values), *key), len(values)
    return np.array([values.mean(), *(values[random.integers(count, size=count)].mean() for _ in range(DRAWS))])


def interval(found: Sequence[Measured]) -> tuple[float, float, float, str]:
    """The effect over all seeds, the ends of its interval (infinite: no bound on that side), and what that is.

    Three seeds or more: Student's t over the seeds' effects. Fewer: percentiles of the draws, averaged over the seeds.
    The least of J effects lies between the least of their lower ends, each at its full level, and the least of their
    upper ends, those at 1/J of the tail (Bonferroni): resampling the minimum itself would pull it down twice.
    """
    effects = np.stack([one.draws[:, 0] for one in found])  # [S, J]
    tails, how, units = (TAIL, TAIL / effects.shape[1]), found[0].how, [one.units for one in found]
    if len(found) >= SEEDS:
        bounds, how = [t_bounds(column, *tails) for column in effects.T], f"t over {len(found)} seeds"
    elif min(one.draws.shape[1] for one in found) == 1:
        bounds = [OPEN]
    else:
        draws = np.mean([one.draws[:, 1:] for one in found], axis=0)
        bounds = [percentile_bounds(row, None if None in units else min(units), *tails) for row in draws]
    lows, highs = zip(*bounds, strict=True)
    return float(effects.mean(0).min()), min(lows), min(highs), how


def t_bounds(values: np.ndarray, below: float, above: float) -> tuple[float, float]:
    """Ends of the t interval of a mean of values [S], S at least 2: probability `below` and `above` lies outside.

    A value that is not finite leaves both ends open.
    """
    from scipy import stats

    error = values.std(ddof=1) / math.sqrt(len(values))
    if not math.isfinite(error):
        return OPEN
    low, high = (float(stats.t.isf(tail, len(values) - 1)) * error for tail in (below, above))
    return float(values.mean() - low), float(values.mean() + high)


def percentile_bounds(draws: np.ndarray, units: int | None, below: float, above: float) -> tuple[float, float]:
    """Ends of the expanded percentile interval (Hesterberg 2015, section 4.3); arguments as in `t_bounds`.

    With few `units` (see `Measured`) a plain percentile interval is too short, as a normal interval with divisor n is:
    its tails are widened by what would turn the latter into a t interval. A draw of [DRAWS] without a value
    (NaN) counts against either end.
    """
    from scipy import stats

    if units == 1:
        return OPEN
    if units is not None:
        below, above = stats.norm.sf(math.sqrt(units / (units - 1)) * stats.t.isf((below, above), units - 1))
    missing = np.isnan(draws)
    low = np.quantile(np.where(missing, -np.inf, draws), below, method="lower")
    return float(low), float(np.quantile(np.where(missing, np.inf, draws), 1 - above, method="higher"))


def rule(low: float, high: float, claim: Mapping[str, Any]) -> str:
    """The verdict on an interval alone, by the claim's `margin` or `threshold` (0 where it has neither)."""
    if "margin" in claim:  # the same with the sign reversed
        return rule(-high, -low, {"threshold": -claim["margin"]})
    needed = claim.get("threshold", 0)
    return HOLDS if low > needed else FAILS if high < needed else UNDECIDED


def judge(
    claim: Mapping[str, Any], found: Sequence[Measured]
) -> tuple[tuple[float, float, float, str], str, list[str]]:
    """The `interval`, verdict and notes on a claim, from what each seed measured."""
    measured = _, low, high, _ = interval(found)
    alone = rule(low, high, claim)
    if claim["kind"] in SEEDLESS or len(found) >= SEEDS:
        return measured, alone, []
    count = {1: "one seed", 2: "two seeds"}[len(found)]
    if not claim["training"]:
        return measured, alone, [count]
    shown = "no interval, so nothing" if (low, high) == OPEN else f"'{alone}'"
    note = f"{count}, and a claim about training needs {SEEDS}: by the rule {count} would give {shown}"
    return measured, UNDECIDED, [note]
