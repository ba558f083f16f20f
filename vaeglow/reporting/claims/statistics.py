"""From measurements to an interval and a verdict: Student's t over seeds, percentiles of draws, and the rule."""

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vaeglow.reporting.claims import Measured
from vaeglow.reporting.columns import SEEDS, TAIL, t_bounds

FLOOR = "no samples beat a Gaussian fitted to the training pixels by KID, so there is nothing to compare"
POWER = 0.8  # the chance that so many seeds decide a claim whose effects are as measured
MOST = 1000  # seeds that `seeds_for_power` looks at
SEEDLESS = ("speed", "size")  # kinds of claims without seeds: networks are timed once, untrained
OPEN = (-math.inf, math.inf)  # an interval without information
HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
SPLIT, PARTIAL = "split", "{} of {} seeds"  # its measures disagree in sign; a registered claim before its last seed
NOT_RUN, NEEDS = "not run at this preset", "needs preset {needs}"
VERDICTS = (HOLDS, FAILS, UNDECIDED, SPLIT, NOT_RUN)  # and PARTIAL, NEEDS


def effects_of(found: Sequence[Measured]) -> np.ndarray:
    """The effect under each seed: [S]. Of several the one whose mean over seeds is least."""
    effects = np.stack([one.draws[:, 0] for one in found])  # [S, J]
    return effects[:, effects.mean(0).argmin()]


def interval(found: Sequence[Measured], tail: float = TAIL) -> tuple[float, float, float, str]:
    """The effect over all seeds, the ends of its interval (infinite: no bound on that side), and what that is.

    Three seeds or more: Student's t over the seeds' effects. Fewer: percentiles of the draws, averaged over the seeds.
    The least of J effects lies between the least of their lower ends, each at its full level, and the least of their
    upper ends, those at 1/J of the tail (Bonferroni): resampling the minimum itself would pull it down twice.
    """
    effects = np.stack([one.draws[:, 0] for one in found])  # [S, J]
    tails, how, units = (tail, tail / effects.shape[1]), found[0].how, [one.units for one in found]
    if len(found) >= SEEDS:
        bounds, how = t_bounds(effects, *tails), f"t over {len(found)} seeds"
    elif min(one.draws.shape[1] for one in found) == 1:
        bounds = OPEN
    else:
        draws = np.mean([one.draws[:, 1:] for one in found], axis=0)
        bounds = percentile_bounds(draws, None if None in units else min(units), *tails)
    return float(effects_of(found).mean()), *(float(np.min(ends)) for ends in bounds), how


def percentile_bounds(draws: np.ndarray, units: int | None, below: float, above: float) -> tuple[Any, Any]:
    """Ends of the expanded percentile intervals (Hesterberg 2015, section 4.3) of draws [..., DRAWS].

    Other arguments as in `t_bounds`. With few `units` (see `Measured`) a plain percentile interval is too short, as a
    normal interval with divisor n is: its tails are widened by what would turn the latter into a t interval. A draw
    without a value (NaN) counts against either end.
    """
    from scipy import stats

    if units == 1:
        return OPEN
    if units is not None:
        below, above = stats.norm.sf(math.sqrt(units / (units - 1)) * stats.t.isf((below, above), units - 1))
    missing = np.isnan(draws)
    low = np.quantile(np.where(missing, -np.inf, draws), below, axis=-1, method="lower")
    return low, np.quantile(np.where(missing, np.inf, draws), 1 - above, axis=-1, method="higher")


def rule(low: float, high: float, claim: Mapping[str, Any]) -> str:
    """The verdict on an interval alone, by the claim's `margin` or `threshold` (0 where it has neither)."""
    if "margin" in claim:  # the same with the sign reversed
        return rule(-high, -low, {"threshold": -claim["margin"]})
    needed = claim.get("threshold", 0)
    return HOLDS if low > needed else FAILS if high < needed else UNDECIDED


def measures_of(found: Sequence[Measured]) -> list[list[Measured]]:
    """What each seed measured, once for each measure of the claim: most have one, see `Measured.beside`."""
    others = [[replace(one, draws=np.array([[one.beside[name]]])) for one in found] for name in found[0].beside]
    return [list(found), *others]


