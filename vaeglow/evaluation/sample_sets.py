"""FID and its company of a run's samples under one protocol: each image once through Inception.

A protocol may ask for several sets of samples: set i is samples i * images to (i + 1) * images, which share no noise.
The FID is the mean over the sets, each against the same real images, and their spread says how much another draw of
samples from the same model would change it; it says nothing of another training. All else is of the first set, as are
the features that are kept: KID has a standard error of its own, and precision and its like depend on the count. Of
more than `vaeglow.data.arrays.MOST_FEATURES` images, they take so many samples, spread evenly over the set, and
as many real images.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from vaeglow.evaluation.fid import GaussianStatistics, extract_features, frechet_distance, image_features
from vaeglow.evaluation.images import Reference
from vaeglow.evaluation.kid import kernel_inception_distance
from vaeglow.evaluation.neighbours import compare_neighbours


def measure_sets(
    samples: np.ndarray, net: nn.Module, reference: Reference, batch_size: int, device: torch.device | str
) -> tuple[np.ndarray, dict[str, Any]]:
    """All numbers of a protocol.

    Beside images and Inception, the memory is that of the features kept of one set and of the reference (82 MB each,
    at most, of 2,048), the Gaussian statistics (34 MB), and the blocks of `kid` and `neighbours`: it grows neither with
    the number of images nor with that of sets.

    Args:
        samples: uint8 [N, C, H, W], N at least the protocol's sets times its images.
        net: Inception with the reference's layer, on `device`.
        reference: its metadata are the protocol.
        batch_size: images at a time.
        device: where to compute.

    Returns:
        The features kept of the first set, float32 [n, F], and `fid` (mean over sets), `fid_sd` (standard deviation
        over sets; None for one), `fid_by_set`, `fid_sets`, `feature_images` (n), and what `kernel_inception_distance`
        and `compare_neighbours` say of them.
    """
    about = reference.metadata
    count, width, sets = about["images"], about["features"], about["sets"]
    options = {"levels": about["levels"], "stretch": about["stretch"]}
    features, first = image_features(samples[:count], net, width, batch_size, device, **options)
    distances = [frechet_distance(first.mean, first.covariance, reference.mean, reference.covariance)]
    for number in range(1, sets):
        found, one = GaussianStatistics(width), samples[number * count : (number + 1) * count]
        for batch in extract_features(one, net, batch_size, device, **options):  # not kept
            found.update(batch)
        distances.append(frechet_distance(found.mean, found.covariance, reference.mean, reference.covariance))
    return features, {
        "fid": float(np.mean(distances)),
        "fid_sd": float(np.std(distances, ddof=1)) if sets > 1 else None,
        "fid_by_set": distances,
        "fid_sets": sets,
        "feature_images": len(features),
        **kernel_inception_distance(features, reference.features, device),
        **compare_neighbours(features, reference.features, device),
    }
