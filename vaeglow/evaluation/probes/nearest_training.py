"""Memorisation: which training images are nearest to samples, and are samples nearer to them than test images are?

Distances are Euclidean, between Inception features. A model that draws copies of its training images has a good FID
and precision; here its samples lie nearer to training images than fresh images of the same kind do (as in Meehan et
al. 2020, and in the nearest-neighbour panels of many papers). It is a check and no proof: a copy that is shifted,
mirrored or blurred may not be near in this space.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vaeglow.evaluation.images import Spread
    from vaeglow.evaluation.trained import TrainedRun

READS = ("model", "samples", "train", "test", "weights")
RESULT = "nearest_training/T{temperature}.npz"
SCHEMA = {
    "samples": {
        "type": "integer",
        "minimum": 1,
        "description": "the first so many samples of a run: how near are they to training images",
    },
    "test_images": {
        "type": "integer",
        "minimum": 1,
        "description": "so many test images (at most all), spread over the split: how near are those",
    },
    "training_images": {
        "type": ["integer", "null"],
        "minimum": 1,
        "description": "so many training images, spread over all, are looked through; `null`: all that the run trained "
        "on. Pixel by pixel copies are always looked for among all",
    },
    "features": {"enum": [64, 192, 768, 2048], "description": "the Inception layer in which distances are measured"},
    "neighbours": {"type": "integer", "minimum": 1, "description": "nearest training images kept of a sample"},
    "shown": {"type": "integer", "minimum": 1, "description": "of how many samples"},
}
TRAINING_BLOCK = 1000  # training images whose features are in memory at a time
PERCENTILES = (1, 5)  # of the test images' distances


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """See above; training images are those the run trained on.

    Raises:
        UserError: samples of other weights, other data, or fewer images than are asked for.
    """
    from vaeglow.data.arrays import require_images
    from vaeglow.evaluation.images import Spread
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.results import read_result

    drawn = read_result(reads["samples"], ("images",), **run.identity)
    samples, count, shown = drawn.arrays["images"], settings["samples"], settings["shown"]
    where, remedy = "probes.nearest_training", "lower it, or draw more (steps sample, prepare_data)"
    require_images(len(samples), count, str(reads["samples"]), f"{where}.samples", remedy)
    require_images(count, shown, f"{where}.samples", f"{where}.shown", "raise the one or lower the other")
    train, test = run.images(reads["train"])[: run.config["data"]["train_subset"]], run.images(reads["test"])
    looked = Spread(train, min(len(train), settings["training_images"] or len(train)))
    require_images(len(looked), settings["neighbours"], "what is looked through", f"{where}.neighbours", remedy)
    samples, test = samples[:count], Spread(test, min(len(test), settings["test_images"]))[:]
    net = load_inception(reads["weights"], settings["features"], run.device)
    batches = {"batch_size": settings["batch_size"], "device": run.device, "levels": run.network.levels}
    near, near_test = find_nearest((samples, test), looked, net, settings["neighbours"], **batches)
    content = {
        **{"temperature": drawn.value("temperature"), "samples": count, "test_images": len(test)},
        **{"training_images": len(looked), "all_training_images": len(train), "features": settings["features"]},
        **nearer_than_test(near.distances[:, 0], near_test.distances[:, 0]),
        "copies": int(copies(samples, train).sum()),
        "test_copies": int(copies(test, train).sum()),
    }
    images = {"images": samples[:shown], "neighbours": train[near.indices[:shown]]}
    found = {"distances": near.distances, "indices": near.indices, "test_distances": near_test.distances[:, 0]}
    return content, images | found


@dataclasses.dataclass(frozen=True)
class Nearest:
    """The nearest training images of N images, nearest first.

    Attributes:
        distances: float64 [N, k].
        indices: in the training split, int64 [N, k].
    """

    distances: np.ndarray
    indices: np.ndarray


def find_nearest(
    groups: Iterable[np.ndarray], train: Spread, net: nn.Module, neighbours: int, **options: Any
) -> list[Nearest]:
    """The nearest training images of every image of several groups, in one pass over the training images.

    The features of the groups are in memory (10,000 of 2,048: 82 MB), those of `TRAINING_BLOCK` training images at a
    time, and a block of distances.

    Args:
        groups: images to find neighbours of, uint8 [N, C, H, W] each.
        train: the training images looked through, at least `neighbours`.
        net: Inception, or any module `extract_features` takes.
        neighbours: k.
        **options: of `extract_features`.
    """
    import torch

    from vaeglow.evaluation.fid import extract_features
    from vaeglow.evaluation.neighbours import BLOCK, distances

    queries = [torch.cat(list(extract_features(group, net, **options))) for group in groups]
    every = torch.cat(queries)
    best = torch.full((len(every), neighbours), torch.inf, dtype=torch.float64)
    where = torch.full((len(every), neighbours), -1)
    offset = 0
    for block in blocks_of(extract_features(train, net, **options), TRAINING_BLOCK):
        numbers = torch.arange(offset, offset + len(block))
        for start in range(0, len(every), BLOCK):
            rows = slice(start, start + BLOCK)
            part = distances(every[rows], block)
            both = torch.cat([best[rows], part], 1)
            best[rows], kept = both.topk(neighbours, largest=False)
            where[rows] = torch.cat([where[rows], numbers.expand(len(part), -1)], 1).gather(1, kept)
        offset += len(block)
    sizes = [len(query) for query in queries]
    found = zip(best.split(sizes), where.split(sizes), strict=True)
    return [Nearest(near.numpy(), train.indices[index.numpy()]) for near, index in found]


def blocks_of(batches: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same rows in blocks of at least `size`, the last as it comes."""
    import torch

    held: list[Tensor] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= size:
            yield torch.cat(held)
            held = []
    if held:
        yield torch.cat(held)


def copies(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Which images are a training image, pixel by pixel: bool [N].

    Args:
        images: uint8 [N, C, H, W].
        train: uint8 [M, C, H, W], all of the training images; memory-mapped perhaps, read one at a time.
    """
    known = {digest(image) for image in train}
    return np.array([digest(image) in known for image in images], dtype=bool)


def digest(image: np.ndarray) -> bytes:
    """A short hash of an image's pixels."""
    return hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest()


def nearer_than_test(samples: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """How many samples are nearer to a training image than the nearest 1% and 5% of test images are.

    Args:
        samples: distances to the nearest training image [N].
        test: the same of test images [M].

    Returns:
        `test_percentiles` and `shares_nearer`, each `{"1": ..., "5": ...}`, and the medians of both. Samples like test
        images have shares of about .01 and .05.
    """
    thresholds = {str(p): float(np.percentile(test, p)) for p in PERCENTILES}
    return {
        "test_percentiles": thresholds,
        "shares_nearer": {p: float((samples < threshold).mean()) for p, threshold in thresholds.items()},
        "median_distance": float(np.median(samples)),
        "median_test_distance": float(np.median(test)),
    }
