"""From measurements to an interval and a verdict: a bootstrap, Student's t over seeds, and the rule."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vaeglow.data.arrays import evenly_spaced
from vaeglow.data.seeds import stable_hash
from vaeglow.reporting.claims import Evidence, Measured, Row, rows_of

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
DRAWS = 2000  # of every bootstrap
SEEDS = 3  # from this number on, seeds alone give the interval
SEEDLESS = ("speed", "size")  # kinds of claims without seeds: networks are timed once, untrained
LIMIT = 2000  # images of a set that a bootstrap of KID takes
OPEN = (-math.inf, math.inf)  # an interval without information
HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run at this preset"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_RUN)


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


def resampled(evidence: Evidence) -> list[np.ndarray]:
    """The claim's quantity of each of its sample sets: see `draws_of`."""
    return [draws_of(evidence, row, evidence.claim.get("measure", "kid")) for row in rows_of(evidence.claim)]


def draws_of(evidence: Evidence, row: Row, quantity: str) -> np.ndarray:
    """KID, diversity or recall of a sample set, the estimate and its draws: [1 + DRAWS]. Each is computed once.

    The weights of the real images are the same for all sample sets, those of a run the same at each temperature, where
    its latents are the same. For recall the real images alone are resampled: copies among the samples would shrink the
    balls around them to points. A kernel matrix of `LIMIT` images fits in memory, 2,000 resamplings are one product.
    """
    import torch  # here: planning reads the claims, and starts faster without

    from vaeglow.evaluation.sample_quality import NEIGHBOURS, distances, kernel

    place = evidence.claim["dataset"], evidence.claim["protocol"]
    run, cache = (*place, row["model"], evidence.seed), evidence.cache
    key, shared = (*run, float(row["temperature"]), quantity), (*place, "reference")
    if key in cache:
        return cache[key]
    found = [evidence.read(what, row, "features").arrays["features"] for what in ("features", "reference")]
    x, y = torch.as_tensor(found[0][:LIMIT]), torch.as_tensor(evenly_spaced(found[1], min(LIMIT, len(found[1]))))
    own, theirs = resample(len(x), *run), resample(len(y), *shared)
    if quantity == "diversity":
        cache[key] = pair_mean(distances(x, x).numpy(), own)
    elif quantity == "recall":
        radii = distances(x, x).kthvalue(1 + NEIGHBOURS).values[:, None]  # the nearest is the sample itself
        cache[key] = theirs @ (distances(x, y) <= radii).any(0).double().numpy() / len(y)
    else:
        if shared not in cache:
            cache[shared] = pair_mean(kernel(y, y).numpy(), theirs)
        cross = cross_mean(kernel(x, y).numpy(), own, theirs)
        cache[key] = pair_mean(kernel(x, x).numpy(), own) + cache[shared] - 2 * cross
    return cache[key]


def pair_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sum_{i != j} w_i w_j v_ij / sum_{i != j} w_i w_j: the mean over pairs of DIFFERENT images, [B].

    Two copies of one image in a resampling are not a pair: their kernel is that of equal images, and would raise a KID.

    Args:
        values: symmetric, [n, n].
        weights: [B, n]; those that hold one image only give NaN.
    """
    squares = weights**2
    total = np.einsum("bi,bi->b", weights @ values, weights) - squares @ np.diagonal(values)
    return ratio(total, weights.sum(1) ** 2 - squares.sum(1))


def cross_mean(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """sum_{i, j} w_i v_j values_ij / sum_{i, j} w_i v_j, [B], of values [n, m] under weights [B, n] and [B, m]."""
    return np.einsum("bj,bj->b", rows @ values, columns) / (rows.sum(1) * columns.sum(1))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part by part; NaN where the whole is not above 0, as a KID or a recall can be."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def interval(found: Sequence[Measured]) -> tuple[float, float, float, str]:
    """The effect over all seeds, the ends of its interval (infinite: no bound on that side), and what that is.

    Three seeds or more: Student's t over the seeds' effects. Fewer: percentiles of the draws, averaged over the seeds.
    The least of J effects lies between the least of their lower ends, each at its full level, and the least of their
    upper ends, those at 1/J of the tail (Bonferroni): resampling the minimum itself would pull it down twice.
    """
    effects = np.stack([one.draws[:, 0] for one in found])  # [S, J]
    tails, how, units = (TAIL, TAIL / effects.shape[1]), found[0].how, [one.units for one in found]
    if len(found) >= SEEDS:
        bounds, how = t_bounds(effects, *tails), f"t over {len(found)} seeds"
    elif min(one.draws.shape[1] for one in found) == 1:
        bounds = OPEN
    else:
        draws = np.mean([one.draws[:, 1:] for one in found], axis=0)
        bounds = percentile_bounds(draws, None if None in units else min(units), *tails)
    return float(effects.mean(0).min()), *(float(np.min(ends)) for ends in bounds), how


def t_bounds(values: np.ndarray, below: float, above: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the t intervals of means over S, at least 2, of values [S, ...]; both open if one is not finite.

    Probability `below` and `above` lies outside.
    """
    from scipy import stats

    mean, error = values.mean(0), values.std(0, ddof=1) / math.sqrt(len(values))
    low, high = (stats.t.isf(tail, len(values) - 1) * error for tail in (below, above))
    known = np.isfinite(error)
    return np.where(known, mean - low, -math.inf), np.where(known, mean + high, math.inf)


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


def judge(claim: Mapping[str, Any], found: Sequence[Measured]) -> tuple[tuple, str, list[str]]:
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
