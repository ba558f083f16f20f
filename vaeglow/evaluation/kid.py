"""Kernel Inception Distance (Binkowski et al. 2018, section 4): an unbiased squared MMD of Inception features.

KID = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j),  k(x, y) = (x.y / F + 1)^3,
over ALL samples x and reference images y. The usual libraries average over random subsets instead, which has the same
expectation, more noise, and a spread that is no standard error. KID has no bias from the number of images, so unlike
an FID it can be compared across counts; it can come out slightly below 0.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

BLOCK = 1024  # rows of a kernel matrix in memory at a time: against 50,000 columns 410 MB
MINIMUM = 3  # images on either side: two are left when the jackknife takes one away


def kernel_inception_distance(
    samples: np.ndarray, reference: np.ndarray, device: torch.device | str, block: int = BLOCK
) -> dict[str, float]:
    """KID and its standard error.

    The standard error is the delete-one jackknife of a two-sample U-statistic (Arvesen 1969): each image of either
    side is left out in turn, in closed form from the row sums of the kernel matrices. It is for the draw of samples AND
    of reference images: two KIDs that share a reference share that part. Where both sides have the same distribution
    it is too large (by up to sqrt(2): the jackknife overestimates a variance, never underestimates it on average).

    Args:
        samples: features [N, F].
        reference: features [M, F].
        device: where to compute; always in float64.
        block: rows at a time; the result does not depend on it.

    Returns:
        `kid` and `kid_standard_error`.

    Raises:
        ValueError: fewer than 3 images on a side, or numbers of features that differ.
    """
    x, y = (torch.as_tensor(array, dtype=torch.float64, device=device) for array in (samples, reference))
    n, m = len(x), len(y)
    if min(n, m) < MINIMUM or x.shape[1:] != y.shape[1:]:
        raise ValueError(f"KID needs [N, F] and [M, F] with N and M at least {MINIMUM}, not {x.shape} and {y.shape}")
    x_own, y_own = (_kernel_sums(z, z, block)[0] - _kernel(z.square().sum(1), z.shape[1]) for z in (x, y))
    x_cross, y_cross = _kernel_sums(x, y, block)
    own_x, own_y, cross = x_own.sum(), y_own.sum(), x_cross.sum()
    mean_x, mean_y = own_x / (n * (n - 1)), own_y / (m * (m - 1))
    # the same without the i-th sample, and without the j-th reference image
    without_x = (own_x - 2 * x_own) / ((n - 1) * (n - 2)) + mean_y - 2 * (cross - x_cross) / ((n - 1) * m)
    without_y = mean_x + (own_y - 2 * y_own) / ((m - 1) * (m - 2)) - 2 * (cross - y_cross) / (n * (m - 1))
    variance = sum((len(t) - 1) * t.var(correction=0).item() for t in (without_x, without_y))
    kid = mean_x + mean_y - 2 * cross / (n * m)
    return {"kid": kid.item(), "kid_standard_error": math.sqrt(variance)}


def _kernel_sums(x: Tensor, y: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Sums of k(x_i, y_j) over j [N] and over i [M], without the whole matrix in memory."""
    rows, columns = x.new_empty(len(x)), y.new_zeros(len(y))
    for start in range(0, len(x), block):
        part = _kernel(x[start : start + block] @ y.T, x.shape[1])
        rows[start : start + block] = part.sum(1)
        columns += part.sum(0)
    return rows, columns


def _kernel(products: Tensor, features: int) -> Tensor:
    """k from the inner products x.y, which it overwrites."""
    return products.div_(features).add_(1).pow_(3)
