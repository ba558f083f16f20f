"""Maps of the decoder's noise beside the images (paper, section 3.1): is s(z) large where the decoder errs?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaeglow.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vaeglow.evaluation.trained import TrainedRun
    from vaeglow.models.glow_layer import GlowLayer
    from vaeglow.models.vae import VAE

READS = ("model", "test")
RESULT = "noise_maps.npz"
SCHEMA = {
    "shown": {
        "type": "integer",
        "minimum": 1,
        "description": "of how many test images the maps of the decoder's noise are kept",
    },
    "images": {
        "type": "integer",
        "minimum": 1,
        "description": "the first so many test images (at most all): is the noise large where the error is",
    },
}
NOISE_MAPS = -7  # the "epoch" of all noise here


@dataclasses.dataclass(frozen=True)
class NoiseMaps:
    """Of N images, z their posterior mean.

    Attributes:
        mean: g_mu(z), uint8 [N, C, H, W].
        scale: s(z), the root mean square over the channels, float32 [N, H, W], grey levels.
        correlations: for each image the rank correlation (Spearman) over its pixels of s(z) and the error
            |target - g_mu(z)|, both root mean squares over the channels; the target is y, and f(y) under a Glow layer.
            None for isotropic noise, which has one s for all. An image with one s everywhere has 0.
    """

    mean: np.ndarray
    scale: np.ndarray
    correlations: list[float] | None


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """See `map_noise`.

    Raises:
        UserError: no model with one latent, other data, counts that cannot be, or a value that is not finite.
    """
    from vaeglow.evaluation.trained import vae_and_layer

    vae, layer = vae_and_layer(run.network, run.config, "the probe noise_maps")
    shown, count = settings["shown"], settings["images"]
    if shown < 1 or count < shown:
        raise UserError(f"{shown} maps of {count} images are asked for: show 1 or more, of at least as many images")
    images = run.images(reads["test"])[:count]
    maps = map_noise(vae, layer, images, settings["batch_size"], run.seed, run.device)
    correlations = maps.correlations
    content = {
        "split": "test",
        "images": len(images),
        "error_correlation": None if correlations is None else float(np.mean(correlations)),
        "error_correlations": correlations,
    }
    return content, {"images": images[:shown], "mean": maps.mean[:shown], "scale": maps.scale[:shown]}


def map_noise(
    vae: VAE, layer: GlowLayer | None, images: np.ndarray, batch_size: int, seed: int, device: torch.device
) -> NoiseMaps:
    """The decoder's mean and standard deviation for images.

    Args:
        vae: in evaluation mode, on `device`.
        layer: the Glow layer above it, or None.
        images: uint8 [N, C, H, W], N at least 1.
        batch_size: images at a time; the noise depends on it.
        seed: of the dequantisation noise.
        device: of the model.

    Raises:
        UserError: a value that is not finite.
    """
    import torch

    from vaeglow.data.loader import dequantise, step_generator
    from vaeglow.evaluation.likelihood import finite, image_batches
    from vaeglow.models.bounds import quantise

    means, scales, errors = [], [], []
    with torch.no_grad():
        for index, x in image_batches(images, batch_size, device):
            y = dequantise(x, vae.levels, step_generator(seed, NOISE_MAPS, index, device))
            target = y if layer is None else layer(y)[0]
            mean, log_scale = vae.decode(vae.encode(y)[0])
            means.append(quantise(mean, vae.levels).cpu())
            scales.append(over_channels(log_scale.exp()) * vae.levels)
            errors.append(over_channels(target - mean) * vae.levels)
    scale, error = torch.cat(scales), torch.cat(errors)
    finite((scale + error).flatten(1).sum(1), "the decoder's noise or error")
    correlations = rank_correlations(scale.numpy(), error.numpy()) if vae.diagonal else None
    return NoiseMaps(torch.cat(means).numpy(), scale.numpy(), correlations)


def over_channels(values: Tensor) -> Tensor:
    """Root mean square over the channels: [N, C, H, W] to float32 [N, H, W] on the CPU."""
    return values.square().mean(1).sqrt().float().cpu()


def rank_correlations(scale: np.ndarray, error: np.ndarray) -> list[float]:
    """Spearman's rank correlation over the pixels, for each of N images.

    Args:
        scale: [N, H, W].
        error: [N, H, W].

    Returns:
        N numbers from -1 to 1; 0 where one of the two is the same everywhere.
    """
    from scipy.stats import spearmanr

    flat = [array.reshape(len(array), -1) for array in (scale, error)]
    told = (np.ptp(flat[0], axis=1) > 0) & (np.ptp(flat[1], axis=1) > 0)
    return [float(spearmanr(s, e).statistic) if tells else 0.0 for s, e, tells in zip(*flat, told, strict=True)]
