"""What a volume-preserving, shift-invariant linear layer could reach on a VAE's residual, in bits/dim.

The derivation, and the limits of the numbers, are in docs/squeeze.md. In short: squeezed by q, such a layer commutes
with shifts by q, so it acts on each coarse frequency w of the residual by itself, P(w) -> T(w) P(w) T(w)*, with P(w)
the [C q^2, C q^2] second moments of the q^2 frequencies that a space-to-depth by q folds together. |det T(w)| is the
same at every w, so the least variance the decoder's Gaussian needs is the mean over w of det P(w)^(1 / (C q^2)).
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy import ndarray
from sklearn.decomposition import PCA

from vaeglow.data.arrays import evenly_spaced, require_images
from vaeglow.data.loader import EVALUATION
from vaeglow.errors import UserError
from vaeglow.evaluation.likelihood import dequantised_batches, finite
from vaeglow.evaluation.probes import Measured, Reads
from vaeglow.evaluation.trained import TrainedRun
from vaeglow.files import Config
from vaeglow.models.bounds import Numbers, bits_per_dim, gaussian_log_density

SQUEEZES = (1, 2, 4)
LARGEST = max(SQUEEZES)
IMAGES_PER_CHANNEL = 4  # images needed for each of the C q^2 channels of the largest squeeze: see `estimation_bias`
PCA_IMAGES = 20_000  # most training images the components are fitted to: more change little, and need the memory


@torch.no_grad
def measure(run: TrainedRun, reads: Reads, settings: Config) -> Measured:
    """The references of two residuals of the same dequantised test images (docs/squeeze.md)."""
    model = run.network
    train = evenly_spaced(run.images(reads["train"]), PCA_IMAGES)
    test = evenly_spaced(run.images(reads["test"]), settings["images"])
    require_images(
        len(test),
        IMAGES_PER_CHANNEL * model.channels * LARGEST**2,
        "what is taken of the test split",
        "probes.linear_reference",
        "take more (its `images`)",
    )
    mean, components = principal_components(train, model.prior.dims, model.levels, run.seed)
    moments = {source: dict.fromkeys(SQUEEZES, 0.0) for source in ("vae", "pca")}
    own_noise = []
    for _, y, generator in dequantised_batches(
        model, test, settings["batch_size"], run.seed, EVALUATION, run.device
    ):  # the noise of the likelihood
        g_mean, log_scale = model.decode(model.posterior_sample(y, generator)[0])
        own_noise.append(finite(gaussian_log_density(y, g_mean, log_scale), "reconstruction"))
        residuals = {
            "vae": (y - g_mean).cpu().numpy(),
            "pca": component_residual(y.cpu().numpy(), mean, components),
        }
        for source, residual in residuals.items():
            for q in SQUEEZES:
                moments[source][q] += folded_moments(residual, q)
    sources = {}
    for source, sums in moments.items():
        sources[source] = linear_references({q: total / len(test) for q, total in sums.items()}, model.levels)
    return {
        "images": len(test),
        "latents": model.prior.dims,
        "pca_images": len(train),
        "sources": sources,
        "vae_own_noise": bits_per_dim(torch.cat(own_noise).double(), model.dims, model.levels).mean().item(),
        "estimation_bias": estimation_bias(model.channels, len(test)),
    }, None


def folded_moments(residual: ndarray, q: int) -> ndarray:
    """The sum over images of second moments of the residual's Fourier transform; over N it is P(w).

    No window, and no mean taken out: these are the statistics of the images on a torus, so the mean over w of
    trace P(w) / (C q^2) is the mean square of the residual. White noise of variance v has P(w) = v I everywhere.
    From [N, C, H, W], in the units of y, to Hermitian [H/q, W/q, C q^2, C q^2].
    """
    channels, height, width = residual.shape[1:]
    rows = height // q
    columns = width // q
    waves = np.fft.fft2(np.asarray(residual, np.float64), norm="ortho")
    aliases = waves.reshape(-1, channels, q, rows, q, columns)  # a frequency's index is alias * (side / q) + coarse
    folded = aliases.transpose(3, 5, 1, 2, 4, 0).reshape(rows, columns, channels * q**2, -1)
    return folded @ folded.conj().swapaxes(-1, -2)


def linear_references(moments: Mapping, levels: int) -> Numbers:
    """The references of docs/squeeze.md, each at most the one before it, bits/dim, from q -> P(w).

    `no_layer`, one variance for all pixels and channels; `squeeze1`, `squeeze2`, `squeeze4`, with the best layer of
    that squeeze; `whitening`, with a layer as the last that may also move volume from one frequency to another. None
    includes the cost of z (the KL). A Gaussian residual costs log2(levels) + 1/2 log2(2 pi e variance). UserError where
    a P(w) is singular.
    """
    variances = {"no_layer": float(np.trace(moments[1], axis1=-2, axis2=-1).real.mean()) / moments[1].shape[-1]}
    for q in SQUEEZES:
        sign, log_det = np.linalg.slogdet(moments[q])
        if not (np.isfinite(log_det).all() and (sign.real > 0).all()):
            raise UserError(
                "the residual has no power in some direction, so a layer could shrink it for nothing: use more images "
                "(probes.linear_reference.images), or fewer latents than pixels by far (network.latent_dim)"
            )
        logs = log_det / moments[q].shape[-1]  # of each P(w) the mean log eigenvalue
        variances[f"squeeze{q}"] = float(np.exp(logs).mean())
    variances["whitening"] = float(np.exp(logs.mean()))  # of the largest squeeze
    return {
        name: math.log2(levels) + 0.5 * math.log2(2 * math.pi * math.e * variance)
        for name, variance in variances.items()
    }


def estimation_bias(channels: int, images: int) -> Numbers:
    """How far the references lie too low because the layer is fitted to the images it is measured on, bits/dim.

    The log-determinant of N complex Gaussian vectors' second moments [p, p] is too low by p^2 / (2 N) to first order
    (Wishart), which is p / (4 N ln 2) bits/dim. Images that differ in contrast make it larger.
    """
    sizes = {
        "no_layer": 0,
        **{f"squeeze{q}": channels * q**2 for q in SQUEEZES},
        "whitening": channels * LARGEST**2,
    }
    return {name: -size / (4 * images * math.log(2)) for name, size in sizes.items()}


def principal_components(images: ndarray, number: int, levels: int, seed: int) -> tuple[ndarray, ndarray]:
    """The linear autoencoder with so many latents, fitted to training images [N, C, H, W].

    Mean [D] and components [number, D] (orthonormal rows), of y at the middle of each level.
    """
    flat = (images.reshape(len(images), -1).astype(np.float32) + 0.5) / levels
    if number >= min(flat.shape):
        raise UserError(
            f"{number} principal components need more training images and pixel values, there are {len(flat)} and "
            f"{flat.shape[1]}: lower the VAE's network.latent_dim or get more images"
        )
    fitted = PCA(number, svd_solver="randomized", random_state=seed).fit(flat)
    return fitted.mean_, fitted.components_


def component_residual(y: ndarray, mean: ndarray, components: ndarray) -> ndarray:
    """The residual of the components on dequantised images y [N, C, H, W]: the same shape."""
    centred = y.reshape(len(y), -1) - mean
    return (centred - (centred @ components.T) @ components).reshape(y.shape)
