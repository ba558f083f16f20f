"""KID, diversity and recall of Inception features under resampling, by matrix products. NumPy only.

The same quantities as `vaeglow.evaluation.kid` and `neighbours`, here with a weight for each image and at most
`LIMIT` images a set, so that a kernel matrix fits and 2,000 resamplings of it are one product.
"""

from __future__ import annotations

import numpy as np

LIMIT = 2000  # images a set
NEIGHBOURS = 3  # k of the manifolds, as in metrics


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """KID's kernel (x.y / F + 1)^3 (Binkowski et al. 2018) of rows [n, F] and [m, F]: [n, m]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances of rows [n, F] and [m, F]: [n, m]; exactly 0 between equal rows."""
    lengths = (x**2).sum(1)[:, None] + (y**2).sum(1)
    squared = lengths - 2 * (x @ y.T)
    return np.sqrt(np.where(squared > 1e-12 * lengths, squared, 0))


def pair_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sum_{i != j} w_i w_j v_ij / sum_{i != j} w_i w_j: the mean over pairs of DIFFERENT images.

    Two copies of one image in a resampling are no pair: their kernel is that of equal images, and would raise a KID.

    Args:
        values: symmetric, [n, n].
        weights: [B, n].

    Returns:
        [B]; NaN for weights that hold one image only.
    """
    squares = weights**2
    total = np.einsum("bi,bi->b", weights @ values, weights) - squares @ np.diagonal(values)
    pairs = weights.sum(1) ** 2 - squares.sum(1)
    return np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def cross_mean(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """sum_{i, j} w_i v_j values_ij / sum_{i, j} w_i v_j, [B], of values [n, m] under weights [B, n] and [B, m]."""
    total = np.einsum("bj,bj->b", rows @ values, columns)
    return total / (rows.sum(1) * columns.sum(1))


def recalled(samples: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Which real images [m, F] lie in the samples' manifold, the balls to each sample's third neighbour: 0 or 1, [m].

    Samples [n, F], n above 3 (Kynkaanniemi et al. 2019).
    """
    radii = np.partition(distances(samples, samples), NEIGHBOURS, axis=1)[:, NEIGHBOURS]  # the nearest is itself
    return (distances(samples, reference) <= radii[:, None]).any(0).astype(float)
