"""From measurements to an interval and a verdict: Student's t over seeds, percentiles of draws, and the rule."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaeglow.reporting.claims import Measured
from vaeglow.reporting.columns import SEEDS, TAIL, t_bounds

MOST = 1000  # seeds that `enough_seeds` looks at
SEEDLESS = ("speed", "size")  # kinds of claims without seeds: networks are timed once, untrained
OPEN = (-math.inf, math.inf)  # an interval without information
HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
NOT_RUN, NEEDS = "not run at this preset", "needs preset {needs}"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_RUN)  # and NEEDS


def effects_of(found: Sequence[Measured]) -> np.ndarray:
    """The effect under each seed: [S]. Of several the one whose mean over seeds is least."""
    effects = np.stack([one.draws[:, 0] for one in found])  # [S, J]
    return effects[:, effects.mean(0).argmin()]


def interval(found: Sequence[Measured], seeds: int | None = None) -> tuple[float, float, float, str]:
    """The effect over all seeds, the ends of its interval (infinite: no bound on that side), and what that is.

    `seeds`: as if there were so many, with the means and spreads of these three or more.

    Three seeds or more: Student's t over the seeds' effects. Fewer: percentiles of the draws, averaged over the seeds.
    The least of J effects lies between the least of their lower ends, each at its full level, and the least of their
    upper ends, those at 1/J of the tail (Bonferroni): resampling the minimum itself would pull it down twice.
    """
    effects = np.stack([one.draws[:, 0] for one in found])  # [S, J]
    tails, how, units = (TAIL, TAIL / effects.shape[1]), found[0].how, [one.units for one in found]
    if len(found) >= SEEDS:
        bounds, how = t_bounds(effects, *tails, seeds), f"t over {len(found)} seeds"
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


def enough_seeds(found: Sequence[Measured], claim: Mapping[str, Any]) -> int | None:
    """How many seeds whose effects have the means and spreads of these would decide; None: more than `MOST`."""
    more = range(len(found) + 1, MOST + 1)
    return next((count for count in more if rule(*interval(found, count)[1:3], claim) != UNDECIDED), None)


def judge(claim: Mapping[str, Any], found: Sequence[Measured]) -> tuple[tuple, str, list[str]]:
    """The `interval`, verdict and notes on a claim, from what each seed measured."""
    measured = _, low, high, _ = interval(found)
    alone = rule(low, high, claim)
    if claim["kind"] in SEEDLESS or (len(found) >= SEEDS and alone != UNDECIDED):
        return measured, alone, []
    if len(found) >= SEEDS:
        count = enough_seeds(found, claim)
        words = f"about {count}" if count else f"more than {MOST:,}"
        return measured, alone, [f"{words} seeds that spread like these would decide it"]
    count = {1: "one seed", 2: "two seeds"}[len(found)]
    if not claim["training"]:
        return measured, alone, [count]
    shown = "no interval, so nothing" if (low, high) == OPEN else f"'{alone}'"
    note = f"{count}, and a claim about training needs {SEEDS}: by the rule {count} would give {shown}"
    return measured, UNDECIDED, [note]
