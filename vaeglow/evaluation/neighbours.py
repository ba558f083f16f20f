"""What distances between Inception features say: improved precision and recall (Kynkaanniemi et al. 2019), diversity.

A set's manifold is the union of balls, one around each image's features, that reach to its k-th nearest other image
(k = 3). Precision is the share of samples in the real images' manifold, recall the share of real images in the
samples' manifold. Both depend on the number of images; compare only what was measured under one protocol.

torch-fidelity 0.4 has precision and recall of features too, in a function outside its public interface; the numbers
are the same, and `diversity` needs the same distances.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NEIGHBOURS = 3  # k
BLOCK = 512  # rows of a distance matrix at a time: against 50,000 columns 205 MB, a few times over
ROUNDING = 1e-12  # squared distances below so much of the squared lengths are 0: equal features, and rounding


def compare_neighbours(
    samples: np.ndarray, reference: np.ndarray, device: torch.device | str, block: int = BLOCK
) -> dict[str, float]:
    """Precision, recall and diversity of samples.

    Args:
        samples: features [N, F], N > k.
        reference: features of real images [M, F], M > k.
        device: where to compute; always in float64.
        block: rows at a time; the result does not depend on it.

    Returns:
        `precision`, `recall`, and `diversity` and `reference_diversity`: mean Euclidean distance of the features of
        two different samples, and of two different real images.

    Raises:
        ValueError: too few images, or numbers of features that differ.
    """
    x, y = (torch.as_tensor(array, dtype=torch.float64, device=device) for array in (samples, reference))
    if min(len(x), len(y)) <= NEIGHBOURS or x.shape[1:] != y.shape[1:]:
        raise ValueError(f"[N, F] and [M, F] with N and M above {NEIGHBOURS} are needed, not {x.shape} and {y.shape}")
    (x_radii, diversity), (y_radii, reference_diversity) = (_neighbourhoods(z, block) for z in (x, y))
    in_reference, in_samples = [], torch.zeros(len(y), dtype=torch.bool, device=y.device)
    for start in range(0, len(x), block):
        part = _distances(x[start : start + block], y)
        in_reference.append((part <= y_radii).any(1))
        in_samples |= (part <= x_radii[start : start + block, None]).any(0)
    return {
        "precision": torch.cat(in_reference).double().mean().item(),
        "recall": in_samples.double().mean().item(),
        "diversity": diversity,
        "reference_diversity": reference_diversity,
    }


def _neighbourhoods(x: Tensor, block: int) -> tuple[Tensor, float]:
    """Distance from each row to its k-th nearest other row [N], and the mean distance of two different rows."""
    radii, total = [], 0.0
    for start in range(0, len(x), block):
        part = _distances(x[start : start + block], x)
        radii.append(part.kthvalue(NEIGHBOURS + 1, 1).values)  # the nearest of all is the row itself
        total += part.sum().item()
    return torch.cat(radii), total / (len(x) * (len(x) - 1))


def _distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances [B, M] of rows x [B, F] and y [M, F]; exactly 0 between equal rows."""
    lengths = x.square().sum(1)[:, None] + y.square().sum(1)
    squared = torch.addmm(lengths, x, y.T, alpha=-2)
    return squared.where(squared > ROUNDING * lengths, 0).sqrt()
