"""Frechet Inception Distance (Heusel et al. 2017, eq. 6) of uint8 arrays, streamed: no PNG round trip.

d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), m and C the mean and covariance of Inception features.
Network and preprocessing are pytorch-fid's; mean and covariance are gathered batch by batch, in float64.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from vaeglow.data.arrays import evenly_spaced, kept_of
from vaeglow.device import image_layout
from vaeglow.errors import UserError
from vaeglow.evaluation.images import Spread

CPU_BATCH = 10  # images at 299x299: larger batches are 10 to 30% slower on a CPU and take gigabytes


def extract_features(
    images: np.ndarray | Spread,
    net: nn.Module,
    batch_size: int,
    device: torch.device | str,
    levels: int = 256,
    stretch: bool = False,
) -> Iterator[Tensor]:
    """Yield the features of images, batch by batch, in order.

    Args:
        images: uint8 [N, C, H, W], C 1 (repeated to 3) or 3, values 0..levels-1; may be memory-mapped.
        net: pytorch-fid's InceptionV3 (or any module [B, 3, H, W] in [0, 1] -> [[B, F, h, w]]), on `device`.
        batch_size: images at a time; on a CPU at most 10.
        device: where `net` is.
        levels: number of pixel values; images are divided by levels - 1, so 255 as in pytorch-fid.
        stretch: first stretch each image to the whole range, see `stretched`.

    Yields:
        float32 [B, F] on the CPU, averaged over positions where the layer has any.

    Raises:
        UserError: images of another type or shape, or features that are not finite.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise UserError(f"FID needs uint8 images [N, 1 or 3, H, W], not {images.dtype} {list(images.shape)}")
    batch_size = min(batch_size, CPU_BATCH) if torch.device(device).type == "cpu" else batch_size

    def features_of(index: int) -> Tensor:
        start = index * batch_size
        batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device).float() / (levels - 1)
        batch = stretched(batch) if stretch else batch
        batch = batch.expand(-1, 3, -1, -1)
        batch = batch.contiguous(memory_format=image_layout(device))
        with torch.inference_mode(), _full_precision():
            features = net(batch)[0]
            features = adaptive_avg_pool2d(features, 1).flatten(1).cpu()
        bad = (~features.isfinite().all(1)).nonzero().flatten()
        if len(bad):
            raise UserError(
                f"Inception features of image {start + int(bad[0])} are not finite ({len(bad)} such images in its "
                "batch): the Inception weights file is damaged; delete it and run inception_weights again"
            )
        return features

    yield from map(features_of, range(-(-len(images) // batch_size)))


def stretched(images: Tensor) -> Tensor:
    """Each image's values moved linearly so that its smallest, over all channels, is 0 and its largest 1.

    Dai & Wipf's code (2019, fid_score.py, `norm=True`) does so with generated images and not with real ones. An image
    of one value, which it divides by 0, becomes black.

    Args:
        images: float [B, C, H, W].
    """
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / torch.where(high > low, high - low, 1.0)


@contextlib.contextmanager
def _full_precision() -> Iterator[None]:
    """Switch off TF32 and autotuning, which make a GPU's features differ from a CPU's and between runs."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


class GaussianStatistics:
    """Mean and covariance of rows that arrive in batches (Chan, Golub & LeVeque 1983), in float64.

    Each batch is centred on its own mean, so a large common offset costs no precision.
    """

    def __init__(self, features: int) -> None:
        """Start with no rows.

        Args:
            features: number of columns, F.
        """
        self.count = 0
        self._mean = torch.zeros(features, dtype=torch.float64)
        self._scatter = torch.zeros(features, features, dtype=torch.float64)

    def update(self, rows: Tensor | np.ndarray) -> None:
        """Take in rows [B, F]; ValueError for another shape or values that are not finite."""
        rows = torch.as_tensor(rows).to("cpu", torch.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self._mean):
            raise ValueError(f"rows are {list(rows.shape)}, not [B, {len(self._mean)}]")
        if not rows.isfinite().all():
            raise ValueError("features are not finite")
        if not len(rows):
            return
        total = self.count + len(rows)
        batch_mean = rows.mean(0)
        centred, shift = rows - batch_mean, batch_mean - self._mean
        self._scatter += centred.T @ centred + torch.outer(shift, shift) * (self.count * len(rows) / total)
        self._mean += shift * (len(rows) / total)
        self.count = total

    @property
    def mean(self) -> np.ndarray:
        """Mean of all rows so far, float64 [F]."""
        return self._mean.numpy().copy()

    @property
    def covariance(self) -> np.ndarray:
        """Covariance with divisor N - 1 as in np.cov, float64 [F, F]; ValueError below two rows."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 images, not {self.count}")
        scatter = self._scatter.numpy()
        return (scatter + scatter.T) / (2 * (self.count - 1))


def image_features(
    images: np.ndarray | Spread,
    net: nn.Module,
    features: int,
    batch_size: int,
    device: torch.device | str,
    **options: Any,
) -> tuple[np.ndarray, GaussianStatistics]:
    """One pass of images through the network: the Gaussian statistics of their features, and features to keep.

    Memory does not grow with the number of images: statistics are gathered batch by batch, and the features of at most
    `vaeglow.data.arrays.MOST_FEATURES` images are kept, spread evenly over all.

    Args:
        images: see `extract_features`, as the other arguments not named here.
        net: the network.
        features: F, how many the network's layer has.
        batch_size: images at a time.
        device: where `net` is.
        **options: `levels`, `stretch`.

    Returns:
        float32 [min(N, MOST_FEATURES), F] in the images' order (10,000 of 2,048 features: 82 MB), and the statistics of
        all N.
    """
    keep = evenly_spaced(np.arange(len(images)), kept_of(len(images)))
    kept, statistics, filled = np.empty((len(keep), features), np.float32), GaussianStatistics(features), 0
    for batch in extract_features(images, net, batch_size, device, **options):
        start = statistics.count
        statistics.update(batch)
        here = keep[(keep >= start) & (keep < statistics.count)] - start
        kept[filled : filled + len(here)] = batch.numpy()[here]
        filled += len(here)
    return kept, statistics


def frechet_distance(mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray) -> float:
    """Squared Frechet distance of two Gaussians.

    tr (C1 C2)^(1/2) is the sum of the singular values of L1^T L2 with C = L L^T. It always exists, also where a
    covariance is singular (fewer images than features, as in the demo: 128 and 2048). pytorch-fid takes the root of the
    matrix C1 C2 instead: at full rank the same but for rounding. Of a singular one it takes whatever `sqrtm` makes, and
    if that is not finite adds 1e-6 to the diagonals, so there its number may differ a little from this exact one.

    Args:
        mean1: float64 [F].
        covariance1: float64 [F, F].
        mean2: float64 [F].
        covariance2: float64 [F, F].

    Returns:
        The distance, at least 0.

    Raises:
        ValueError: shapes that differ, or values that are not finite.
    """
    arrays = mean1, covariance1, mean2, covariance2
    if mean1.shape != mean2.shape or not covariance1.shape == covariance2.shape == mean1.shape * 2:
        raise ValueError(f"statistics of different shapes: {[array.shape for array in arrays]}")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("statistics are not finite")
    trace = scipy.linalg.svdvals(_factor(covariance1).T @ _factor(covariance2)).sum()
    shift = mean1 - mean2
    return max(0.0, float(shift @ shift + np.trace(covariance1) + np.trace(covariance2) - 2 * trace))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """L [F, rank] with covariance = L L^T; directions without variance are left out."""
    values, vectors = scipy.linalg.eigh(covariance)
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])
