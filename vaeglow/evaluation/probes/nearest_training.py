"""Memorisation: which training images are nearest to samples, and are samples nearer to them than test images?

Distances are Euclidean, between Inception features. A model that draws copies of its training images has a good FID
and precision; here its samples lie nearer to training images than fresh images of the same kind do (as in Meehan et
al. 2020, and in the nearest-neighbour panels of many papers). It is a check, not a proof: a copy that is shifted,
mirrored or blurred may not be near in this space.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch.nn import Module

from vaeglow.data.arrays import evenly_spaced, require_images
from vaeglow.evaluation.fid import extract_features
from vaeglow.evaluation.inception import load_inception
from vaeglow.evaluation.probes import Measured, Reads
from vaeglow.evaluation.sample_quality import BLOCK, distances
from vaeglow.evaluation.trained import TrainedRun
from vaeglow.files import Config, Facts
from vaeglow.results import read_result

TRAINING_BLOCK = 1000  # training images whose features are in memory at a time


def measure(run: TrainedRun, reads: Reads, settings: Config) -> Measured:
    """See above; training images are those the run trained on."""
    result = read_result(reads["samples"], ("images",), **run.identity)
    number = settings["samples"]
    shown = settings["shown"]
    train = run.images(reads["train"])
    indices = evenly_spaced(np.arange(len(train)), settings["training_images"] or len(train))
    remedy = "lower it, or draw more (steps sample, prepare_data)"
    require_images(
        len(result.arrays["images"]), number, str(reads["samples"]), "probes.nearest_training.samples", remedy
    )
    require_images(
        len(indices), settings["neighbours"], "the images searched", "probes.nearest_training.neighbours", remedy
    )
    samples = result.arrays["images"][:number]
    test = evenly_spaced(run.images(reads["test"]), settings["test_images"])
    (near, nearest), (near_test, _) = find_nearest(
        (samples, test),
        train,
        indices,
        load_inception(reads["weights"], settings["features"], run.device),
        settings["neighbours"],
        batch_size=settings["batch_size"],
        device=run.device,
        levels=run.network.levels,
    )
    return {
        "temperature": result.value("temperature"),
        "samples": number,
        "test_images": len(test),
        "training_images": len(indices),
        "all_training_images": len(train),
        "features": settings["features"],
        **nearer_than_test(near[:, 0], near_test[:, 0]),
        "copies": int(copies(samples, train).sum()),
        "test_copies": int(copies(test, train).sum()),
    }, {
        "images": samples[:shown],
        "neighbours": train[nearest[:shown]],
        "distances": near,
        "indices": nearest,
        "test_distances": near_test[:, 0],
    }


def find_nearest(
    groups: Sequence[ndarray],
    train: ndarray,
    indices: ndarray,
    net: Module,
    neighbours: int,
    **options: Any,
) -> list[tuple[ndarray, ndarray]]:
    """The k nearest training images of every image of several groups, in one pass over the training images.

    The features of the groups are in memory, those of `TRAINING_BLOCK` training images at a time, and a block of
    distances. Only the training images at `indices` are searched; `options` are those of `extract_features`.

    Returns:
        For each group, nearest first: distances, float64 [N, k], and indices in `train`, int64 [N, k].
    """
    queries = torch.cat([features for group in groups for features in extract_features(group, net, **options)])
    best = torch.full((len(queries), neighbours), torch.inf, dtype=torch.float64)
    nearest = torch.full((len(queries), neighbours), -1)
    for numbers in torch.from_numpy(indices).split(TRAINING_BLOCK):
        block = torch.cat(list(extract_features(train, net, indices=numbers.numpy(), **options)))
        for start in range(0, len(queries), BLOCK):
            rows = slice(start, start + BLOCK)
            best[rows], chosen = torch.cat([best[rows], distances(queries[rows], block)], 1).topk(
                neighbours, largest=False
            )
            nearest[rows] = torch.cat([nearest[rows], numbers.expand(len(chosen), -1)], 1).gather(1, chosen)
    sizes = list(map(len, groups))
    return [(near.numpy(), index.numpy()) for near, index in zip(best.split(sizes), nearest.split(sizes), strict=True)]


def copies(images: ndarray, train: ndarray) -> ndarray:
    """Which images [N, C, H, W] are one of the training images [M, C, H, W], pixel by pixel: bool [N]."""
    contents = [image.tobytes() for image in images]
    copied = set(contents).intersection(image.tobytes() for image in train)
    return np.array([content in copied for content in contents])


def nearer_than_test(samples: ndarray, test: ndarray) -> Facts:
    """How many samples are nearer to a training image than the nearest 1% and 5% of test images are.

    Of distances to the nearest training image, [N] and [M]. Samples like test images have shares of about .01 and .05.
    """
    thresholds = {str(percent): float(np.percentile(test, percent)) for percent in (1, 5)}
    return {
        "test_percentiles": thresholds,
        "shares_nearer": {percent: float((samples < threshold).mean()) for percent, threshold in thresholds.items()},
    }
