"""What distances between Inception features say: precision and recall, density and coverage, diversity.

An image's ball reaches from its features to those of its k-th nearest other image in the same set, surface included;
the union of a set's balls is its manifold.

- Improved precision and recall (Kynkaanniemi et al. 2019), k = 3: the share of samples in the real images' manifold,
  and the share of real images in the samples' manifold.
- Density and coverage (Naeem et al. 2020), k = 5, both with the real images' balls alone, which one stray sample
  cannot blow up: density is how many balls hold a sample, on average, over k (1 is expected of perfect samples, and it
  may be above 1); coverage the share of balls that hold a sample (1 - 1/2^5 = .97 is expected of perfect samples where
  there are as many of them as real images).
- Diversity: mean distance of two images of a set.

All depend on the number of images; compare only what was measured under one protocol.

The `prdc` package of Naeem et al. has the first four from whole distance matrices, with the same numbers; its balls are
without their surface, which matters where images are copies of each other.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NEIGHBOURS, DENSITY_NEIGHBOURS = 3, 5  # k of precision and recall, of density and coverage: their papers'
BLOCK = 512  # rows of a distance matrix at a time: against 50,000 columns 205 MB
COLUMNS = 4096  # features in float64 at a time: 67 MB of 2,048
ROUNDING = 1e-12  # squared distances below so much of the squared lengths are 0: equal features, and rounding


def compare_neighbours(samples: np.ndarray, reference: np.ndarray, device: torch.device | str) -> dict[str, float]:
    """Precision, recall, density, coverage and diversity of samples, from one pass over the distances.

    Beside the features as they are given, memory is that of a few blocks of rows; time grows as (N^2 + M^2 + N M) F.

    Args:
        samples: features [N, F], N > 5.
        reference: features of real images [M, F], M > 5.
        device: where to compute; always in float64.

    Returns:
        `precision`, `recall`, `density`, `coverage`, and `diversity` and `reference_diversity`: mean Euclidean
        distance of the features of two different samples, and of two different real images.
    """
    x, y = (torch.as_tensor(array, device=device) for array in (samples, reference))
    (x_radii, diversity), (y_radii, reference_diversity) = (_neighbourhoods(z) for z in (x, y))
    in_reference = 0
    in_samples = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    held = torch.zeros(len(y), dtype=torch.int64, device=y.device)  # samples in each real image's ball
    for start in range(0, len(x), BLOCK):
        part = distances(x[start : start + BLOCK], y)
        in_reference += int((part <= y_radii[NEIGHBOURS]).any(1).sum())
        in_samples |= (part <= x_radii[NEIGHBOURS][start : start + BLOCK, None]).any(0)
        held += (part <= y_radii[DENSITY_NEIGHBOURS]).sum(0)
    return {
        "precision": in_reference / len(x),
        "recall": in_samples.double().mean().item(),
        "density": held.sum().item() / (DENSITY_NEIGHBOURS * len(x)),
        "coverage": (held > 0).double().mean().item(),
        "diversity": diversity,
        "reference_diversity": reference_diversity,
    }


def _neighbourhoods(x: Tensor) -> tuple[dict[int, Tensor], float]:
    """{k: distance from each row to its k-th nearest other row [N]}, and the mean distance of two different rows."""
    nearest, total = [], 0.0
    for start in range(0, len(x), BLOCK):
        part = distances(x[start : start + BLOCK], x)
        nearest.append(part.topk(DENSITY_NEIGHBOURS + 1, largest=False).values)  # the nearest of all is the row itself
        total += part.sum().item()
    radii = torch.cat(nearest)
    return {k: radii[:, k] for k in (NEIGHBOURS, DENSITY_NEIGHBOURS)}, total / (len(x) * (len(x) - 1))


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
