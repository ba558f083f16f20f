"""Near copies: how far test images are from training images, pixel by pixel."""

import numpy as np
import torch

from vaeglow.evaluation.sample_quality import BLOCK, distances

TRAINING_BLOCK = 2048  # training images in memory as float64 at a time


def nearest_distances(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Root mean square distance of each image [N, C, H, W] to the nearest of train [M, C, H, W]: float64 [N].

    In grey levels, so 0 is a copy; both are uint8 and may be memory-mapped.
    """
    best = np.full(len(images), np.inf)
    for start in range(0, len(train), TRAINING_BLOCK):
        block = torch.from_numpy(train[start : start + TRAINING_BLOCK].astype(np.float32)).flatten(1)
        for first in range(0, len(images), BLOCK):
            rows = slice(first, first + BLOCK)
            part = torch.from_numpy(images[rows].astype(np.float32)).flatten(1)
            nearest = distances(part, block).min(1).values.numpy()
            best[rows] = np.minimum(best[rows], nearest)
    return best / np.sqrt(images[0].size)
