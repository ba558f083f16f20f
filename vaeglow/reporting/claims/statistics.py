"""From measurements to an interval and a verdict: Student's t over seeds, percentiles of draws, and the rule."""

import bisect
from collections.abc import Sequence
from math import inf, isnan, log10, sqrt
from typing import Any, NamedTuple

import numpy as np

from vaeglow.reporting.claims import SEEDLESS, Claim, Measured
from vaeglow.reporting.columns import SEEDS, TAIL, t_bounds
from vaeglow.reporting.frame import Array, Words

Seeds = Sequence[Measured]  # what a claim's seeds measured, one each
BELOW_FLOOR = "no samples beat a Gaussian fitted to the training pixels by KID, so there is nothing to compare"
POWER = 0.8  # the chance that so many seeds decide a claim whose effects are as measured
MOST = 1000  # seeds that `seeds_for_power` looks at
OPEN = (-inf, inf)  # an interval without information
HOLDS = "holds"
FAILS = "does not hold"
UNDECIDED = "undecided"
SPLIT = "split"  # its measures disagree in sign
PARTIAL = "{} of {} seeds"  # a registered claim before its last seed, or before its family can be corrected
NOT_RUN = "not run at this preset"
NEEDS = "needs preset {needs}"
VERDICTS = (HOLDS, FAILS, UNDECIDED, SPLIT, NOT_RUN)  # and PARTIAL, NEEDS


class Interval(NamedTuple):
    """The effect over all seeds, the ends of its interval (infinite: no bound on that side), and what that is."""

    effect: float
    low: float
    high: float
    how: str


def all_draws(seeds: Seeds) -> Array:
    """The effects under each seed, and their draws: [S, J, 1 + DRAWS] or [S, J, 1]."""
    return np.stack([seed.draws for seed in seeds])


def effects_of(seeds: Seeds) -> Array:
    """The effect under each seed: [S]. Of several the one whose mean over seeds is least."""
    effects = all_draws(seeds)[..., 0]
    return effects[:, effects.mean(0).argmin()]


def interval(seeds: Seeds, tail: float = TAIL) -> Interval:
    """The effect over all seeds, with its interval.

    Three seeds or more: Student's t over the seeds' effects. Fewer: percentiles of the draws, averaged over the seeds.
    The least of J effects lies between the least of their lower ends, each at its full level, and the least of their
    upper ends, those at 1/J of the tail (Bonferroni): resampling the minimum itself would pull it down twice.
    """
    draws = all_draws(seeds)
    count, rivals, each = draws.shape
    above = tail / rivals
    how = seeds[0].how
    bounds = OPEN
    if count >= SEEDS:
        bounds = t_bounds(draws[..., 0], tail, above)
        how = f"t over {count} seeds"
    elif each > 1:
        bounds = percentile_bounds(draws.mean(0)[:, 1:], seeds[0].units, tail, above)
    low, high = map(np.min, bounds)
    return Interval(effects_of(seeds).mean(), low, high, how)


def percentile_bounds(draws: Array, units: int | None, below: float, above: float) -> tuple[Any, Any]:
    """Ends of the expanded percentile intervals (Hesterberg 2015, section 4.3) of draws [..., DRAWS].

    Other arguments as in `t_bounds`. With few `units` (see `Measured`) a plain percentile interval is too short, as a
    normal interval with divisor n is: its tails are widened by what would turn the latter into a t interval. A draw
    without a value (NaN) counts against either end.
    """
    from scipy import stats

    if units == 1:
        return OPEN
    if units is not None:
        below, above = stats.norm.sf(sqrt(units / (units - 1)) * stats.t.isf((below, above), units - 1))
    missing = np.isnan(draws)
    low = np.quantile(np.where(missing, -inf, draws), below, axis=-1, method="lower")
    high = np.quantile(np.where(missing, inf, draws), 1 - above, axis=-1, method="higher")
    return low, high


def rule(low: float, high: float, claim: Claim) -> str:
    """The verdict on an interval alone, by the claim's `margin` or `threshold` (0 where it has neither)."""
    if "margin" in claim:  # the same with the sign reversed
        return rule(-high, -low, {"threshold": -claim["margin"]})
    needed = claim.get("threshold", 0)
    if low > needed:
        return HOLDS
    return FAILS if high < needed else UNDECIDED


def measures_of(seeds: Seeds) -> list[Seeds]:
    """What each seed measured, once for each measure of the claim: most have one, see `Measured.beside`."""
    measures = [seeds]
    for name in seeds[0].beside:
        measures.append([seed._replace(draws=np.array([[seed.beside[name]]])) for seed in seeds])
    return measures


