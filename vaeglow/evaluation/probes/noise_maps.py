"""Maps of the decoder's noise next to the images (paper, section 3.1): is s(z) large where the decoder errs?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.stats import spearmanr
from torch import Tensor

from vaeglow.data.loader import NOISE_MAPS
from vaeglow.errors import UserError
from vaeglow.evaluation.likelihood import dequantised_batches, finite
from vaeglow.evaluation.trained import TrainedRun, vae_and_layer
from vaeglow.models.bounds import quantise


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """The decoder's mean and standard deviation at the posterior means z of test images.

    Returns:
        `error_correlations`, for each of N images the rank correlation over its pixels of s(z) and the error
        |target - g_mu(z)|, both root mean squares over the channels; the target is y, and f(y) under a Glow layer.
        `border_contrasts` (see there). Both None for isotropic noise, which has one s for all. And of the images shown
        `mean`, g_mu(z), uint8 [n, C, H, W], and `scale`, s(z), the root mean square over the channels, float32
        [n, H, W], grey levels.
    """
    vae, layer = vae_and_layer(run.network, run.config, "the probe noise_maps")
    images, shown = run.images(reads["test"])[: settings["images"]], settings["shown"]
    if settings["images"] < shown:
        raise UserError(f"{shown} maps of {settings['images']} images are requested: raise probes.noise_maps.images")

    def over_channels(values: Tensor) -> Tensor:
        """Root mean square over the channels: [N, C, H, W] to float32 [N, H, W] on the CPU, grey levels."""
        return values.square().mean(1).sqrt().float().cpu() * vae.levels

    means, scales, errors = [], [], []
    with torch.no_grad():
        for _, y, _ in dequantised_batches(vae, images, settings["batch_size"], run.seed, NOISE_MAPS, run.device):
            target = y if layer is None else layer(y)[0]
            mean, log_scale = run.network.decode(vae.encode(y)[0])
            means.append(quantise(mean, vae.levels).cpu())
            scales.append(over_channels(log_scale.exp()))
            errors.append(over_channels(target - mean))
    mean, scale, error = torch.cat(means).numpy(), torch.cat(scales), torch.cat(errors)
    finite((scale + error).flatten(1).sum(1), "the decoder's noise or error")
    varies = scale.min() < scale.max()
    found = rank_correlations(scale.numpy(), error.numpy()) if varies else None
    content = {"error_correlation": None if found is None else float(np.mean(found)), "error_correlations": found}
    content["border_contrasts"] = border_contrasts(images, scale.numpy()) if varies else None
    arrays = {"images": images[:shown], "mean": mean[:shown], "scale": scale.numpy()[:shown]}
    return {"split": "test", "images": len(images), **content}, arrays


def rank_correlations(scale: np.ndarray, error: np.ndarray) -> list[float]:
    """Spearman's rank correlation over the pixels of N images [N, H, W] each; 0 where one is constant."""
    pairs = list(zip(scale.reshape(len(scale), -1), error.reshape(len(error), -1), strict=True))
    return [float(spearmanr(s, e).statistic) if np.ptp(s) > 0 and np.ptp(e) > 0 else 0.0 for s, e in pairs]


def border_contrasts(images: np.ndarray, scale: np.ndarray) -> list[float]:
    """Mean ln s over an image's border pixels minus that over its background; of images [N, C, H, W] that have both.

    Background: pixels that are 0 in all channels, as their eight neighbours are. Border: pixels that are 0 and have a
    neighbour that is not, or the reverse. `scale` is s, [N, H, W].
    """
    black, window, logs = (images == 0).all(1), (1, 3, 3), np.log(scale)
    background = minimum_filter(black, window)
    border = maximum_filter(black, window) & ~background
    pairs = zip(logs, border, background, strict=True)
    return [float(log[on].mean() - log[off].mean()) for log, on, off in pairs if on.any() and off.any()]
