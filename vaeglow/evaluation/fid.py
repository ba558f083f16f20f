"""Frechet Inception Distance (Heusel et al. 2017, eq. 6) of uint8 arrays, streamed: no PNG round trip.

d^2 = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), m and C the mean and covariance of Inception features.
Network and preprocessing are pytorch-fid's; mean and covariance are accumulated batch by batch, in float64. Also here:
all numbers of a protocol from one pass of Inception.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from vaeglow.data import arrays
from vaeglow.device import image_layout
from vaeglow.errors import UserError
from vaeglow.evaluation.sample_quality import compare_neighbours, kernel_inception_distance
from vaeglow.results import SEAL, Result

CPU_BATCH = 10  # images at 299x299: larger batches are 10 to 30% slower on a CPU and take gigabytes


def extract_features(
    images: np.ndarray,
    net: nn.Module,
    batch_size: int,
    device: torch.device | str,
    levels: int = 256,
    indices: np.ndarray | None = None,
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
    indices = np.arange(len(images)) if indices is None else indices
    batch_size = min(batch_size, CPU_BATCH) if torch.device(device).type == "cpu" else batch_size
    # TF32 and autotuning make a GPU's features differ from a CPU's and between runs
    exact = {"enabled": True, "benchmark": False, "deterministic": True, "allow_tf32": False}
    for start in range(0, len(indices), batch_size):
        batch = torch.from_numpy(np.array(images[indices[start : start + batch_size]])).to(device).float()
        batch = (batch / (levels - 1)).expand(-1, 3, -1, -1).contiguous(memory_format=image_layout(device))
        with torch.inference_mode(), torch.backends.cudnn.flags(**exact):
            features = adaptive_avg_pool2d(net(batch)[0], 1).flatten(1).cpu()
        if not features.isfinite().all():
            raise UserError("Inception features are not finite: delete the weights and run inception_weights again")
        yield features


def gaussian_statistics(batches: Iterable[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Mean [F] and covariance [F, F] (divisor N - 1, as np.cov) of rows that arrive in batches [B, F], in float64.

    Each batch is centred on its own mean, so a large common offset costs no precision (Chan, Golub & LeVeque 1983).
    """
    count, mean, scatter = 0, 0.0, 0.0
    for rows in batches:
        rows = rows.double()
        total, batch_mean = count + len(rows), rows.mean(0)
        centred, shift = rows - batch_mean, batch_mean - mean
        scatter += centred.T @ centred + torch.outer(shift, shift) * (count * len(rows) / total)
        mean += shift * (len(rows) / total)
        count = total
    scatter = scatter.numpy()
    return mean.numpy(), (scatter + scatter.T) / (2 * (count - 1))


