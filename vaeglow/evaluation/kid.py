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

BLOCK = 1024  # rows and columns of a kernel matrix in memory at a time; 64 MB with the features in float64


def kernel_inception_distance(
    samples: np.ndarray, reference: np.ndarray, device: torch.device | str
) -> dict[str, float]:
    """KID and its standard error.

    The standard error is the delete-one jackknife of a two-sample U-statistic (Arvesen 1969): each image of either
    side is left out in turn, in closed form from the row sums of the kernel matrices. It is for the draw of samples AND
    of reference images: two KIDs that share a reference share that part. Where both sides have the same distribution
    it is too large (by up to sqrt(2): the jackknife overestimates a variance, never underestimates it on average).

    Beside the features as they are given, memory is constant in N and M; time grows as (N + M)^2 F / 2.

    Args:
        samples: features [N, F], N at least 3: two are left when the jackknife takes one away.
        reference: features [M, F], M likewise.
        device: where to compute; always in float64.

    Returns:
        `kid` and `kid_standard_error`.
    """
    x, y = (torch.as_tensor(array, device=device) for array in (samples, reference))
    n, m = len(x), len(y)
    x_own, y_own = _own_sums(x), _own_sums(y)
    x_cross, y_cross = _cross_sums(x, y)
    own_x, own_y, cross = x_own.sum(), y_own.sum(), x_cross.sum()
    mean_x, mean_y = own_x / (n * (n - 1)), own_y / (m * (m - 1))
    # the same without the i-th sample, and without the j-th reference image
    without_x = (own_x - 2 * x_own) / ((n - 1) * (n - 2)) + mean_y - 2 * (cross - x_cross) / ((n - 1) * m)
    without_y = mean_x + (own_y - 2 * y_own) / ((m - 1) * (m - 2)) - 2 * (cross - y_cross) / (n * (m - 1))
    variance = sum((len(t) - 1) * t.var(correction=0).item() for t in (without_x, without_y))
    kid = mean_x + mean_y - 2 * cross / (n * m)
    return {"kid": kid.item(), "kid_standard_error": math.sqrt(variance)}


def _own_sums(x: Tensor) -> Tensor:
    """Sums of k(x_i, x_j) over j other than i [N]. The matrix is symmetric: half of its blocks say all."""
    sums = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK].double()
        for other in range(start, len(x), BLOCK):
            columns = rows if other == start else x[other : other + BLOCK].double()
            part = (rows @ columns.T).div_(x.shape[1]).add_(1).pow_(3)
            if other == start:
                part.fill_diagonal_(0)
            else:
                sums[other : other + BLOCK] += part.sum(0)
            sums[start : start + BLOCK] += part.sum(1)
    return sums


def _cross_sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of k(x_i, y_j) over j [N] and over i [M]."""
    over_y, over_x = (torch.zeros(len(z), dtype=torch.float64, device=z.device) for z in (x, y))
    for start in range(0, len(x), BLOCK):
        rows = x[start : start + BLOCK].double()
        for other in range(0, len(y), BLOCK):
            part = (rows @ y[other : other + BLOCK].double().T).div_(x.shape[1]).add_(1).pow_(3)
            over_y[start : start + BLOCK] += part.sum(1)
            over_x[other : other + BLOCK] += part.sum(0)
    return over_y, over_x
