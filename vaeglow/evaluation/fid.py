"""Frechet Inception Distance (Heusel et al. 2017, eq. 6) of uint8 arrays, streamed: no PNG round trip.

d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), m and C the mean and covariance of Inception features.
Network and preprocessing are pytorch-fid's; mean and covariance are accumulated batch by batch, in float64. Also here:
all numbers of a protocol from one pass of Inception.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import adaptive_avg_pool2d

from vaeglow.data import arrays
from vaeglow.data.arrays import Arrays
from vaeglow.data.loader import Device
from vaeglow.device import image_layout
from vaeglow.errors import UserError
from vaeglow.evaluation.inception import load_inception
from vaeglow.evaluation.sample_quality import compare_neighbours, kernel_inception_distance
from vaeglow.files import Facts
from vaeglow.models.bounds import Numbers
from vaeglow.progress import counted
from vaeglow.results import SEAL, Result, read_result

CPU_BATCH = 10  # images at 299x299: larger batches are 10 to 30% slower on a CPU and take gigabytes


def extract_features(
    images: ndarray,
    net: Module,
    batch_size: int,
    device: Device,
    levels: int = 256,
    indices: ndarray | None = None,
) -> Iterator[Tensor]:
    """Yield the features of images, batch by batch, in order.

    Args:
        images: uint8 [N, C, H, W], C 1 (repeated to 3) or 3, values 0..levels-1; may be memory-mapped.
        net: pytorch-fid's InceptionV3 (or any module [B, 3, H, W] in [0, 1] -> [[B, F, h, w]]), on `device`.
        batch_size: images at a time; on a CPU at most 10.
        device: where `net` is.
        levels: number of pixel values; images are divided by levels - 1, so 255 as in pytorch-fid.
        indices: of the images to take; None: all.

    Yields:
        float32 [B, F] on the CPU, averaged over the positions of the layer; UserError if not finite.
    """
    if indices is None:
        indices = np.arange(len(images))
    if torch.device(device).type == "cpu":
        batch_size = min(batch_size, CPU_BATCH)
    for start in counted(range(0, len(indices), batch_size), "Inception features"):
        batch = torch.from_numpy(images[indices[start : start + batch_size]]).to(device).float() / (levels - 1)
        batch = batch.expand(-1, 3, -1, -1).contiguous(memory_format=image_layout(device))
        # TF32 and autotuning make a GPU's features differ from a CPU's and between runs
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            features = adaptive_avg_pool2d(net(batch)[0], 1).flatten(1).cpu()
        if not features.isfinite().all():
            raise UserError("Inception features are not finite: delete the weights and run inception_weights again")
        yield features


def gaussian_statistics(batches: Iterable[Tensor]) -> tuple[ndarray, ndarray]:
    """Mean [F] and covariance [F, F] (divisor N - 1, as np.cov) of rows that arrive in batches [B, F], in float64.

    Each batch is centred on its own mean, so a large common offset costs no precision (Chan, Golub & LeVeque 1983).
    """
    count = 0
    mean = scatter = 0.0
    for batch in batches:
        rows = batch.double()
        total = count + len(rows)
        batch_mean = rows.mean(0)
        centred = rows - batch_mean
        shift = batch_mean - mean
        scatter += centred.T @ centred + torch.outer(shift, shift) * (count * len(rows) / total)
        mean += shift * (len(rows) / total)
        count = total
    scatter = scatter.numpy()
    return mean.numpy(), (scatter + scatter.T) / (2 * (count - 1))


def image_features(images: ndarray, net: Module, batch_size: int, device: Device, **options: Any) -> Arrays:
    """One pass of images through the network. Arguments as above.

    Memory does not grow with the number of images: the features of at most `vaeglow.data.arrays.MOST_FEATURES` images
    are kept, spread evenly over all.

    Returns:
        `features` kept, float32 [min(N, MOST_FEATURES), F] in the images' order; of all images `mean` and `covariance`.
    """
    numbers = np.arange(len(options.get("indices", images)))
    is_kept = iter(np.isin(numbers, arrays.evenly_spaced(numbers, arrays.MOST_FEATURES)))
    kept = []

    def batches() -> Iterator[Tensor]:
        for batch in extract_features(images, net, batch_size, device, **options):
            kept.append(batch.numpy()[list(islice(is_kept, len(batch)))])
            yield batch

    mean, covariance = gaussian_statistics(batches())
    return {"mean": mean, "covariance": covariance, "features": np.concatenate(kept)}


def frechet_distance(mean1: ndarray, covariance1: ndarray, mean2: ndarray, covariance2: ndarray) -> float:
    """Squared Frechet distance of two Gaussians.

    tr (C1 C2)^(1/2) is the sum of the singular values of L1^T L2 with C = L L^T. It always exists, also where a
    covariance is singular (fewer images than features, as in the demo: 64 and 2048). pytorch-fid takes the root of the
    matrix C1 C2 instead: at full rank the same up to rounding. For a singular one it uses the result of `sqrtm`, and if
    that is not finite adds 1e-6 to the diagonals, so there its number may differ a little from this exact one.

    Means are float64 [F], covariances [F, F].
    """

    def factor(covariance: ndarray) -> ndarray:
        """L [F, rank] with covariance = L L^T: Cholesky with pivots, which stops at the rank."""
        lower, order, rank, _ = scipy.linalg.lapack.dpstrf(np.asarray_chkfinite(covariance), lower=1)
        root = np.empty((len(covariance), rank))
        root[order - 1] = np.tril(lower)[:, :rank]
        return root

    shift = mean1 - mean2
    root = scipy.linalg.svdvals(factor(covariance1).T @ factor(covariance2)).sum()
    return max(float(shift @ shift + np.trace(covariance1) + np.trace(covariance2) - 2 * root), 0.0)  # keeps NaN


def gaussian_images(train: ndarray, count: int, levels: int) -> ndarray:
    """Images of the Gaussian with the mean and covariance of training pixels: uint8 [count, C, H, W].

    A draw is the mean plus the sum of the training images' deviations from it, each times its own standard normal
    number over sqrt(N - 1): it has their covariance, which would not fit in memory at 64x64. The same draws for the
    same images.
    """
    pixels = torch.from_numpy(train.reshape(len(train), -1).astype(np.float32))
    mean = pixels.mean(0)
    weights = torch.randn(count, len(train), generator=torch.Generator().manual_seed(0)) / (len(train) - 1) ** 0.5
    return (
        (mean + weights @ (pixels - mean))
        .round()
        .clamp(0, levels - 1)
        .to(torch.uint8)
        .numpy()
        .reshape(count, *train.shape[1:])
    )


# ----------------------------------------------------------------------------------- samples against a reference


@dataclass(frozen=True)
class Reference:
    """Real images, as a protocol says, that samples are compared with.

    Attributes:
        real: what the step `fid_reference` wrote.
        net: Inception with the reference's layer, on `device`.
        batch_size: images at a time.
        device: where `net` is.
    """

    real: Result
    net: Module
    batch_size: int
    device: Device

    @classmethod
    def open(
        cls, path: Path, weights: Path, batch_size: int, device: Device, content: Facts, **expected: Any
    ) -> "Reference":
        """Read the file of step `fid_reference`, and load its network.

        It must be of the same data as another result's `content`, and hold the values `expected`.
        """
        real = read_result(path, None, **{key: content[key] for key in ("dataset", "data_sha256")}, **expected)
        return cls(real, load_inception(weights, real.value("features"), device), batch_size, device)

    @property
    def record(self) -> Facts:
        """What results record of it. It is not among their inputs: machines round its numbers differently."""
        value = self.real.value
        return {
            "protocol": value("protocol"),
            "split": value("split"),
            "fid_samples": value("images"),
            "fid_reference_images": value("images"),
            "fid_features": value("features"),
            "reference_sha256": value("provenance", SEAL),
        }

    def fid(self, samples: ndarray) -> tuple[ndarray, float]:
        """The features kept of one set of samples, and its FID."""
        drawn = image_features(samples, self.net, self.batch_size, self.device, levels=self.real.value("levels"))
        real = self.real.arrays
        return drawn["features"], frechet_distance(
            drawn["mean"],
            drawn["covariance"],
            real["mean"],
            real["covariance"],
        )

    def fid_and_kid(self, samples: ndarray) -> Numbers:
        """`fid`, `kid` and `kid_standard_error` of one set of samples."""
        features, distance = self.fid(samples)
        return {
            "fid": distance,
            **kernel_inception_distance(features, self.real.arrays["features"], self.device),
        }

    def measure_sets(self, samples: ndarray) -> tuple[ndarray, Facts]:
        """The features kept of the first set, and all numbers of a protocol, each image passed once through Inception.

        A protocol may have several sets of samples, which share no noise: set i is samples i * images to (i + 1) *
        images. The FID is the mean over the sets, each against the same real images; their spread is the sampling noise
        of the same model, not the variation between trainings. All else is of the first set: KID has a standard error
        of its own, and precision, recall etc. depend on the count.

        N is at least the protocol's sets times its images.
        """
        count = self.real.value("images")
        sets = self.real.value("sets")
        measured = [self.fid(samples[start : start + count]) for start in range(0, sets * count, count)]
        features = measured[0][0]
        distances = [distance for _, distance in measured]
        return features, {
            "fid": float(np.mean(distances)),
            "fid_sd": float(np.std(distances, ddof=1)) if sets > 1 else None,
            "fid_by_set": distances,
            "fid_sets": sets,
            "feature_images": len(features),
            **kernel_inception_distance(features, self.real.arrays["features"], self.device),
            **compare_neighbours(features, self.real.arrays["features"], self.device),
        }