def p_value(found: Sequence[Measured], claim: Mapping[str, Any]) -> float:
    """Two-sided p over three seeds or more: the least at which the claim's own interval decides it.

    That is 1 minus the level of the widest interval that does; of a claim with one effect it is the p of the t-test
    against its threshold. Of several measures the largest counts; 1 where their signs differ.
    """
    low, high = -12.0, math.log10(0.5)  # of the tail
    if verdict_of(found, claim, 0.5) in (UNDECIDED, SPLIT):
        return 1.0
    for _ in range(40):
        middle = (low + high) / 2
        decided = verdict_of(found, claim, 10**middle) != UNDECIDED
        low, high = (low, middle) if decided else (middle, high)
    return 2 * 10**high


def verdict_of(found: Sequence[Measured], claim: Mapping[str, Any], tail: float = TAIL) -> str:
    """The verdict by `rule` on the interval; of several measures the one that all share, or `SPLIT` by their signs."""
    intervals = [interval(measure, tail) for measure in measures_of(found)]
    verdicts = {rule(low, high, claim) for _, low, high, _ in intervals}
    if len({effect > 0 for effect, *_ in intervals}) > 1 and found[0].beside:
        return SPLIT
    return verdicts.pop() if len(verdicts) == 1 else UNDECIDED


def holm(values: Sequence[float]) -> np.ndarray:
    """Holm's adjusted p of each p (Holm 1979): reject where it is below the level of the whole family."""
    order = np.argsort(values)
    factors = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(factors * np.asarray(values)[order])
    return np.minimum(adjusted, 1)


def seeds_for_power(found: Sequence[Measured], claim: Mapping[str, Any]) -> int | None:
    """How many seeds give 80% power, if effects have the means and spreads of these; None: more than `MOST`.

    By the noncentral t distribution. All J effects must exceed the threshold for the claim to hold, one must lie below
    it for the claim to fail: of the two what the means say.
    """
    from scipy import stats

    needed, sign = (claim["margin"], -1) if "margin" in claim else (claim.get("threshold", 0), 1)
    effects = np.stack([one.draws[:, 0] for one in found])  # [S, J]
    sizes = sign * (effects.mean(0) - needed) / effects.std(0, ddof=1)  # [J]

    def enough(count: int) -> bool:
        shift, degrees = np.clip(sizes * math.sqrt(count), -20, 20), count - 1  # farther out it has no value
        above = stats.nct.sf(stats.t.isf(TAIL, degrees), degrees, shift).min()
        below = stats.nct.sf(stats.t.isf(TAIL / len(sizes), degrees), degrees, -shift).max()
        return max(above, below) >= POWER

    counts = range(SEEDS, MOST + 1)
    index = bisect.bisect_left(counts, True, key=enough)  # power grows with the count
    return counts[index] if index < len(counts) else None


def judge(claim: Mapping[str, Any], found: Sequence[Measured]) -> tuple[tuple, str, list[str]]:
    """The `interval`, verdict and notes on a claim, from what each seed measured."""
    measured = _, low, high, _ = interval(found)
    alone = verdict_of(found, claim)
    if "registered" in claim and len(found) < len(claim["seeds"]):
        return measured, PARTIAL.format(len(found), len(claim["seeds"])), []
    if np.mean([one.lead for one in found]) <= 0:
        return measured, UNDECIDED, [FLOOR]
    if claim["kind"] in SEEDLESS or (len(found) >= SEEDS and alone != UNDECIDED):
        return measured, alone, []
    if len(found) >= SEEDS:
        count = seeds_for_power(found, claim)
        words = f"about {count}" if count else f"more than {MOST:,}"
        return measured, alone, [f"{words} seeds that spread like these would decide it with 80% power"]
    count = {1: "one seed", 2: "two seeds"}[len(found)]
    if not claim["training"]:
        return measured, alone, [count]
    shown = "no interval, so nothing" if (low, high) == OPEN else f"'{alone}'"
    note = f"{count}, and a claim about training needs {SEEDS}: by the rule {count} would give {shown}"
    return measured, UNDECIDED, [note]
