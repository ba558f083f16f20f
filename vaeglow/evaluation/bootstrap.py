"""Bootstrap draws of a mean, and of a sample set's KID, diversity and recall. No torch when imported.

Equal keys give equal draws, so images that two sample sets share are resampled alike.
"""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from vaeglow.data.arrays import Arrays, evenly_spaced
from vaeglow.data.seeds import stable_hash

DRAWS = 2000  # of every bootstrap
LIMIT = 2000  # images per set that a bootstrap of samples uses


def generator(*key: int | str) -> np.random.Generator:
    """A random generator that depends on `key` only."""
    return np.random.default_rng(stable_hash("claims", *key))


def resample(count: int, *key: int | str) -> ndarray:
    """Multinomial weights of a bootstrap, float64 [1 + DRAWS, count]; the first row is 1 everywhere: the estimate."""
    return np.concatenate(
        [
            np.ones((1, count)),
            generator("weights", count, *key).multinomial(count, np.full(count, 1 / count), size=DRAWS),
        ]
    )


def mean_draws(values: ndarray, *key: int | str) -> ndarray:
    """The mean of values [n], and its bootstrap draws: [1 + DRAWS]."""
    count = len(values)
    random = generator("mean", count, *key)
    draws = [values[random.integers(count, size=count)].mean() for _ in range(DRAWS)]
    return np.array([values.mean(), *draws])


def sample_draws(features: ndarray, real: ndarray, run: Sequence) -> Arrays:
    """`kid`, `diversity` and `recall` of a sample set, the estimate and its draws each: float64 [1 + DRAWS].

    Of features of the samples [N, F] and of real images [M, F]; `run` is dataset, protocol, model and seed. The weights
    of the real images are the same for all sample sets, those of a run the same at each temperature, where its latents
    are. For recall the real images alone are resampled: copies among the samples would shrink the balls around them to
    points. A kernel matrix of `LIMIT` images fits in memory, 2,000 resamplings are one product.
    """
    import torch

    from vaeglow.evaluation.sample_quality import NEIGHBOURS, distances, kernel

    x = torch.as_tensor(features[:LIMIT])
    y = torch.as_tensor(evenly_spaced(real, LIMIT))
    x_weights = resample(len(x), *run)
    y_weights = resample(len(y), *run[:2], "reference")
    apart = distances(x, x)
    radii = apart.kthvalue(1 + NEIGHBOURS).values[:, None]  # the nearest is the sample itself
    held = (distances(x, y) <= radii).any(0)
    own = pair_mean(kernel(x, x).numpy(), x_weights) + pair_mean(kernel(y, y).numpy(), y_weights)
    return {
        "kid": own - 2 * cross_mean(kernel(x, y).numpy(), x_weights, y_weights),
        "diversity": pair_mean(apart.numpy(), x_weights),
        "recall": y_weights @ held.double().numpy() / len(y),
    }


def pair_mean(values: ndarray, weights: ndarray) -> ndarray:
    """sum_{i != j} w_i w_j v_ij / sum_{i != j} w_i w_j: the mean over pairs of DIFFERENT images, [B].

    Two copies of one image in a resampling are not a pair: their kernel is that of equal images, and would raise a KID.
    Values are symmetric, [n, n]; weights [B, n], and those that hold one image only give NaN.
    """
    squares = weights**2
    with_copies = np.einsum("bi,bi->b", weights @ values, weights)
    return ratio(with_copies - (squares @ np.diagonal(values)), weights.sum(1) ** 2 - squares.sum(1))


def cross_mean(values: ndarray, rows: ndarray, columns: ndarray) -> ndarray:
    """sum_{i, j} w_i v_j values_ij / sum_{i, j} w_i v_j, [B], of values [n, m] under weights [B, n] and [B, m]."""
    return np.einsum("bj,bj->b", rows @ values, columns) / (rows.sum(1) * columns.sum(1))


def ratio(part: ndarray, whole: ndarray) -> ndarray:
    """Part by part; NaN where the whole is not above 0, as a KID or a recall can be."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
