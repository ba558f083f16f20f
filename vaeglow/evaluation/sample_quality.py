"""Metrics besides FID from Inception features of samples and of real images, in float64 and block by block.

- KID (Binkowski et al. 2018, section 4), an unbiased squared MMD: mean_{i != j} k(x_i, x_j) +
  mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j), k(x, y) = (x.y / F + 1)^3, over ALL samples x and real images
  y. The usual libraries average over random subsets: the same expectation, more noise, and a spread, not a standard
  error. It has no bias from the number of images, so it can be compared across counts; it can be below 0.
- Improved precision and recall (Kynkaanniemi et al. 2019), k = 3: the share of samples in the real images' manifold,
  and the share of real images in the samples' manifold. An image's ball reaches from its features to those of its k-th
  nearest other image in the same set, surface included; the union of a set's balls is its manifold.
- Density and coverage (Naeem et al. 2020), k = 5, both with the real images' balls only, which an outlier among the
  samples cannot enlarge: density is how many balls hold a sample, on average, over k (1 is expected of perfect samples,
  and it may be above 1); coverage the share of balls that hold a sample (1 - 1/2^5 = .97 is expected of perfect samples
  where there are as many of them as real images). The `prdc` package has the same numbers, of balls without their
  surface, which matters where images are copies of each other.
- Diversity: mean distance of two images of a set.

All but KID depend on the number of images; compare only what was measured under one protocol. Apart from the features
[N, F] and [M, F], memory is that of a few blocks; time grows as (N^2 + M^2 + N M) F.
"""

import math

import numpy as np
import torch
from torch import Tensor

KERNEL_BLOCK = 1024  # rows and columns of a kernel matrix in memory at a time; 64 MB with the features in float64
NEIGHBOURS, DENSITY_NEIGHBOURS = 3, 5  # k of precision and recall, of density and coverage: their papers'
BLOCK = 512  # rows of a distance matrix at a time: against 50,000 columns 205 MB
COLUMNS = 4096  # features in float64 at a time: 67 MB of 2,048
ROUNDING = 1e-12  # squared distances below so much of the squared lengths are 0: equal features, and rounding


def kernel_inception_distance(
    samples: np.ndarray, reference: np.ndarray, device: torch.device | str
) -> dict[str, float]:
    """KID and its standard error.

    The standard error is the delete-one jackknife of a two-sample U-statistic (Arvesen 1969): each image of either
    side is left out in turn, in closed form from the row sums of the kernel matrices. It is for the draw of samples AND
    of reference images: two KIDs that share a reference share that part. Where both sides have the same distribution
    it is too large (by up to sqrt(2): the jackknife overestimates a variance, never underestimates it on average).

    N and M are at least 3: two are left when the jackknife takes one away.
    """
    x, y = (torch.as_tensor(array, device=device) for array in (samples, reference))
    n, m = len(x), len(y)
    (x_own, _), (y_own, _), (x_cross, y_cross) = _sums(x, x), _sums(y, y), _sums(x, y)
    own_x, own_y, cross = x_own.sum(), y_own.sum(), x_cross.sum()
    mean_x, mean_y = own_x / (n * (n - 1)), own_y / (m * (m - 1))
    # the same without the i-th sample, and without the j-th reference image
    without_x = (own_x - 2 * x_own) / ((n - 1) * (n - 2)) + mean_y - 2 * (cross - x_cross) / ((n - 1) * m)
    without_y = mean_x + (own_y - 2 * y_own) / ((m - 1) * (m - 2)) - 2 * (cross - y_cross) / (n * (m - 1))
    variance = sum((len(t) - 1) * t.var(correction=0).item() for t in (without_x, without_y))
    kid = mean_x + mean_y - 2 * cross / (n * m)
    return {"kid": kid.item(), "kid_standard_error": math.sqrt(variance)}


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """k(x_i, y_j), float64 [B, M], of rows x [B, F] and y [M, F]."""
    return (x.double() @ y.double().T).div_(x.shape[1]).add_(1).pow_(3)


def _sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of k(x_i, y_j) over j [N] and over i [M]; if y is x, without i = j."""
    over_y, over_x = (torch.zeros(len(z), dtype=torch.float64, device=z.device) for z in (x, y))
    for start in range(0, len(x), KERNEL_BLOCK):
        for other in range(0, len(y), KERNEL_BLOCK):
            rows, columns = slice(start, start + KERNEL_BLOCK), slice(other, other + KERNEL_BLOCK)
            part = kernel(x[rows], y[columns])
            if x is y and start == other:
                part.fill_diagonal_(0)
            over_y[rows] += part.sum(1)
            over_x[columns] += part.sum(0)
    return over_y, over_x


def compare_neighbours(samples: np.ndarray, reference: np.ndarray, device: torch.device | str) -> dict[str, float]:
    """Precision, recall, density, coverage and diversity, also of the reference, from one pass over the distances.

    N and M are more than 5.
    """
    x, y = (torch.as_tensor(array, device=device) for array in (samples, reference))
    (x_radii, diversity), (y_radii, reference_diversity) = (_neighbourhoods(z) for z in (x, y))
    in_reference = 0
    in_samples = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    held = torch.zeros(len(y), dtype=torch.int64, device=y.device)  # samples in each real image's ball
    for start in range(0, len(x), BLOCK):
        part = distances(x[start : start + BLOCK], y)
        in_reference += int((part <= y_radii[:, NEIGHBOURS]).any(1).sum())
        in_samples |= (part <= x_radii[start : start + BLOCK, NEIGHBOURS, None]).any(0)
        held += (part <= y_radii[:, DENSITY_NEIGHBOURS]).sum(0)
    return {
        "precision": in_reference / len(x),
        "recall": in_samples.double().mean().item(),
        "density": held.sum().item() / (DENSITY_NEIGHBOURS * len(x)),
        "coverage": (held > 0).double().mean().item(),
        "diversity": diversity,
        "reference_diversity": reference_diversity,
    }


def _neighbourhoods(x: Tensor) -> tuple[Tensor, float]:
    """Distances from each row to its k-th nearest other row [N, k], and the mean distance of two different rows."""
    nearest, total = [], 0.0
    for start in range(0, len(x), BLOCK):
        part = distances(x[start : start + BLOCK], x)
        nearest.append(part.topk(DENSITY_NEIGHBOURS + 1, largest=False).values)  # the nearest of all is the row itself
        total += part.sum().item()
    return torch.cat(nearest), total / (len(x) * (len(x) - 1))


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances, float64 [B, M], of rows x [B, F] and y [M, F]; exactly 0 between equal rows."""
    x = x.double()
    lengths, found = x.square().sum(1)[:, None], x.new_empty(len(x), len(y))
    for start in range(0, len(y), COLUMNS):
        columns = y[start : start + COLUMNS].double()
        both = lengths + columns.square().sum(1)
        squared = torch.addmm(both, x, columns.T, alpha=-2)
        found[:, start : start + COLUMNS] = squared.where(squared > ROUNDING * both, 0).sqrt()
    return found


def nearest_distances(images: np.ndarray, others: np.ndarray, device: torch.device) -> np.ndarray:
    """Distance of each image [N, C, H, W] to the nearest of others [M, C, H, W]: float64 [N], 0 for a copy.

    Root mean square over values, in grey levels, of uint8.
    """
    rows, columns = (torch.tensor(part, dtype=torch.float32, device=device).flatten(1) for part in (images, others))
    nearest = torch.cat([distances(block, columns).min(1).values for block in rows.split(BLOCK)])
    return nearest.cpu().numpy() / math.sqrt(rows.shape[1])
