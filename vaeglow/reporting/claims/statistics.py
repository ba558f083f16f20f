"""Effects with their uncertainty: a t interval over seeds, or a bootstrap over what one seed's files hold."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from vaeglow.data.seeds import stable_hash

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
DRAWS = 2000  # of every bootstrap
SEEDS = 3  # from so many on, seeds alone give the interval
CHUNK = 100  # draws at a time: against 10,000 images 8 MB


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one seed says of a claim.

    Attributes:
        effects: oriented so that positive favours the paper, [J]. The claim's effect is the LEAST of them: J above 1
            is for a claim that must hold against several rivals at once.
        draws: the same under resampling, [J, DRAWS]; NaN where a draw has no value. None: nothing to resample.
        units: how many images (the smaller number, where two sets are resampled) or pairs a draw resamples; None:
            the draws need no correction for few units.
        how: what the draws are, in words; without draws, why there are none.
        unit: of the effect.
        words: what the effect is.
        scale: how much was measured.
        readings: (of what, which number) -> the numbers behind the effect and beside it, for reading only.
        notes: what a reader must know.
    """

    effects: np.ndarray
    draws: np.ndarray | None
    units: int | None
    how: str
    unit: str
    words: str
    scale: str
    readings: Mapping[tuple[str, str], float]
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Interval:
    """An effect and its 95% interval; infinite ends say that nothing bounds it there."""

    effect: float
    low: float
    high: float
    how: str


def generator(*key: int | str) -> np.random.Generator:
    """A random generator that depends on `key` only."""
    return np.random.default_rng(stable_hash("claims", *key))


def resample(count: int, *key: int | str) -> np.ndarray:
    """Multinomial weights of a bootstrap, float64 [1 + DRAWS, count]; the first row is 1 everywhere: the estimate.

    Args:
        count: of images.
        *key: whose they are: equal keys and counts give equal weights, so that what is shared is resampled alike.
    """
    drawn = generator("weights", count, *key).multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return np.concatenate([np.ones((1, count)), drawn])


def mean_draws(values: np.ndarray, *key: int | str) -> np.ndarray:
    """The mean of values [n], and its bootstrap draws: [1 + DRAWS]."""
    random, means = generator("mean", len(values), *key), [values.mean(keepdims=True)]
    for start in range(0, DRAWS, CHUNK):
        index = random.integers(len(values), size=(min(CHUNK, DRAWS - start), len(values)))
        means.append(values[index].mean(1))
    return np.concatenate(means)


def interval(found: Sequence[Measured]) -> Interval:
    """The effect over all seeds, and its interval.

    Three seeds or more: Student's t over the seeds' effects. Fewer: percentiles of the draws, averaged over the seeds.
    The least of J effects lies between the least of their lower ends, each at its full level, and the least of their
    upper ends, those at 1/J of the tail (Bonferroni): resampling the minimum itself would pull it down twice.

    Args:
        found: one a seed.
    """
    effects = np.stack([one.effects for one in found])  # [S, J]
    rivals = effects.shape[1]
    if len(found) >= SEEDS:
        bounds = [t_bounds(column, TAIL, TAIL / rivals) for column in effects.T]
        how = f"t over {len(found)} seeds"
    elif any(one.draws is None for one in found):
        bounds, how = [(-math.inf, math.inf)], found[0].how
    else:
        draws = np.mean([one.draws for one in found], axis=0)
        units = None if any(one.units is None for one in found) else min(one.units for one in found)
        bounds = [percentile_bounds(row, units, TAIL, TAIL / rivals) for row in draws]
        how = found[0].how
    lows, highs = zip(*bounds, strict=True)
    return Interval(float(effects.mean(0).min()), min(lows), min(highs), how)


def t_bounds(values: np.ndarray, below: float, above: float) -> tuple[float, float]:
    """Ends of the t interval of a mean.

    Args:
        values: [S], S at least 2; one that is not finite leaves both ends open.
        below: probability left out below.
        above: probability left out above.
    """
    if not np.isfinite(values).all():
        return -math.inf, math.inf
    error = values.std(ddof=1) / math.sqrt(len(values))
    low, high = (float(stats.t.isf(tail, len(values) - 1)) * error for tail in (below, above))
    return float(values.mean() - low), float(values.mean() + high)


def percentile_bounds(draws: np.ndarray, units: int | None, below: float, above: float) -> tuple[float, float]:
    """Ends of the expanded percentile interval (Hesterberg 2015, section 4.3).

    With few units a plain percentile interval is too short, as a normal interval with divisor n is: its tails are
    widened to those that turn the one into a t interval. A draw without a value (NaN) counts against either end.

    Args:
        draws: [DRAWS].
        units: see `Measured`.
        below: probability left out below.
        above: probability left out above.
    """
    if units is not None and units < 2:
        return -math.inf, math.inf
    low, high = (tail if units is None else expanded(tail, units) for tail in (below, above))
    missing = np.isnan(draws)
    return (
        float(np.quantile(np.where(missing, -np.inf, draws), low, method="lower")),
        float(np.quantile(np.where(missing, np.inf, draws), 1 - high, method="higher")),
    )


def expanded(tail: float, units: int) -> float:
    """The tail of the bootstrap distribution to cut so that `tail` is left out, with `units` resampled."""
    return float(stats.norm.sf(math.sqrt(units / (units - 1)) * stats.t.isf(tail, units - 1)))