def p_value(seeds: Seeds, claim: Claim) -> float:
    """Two-sided p over three seeds or more: the least at which the claim's own interval decides it.

    That is 1 minus the level of the widest interval that does; of a claim with one effect it is the p of the t-test
    against its threshold. Of several measures the largest counts; 1 where their signs differ.
    """
    if verdict_of(seeds, claim, 0.5) in (UNDECIDED, SPLIT):
        return 1.0
    low = -12.0  # log10 of the tail
    high = log10(0.5)
    for _ in range(40):
        middle = (low + high) / 2
        if verdict_of(seeds, claim, 10**middle) == UNDECIDED:
            low = middle
        else:
            high = middle
    return 2 * 10**high


def verdict_of(seeds: Seeds, claim: Claim, tail: float = TAIL) -> str:
    """The verdict by `rule` on the interval; of several measures the one that all share, or `SPLIT` by their signs."""
    intervals = [interval(measure, tail) for measure in measures_of(seeds)]
    if len({each.effect > 0 for each in intervals}) > 1:
        return SPLIT
    verdicts = {rule(each.low, each.high, claim) for each in intervals}
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED


def holm(values: Sequence[float]) -> Array:
    """Holm's adjusted p of each p (Holm 1979): reject where it is below the level of the whole family."""
    order = np.argsort(values)
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(np.arange(len(values), 0, -1) * np.take(values, order))
    return np.minimum(adjusted, 1)


def seeds_for_power(seeds: Seeds, claim: Claim) -> int:
    """How many seeds give 80% power, if effects have the means and spreads of these; `MOST` + 1 where more do.

    By the noncentral t distribution. All J effects must exceed the threshold for the claim to hold, one must lie below
    it for the claim to fail: of the two what the means say.
    """
    from scipy import stats

    needed, sign = (claim["margin"], -1) if "margin" in claim else (claim.get("threshold", 0), 1)
    effects = all_draws(seeds)[..., 0]
    sizes = sign * (effects.mean(0) - needed) / effects.std(0, ddof=1)  # [J]

    def enough(count: int) -> bool:
        degrees = count - 1
        shift = np.clip(sizes * sqrt(count), -20, 20)  # farther out it has no value
        above = stats.nct.sf(stats.t.isf(TAIL, degrees), degrees, shift).min()
        below = stats.nct.sf(stats.t.isf(TAIL / len(sizes), degrees), degrees, -shift).max()
        return max(above, below) >= POWER

    return bisect.bisect_left(range(MOST + 1), True, SEEDS, key=enough)  # power grows with the count


def judge(claim: Claim, seeds: Seeds) -> tuple[Interval, str, Words]:
    """The `interval` (none before the last seed), verdict and notes on a claim, from what each seed measured."""
    measured = interval(seeds)
    verdict, *notes = verdict_and_note(claim, seeds, measured)
    if verdict not in VERDICTS:  # an interval would be a verdict in all but name
        measured = measured._replace(low=-inf, high=inf, how="none before the last seed")
    return measured, verdict, notes


def verdict_and_note(claim: Claim, seeds: Seeds, measured: Interval) -> Words:
    """The verdict, and where there is one a note on it."""
    count = len(seeds)
    if "registered" in claim and count < len(claim["seeds"]):
        return [PARTIAL.format(count, len(claim["seeds"]))]
    if np.mean([seed.lead for seed in seeds]) <= 0:
        return [UNDECIDED, BELOW_FLOOR]
    verdict = verdict_of(seeds, claim)
    if claim["kind"] in SEEDLESS:
        return [verdict]
    if count < SEEDS:
        name = {1: "one seed", 2: "two seeds"}[count]
        if not claim["training"]:
            return [verdict, name]
        shown = "no interval, so nothing" if measured[1:3] == OPEN else f"'{verdict}'"
        return [UNDECIDED, f"{name}, and a claim about training needs {SEEDS}: by the rule {name} would give {shown}"]
    if verdict != UNDECIDED or "registered" in claim:  # no seed is added to a registered claim
        return [verdict]
    if isnan(measured.effect):
        return [verdict, "an effect has no value"]
    enough = seeds_for_power(seeds, claim)
    words = f"about {enough}" if enough <= MOST else f"more than {MOST:,}"
    return [verdict, f"{words} seeds that spread like these would decide it with 80% power"]
