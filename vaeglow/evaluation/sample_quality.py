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

import torch
from numpy import ndarray
from torch import Tensor

from vaeglow.data.loader import Device
from vaeglow.models.bounds import Numbers, Pair

KERNEL_BLOCK = 1024  # rows and columns of a kernel matrix in memory at a time; 64 MB with the features in float64
NEIGHBOURS, DENSITY_NEIGHBOURS = 3, 5  # k of precision and recall, of density and coverage: their papers'
BLOCK = 512  # rows of a distance matrix at a time: against 50,000 columns 205 MB
COLUMNS = 4096  # features in float64 at a time: 67 MB of 2,048
ROUNDING = 1e-12  # squared distances below so much of the squared lengths are 0: equal features, and rounding


def kernel_inception_distance(samples: ndarray, reference: ndarray, device: Device) -> Numbers:
    """KID and its standard error.

    The standard error is the delete-one jackknife of a two-sample U-statistic (Arvesen 1969): each image of either
    side is left out in turn, in closed form from the row sums of the kernel matrices. It is for the draw of samples AND
    of reference images: two KIDs that share a reference share that part. Where both sides have the same distribution
    it is too large (by up to sqrt(2): the jackknife overestimates a variance, never underestimates it on average).

    N and M are at least 3: two are left when the jackknife takes one away.
    """
    x = torch.as_tensor(samples, device=device)
    y = torch.as_tensor(reference, device=device)
    n = len(x)
    m = len(y)
    x_own = _sums(x, x)[0]
    y_own = _sums(y, y)[0]
    x_cross, y_cross = _sums(x, y)
    cross = x_cross.sum()
    x_mean = x_own.sum() / (n * (n - 1))
    y_mean = y_own.sum() / (m * (m - 1))

    def jackknife(own_sums: Tensor, other_mean: Tensor, cross_sums: Tensor, others: int) -> float:
        """The part of the variance from one side: the KID without each of its images in turn."""
        left = len(own_sums) - 1
        own = (own_sums.sum() - 2 * own_sums) / (left * (left - 1))
        apart = (cross - cross_sums) / (left * others)
        return left * (own + other_mean - 2 * apart).var(correction=0).item()

    return {
        "kid": (x_mean + y_mean - 2 * cross / (n * m)).item(),
        "kid_standard_error": math.sqrt(jackknife(x_own, y_mean, x_cross, m) + jackknife(y_own, x_mean, y_cross, n)),
    }


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """k(x_i, y_j), float64 [B, M], of rows x [B, F] and y [M, F]."""
    return (x.double() @ y.double().T).div_(x.shape[1]).add_(1).pow_(3)


def _sums(x: Tensor, y: Tensor) -> Pair:
    """Sums of k(x_i, y_j) over j [N] and over i [M]; if y is x, without i = j."""
    over_y = x.new_zeros(len(x), dtype=torch.float64)
    over_x = y.new_zeros(len(y), dtype=torch.float64)
    for start in range(0, len(x), KERNEL_BLOCK):
        rows = slice(start, start + KERNEL_BLOCK)
        for other in range(0, len(y), KERNEL_BLOCK):
            columns = slice(other, other + KERNEL_BLOCK)
            block = kernel(x[rows], y[columns])
            if x is y and start == other:
                block.fill_diagonal_(0)
            over_y[rows] += block.sum(1)
            over_x[columns] += block.sum(0)
    return over_y, over_x


def compare_neighbours(samples: ndarray, reference: ndarray, device: Device) -> Numbers:
    """Precision, recall, density, coverage and diversity, also of the reference, from one pass over the distances.

    N and M are more than 5.
    """
    x = torch.as_tensor(samples, device=device)
    y = torch.as_tensor(reference, device=device)
    x_radii, diversity = _neighbourhoods(x)
    y_radii, reference_diversity = _neighbourhoods(y)
    in_reference = 0
    in_samples = y.new_zeros(len(y), dtype=torch.bool)
    held = y.new_zeros(len(y), dtype=torch.int64)  # samples in each real image's ball
    for rows, radii in zip(x.split(BLOCK), x_radii.split(BLOCK), strict=True):
        block = distances(rows, y)
        in_reference += int((block <= y_radii[:, NEIGHBOURS]).any(1).sum())
        in_samples |= (block <= radii[:, NEIGHBOURS, None]).any(0)
        held += (block <= y_radii[:, DENSITY_NEIGHBOURS]).sum(0)
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
    nearest = []
    total = 0.0
    for rows in x.split(BLOCK):
        block = distances(rows, x)
        nearest.append(block.topk(DENSITY_NEIGHBOURS + 1, largest=False).values)  # the nearest of all is the row itself
        total += block.sum().item()
    return torch.cat(nearest), total / (len(x) * (len(x) - 1))


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances, float64 [B, M], of rows x [B, F] and y [M, F]; exactly 0 between equal rows."""
    x = x.double()
    lengths = x.square().sum(1)[:, None]
    apart = x.new_empty(len(x), len(y))
    for rows, target in zip(y.split(COLUMNS), apart.split(COLUMNS, 1), strict=True):
        columns = rows.double()
        both = lengths + columns.square().sum(1)
        squared = torch.addmm(both, x, columns.T, alpha=-2)
        target.copy_(squared.where(squared > ROUNDING * both, 0).sqrt())
    return apart


def nearest_distances(images: ndarray, others: ndarray, device: Device) -> ndarray:
    """Distance of each image [N, C, H, W] to the nearest of others [M, C, H, W]: float64 [N], 0 for a copy.

    Root mean square over values, in grey levels, of uint8.
    """
    rows, columns = (torch.tensor(values, device=device).flatten(1) for values in (images, others))
    nearest = [distances(block, columns).min(1).values for block in rows.split(BLOCK)]
    return torch.cat(nearest).cpu().numpy() / math.sqrt(rows.shape[1])