def image_features(
    images: np.ndarray, net: nn.Module, batch_size: int, device: torch.device | str, **options: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One pass of images through the network: features to keep, and mean and covariance of all. Arguments as above.

    Memory does not grow with the number of images: the features of at most `vaeglow.data.arrays.MOST_FEATURES` images
    are kept, spread evenly over all: float32 [min(N, MOST_FEATURES), F] in the images' order.
    """
    count = len(options.get("indices", images))
    keep, kept = arrays.evenly_spaced(np.arange(count), arrays.MOST_FEATURES), []

    def batches() -> Iterator[Tensor]:
        start = 0
        for batch in extract_features(images, net, batch_size, device, **options):
            kept.append(batch.numpy()[keep[(keep >= start) & (keep < start + len(batch))] - start])
            start += len(batch)
            yield batch

    mean, covariance = gaussian_statistics(batches())
    return np.concatenate(kept), mean, covariance


def frechet_distance(mean1: np.ndarray, covariance1: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray) -> float:
    """Squared Frechet distance of two Gaussians.

    tr (C1 C2)^(1/2) is the sum of the singular values of L1^T L2 with C = L L^T. It always exists, also where a
    covariance is singular (fewer images than features, as in the demo: 64 and 2048). pytorch-fid takes the root of the
    matrix C1 C2 instead: at full rank the same up to rounding. For a singular one it uses the result of `sqrtm`, and if
    that is not finite adds 1e-6 to the diagonals, so there its number may differ a little from this exact one.

    Means are float64 [F], covariances [F, F].
    """

    def factor(covariance: np.ndarray) -> np.ndarray:
        """L [F, rank] with covariance = L L^T: Cholesky with pivots, which stops at the rank."""
        lower, order, rank, _ = scipy.linalg.lapack.dpstrf(np.asarray_chkfinite(covariance), lower=1)
        found = np.empty((len(covariance), rank))
        found[order - 1] = np.tril(lower)[:, :rank]
        return found

    trace = scipy.linalg.svdvals(factor(covariance1).T @ factor(covariance2)).sum()
    shift = mean1 - mean2
    return max(0.0, float(shift @ shift + np.trace(covariance1) + np.trace(covariance2) - 2 * trace))


def gaussian_images(train: np.ndarray, count: int, levels: int) -> np.ndarray:
    """Images of the Gaussian with the mean and covariance of training pixels: uint8 [count, C, H, W].

    A draw is the mean plus the training images' deviations from it, each times its own standard normal number: it has
    their covariance, which would not fit in memory at 64x64. The same draws for the same images.
    """
    pixels = torch.from_numpy(train.reshape(len(train), -1).astype(np.float32))
    mean = pixels.mean(0)
    weights = torch.randn(count, len(train), generator=torch.Generator().manual_seed(0)) / (len(train) - 1) ** 0.5
    drawn = (mean + weights @ (pixels - mean)).round().clamp(0, levels - 1)
    return drawn.to(torch.uint8).numpy().reshape(count, *train.shape[1:])


# ----------------------------------------------------------------------------------- samples against a reference


def protocol_of(reference: Result) -> dict[str, Any]:
    """What results record of the reference. It is not among their inputs: machines round its numbers differently."""
    about = {key: reference.value(key) for key in ("protocol", "split")}
    counts = dict.fromkeys(("fid_samples", "fid_reference_images"), reference.value("images"))
    digest = reference.value("provenance", SEAL)
    return about | counts | {"fid_features": reference.value("features"), "reference_sha256": digest}


def measure_set(
    samples: np.ndarray, net: nn.Module, reference: Result, batch_size: int, device: torch.device | str
) -> tuple[np.ndarray, float]:
    """The features kept of one set of samples, and its FID; see `measure_sets`."""
    levels, real = reference.value("levels"), reference.arrays
    features, mean, covariance = image_features(samples, net, batch_size, device, levels=levels)
    return features, frechet_distance(mean, covariance, real["mean"], real["covariance"])


def measure_sets(
    samples: np.ndarray, net: nn.Module, reference: Result, batch_size: int, device: torch.device | str
) -> tuple[np.ndarray, dict[str, Any]]:
    """The features kept of the first set, and all numbers of a protocol, each image passed once through Inception.

    A protocol may have several sets of samples, which share no noise: set i is samples i * images to (i + 1) *
    images. The FID is the mean over the sets, each against the same real images; their spread is the sampling noise of
    the same model, not the variation between trainings. All else is of the first set: KID has a standard error of its
    own, and precision, recall etc. depend on the count.

    N is at least the protocol's sets times its images; `net` is Inception with the reference's layer, on `device`.
    """
    count, sets = reference.value("images"), reference.value("sets")
    features, fid = measure_set(samples[:count], net, reference, batch_size, device)
    others = (samples[number * count :][:count] for number in range(1, sets))
    distances = [fid, *(measure_set(other, net, reference, batch_size, device)[1] for other in others)]
    return features, {
        "fid": float(np.mean(distances)),
        "fid_sd": float(np.std(distances, ddof=1)) if sets > 1 else None,
        "fid_by_set": distances,
        "fid_sets": sets,
        "feature_images": len(features),
        **kernel_inception_distance(features, reference.arrays["features"], device),
        **compare_neighbours(features, reference.arrays["features"], device),
    }
