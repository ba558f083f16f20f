"""Maps of the decoder's noise next to the images (paper, section 3.1): is s(z) large where the decoder errs?"""

import numpy as np
from numpy import ndarray
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.stats import spearmanr
from torch import Tensor

from vaeglow.data.loader import NOISE_MAPS
from vaeglow.evaluation.likelihood import Batches, dequantised_batches, finite, joined
from vaeglow.evaluation.probes import Measured, Reads
from vaeglow.evaluation.trained import TrainedRun, vae_and_layer
from vaeglow.files import Config
from vaeglow.models.bounds import quantise


def measure(run: TrainedRun, reads: Reads, settings: Config) -> Measured:
    """The decoder's mean and standard deviation at the posterior means z of test images.

    Returns:
        `error_correlations`, for each of N images the rank correlation over its pixels of s(z) and the error
        |target - g_mu(z)|, both root mean squares over the channels; the target is y, and f(y) under a Glow layer.
        `border_contrasts` (see there). Both None for isotropic noise, which has one s for all. And of the images shown
        `mean`, g_mu(z), uint8 [n, C, H, W], and `scale`, s(z), the root mean square over the channels, float32
        [n, H, W], grey levels.
    """
    vae, layer = vae_and_layer(run.network, run.config, "the probe noise_maps")
    images = run.images(reads["test"])[: settings["images"]]
    shown = settings["shown"]

    def over_channels(values: Tensor) -> Tensor:
        """Root mean square over the channels: [N, C, H, W] to float32 [N, H, W], grey levels."""
        return values.square().mean(1).sqrt().float() * vae.levels

    def maps() -> Batches:
        for _, y, _ in dequantised_batches(vae, images, settings["batch_size"], run.seed, NOISE_MAPS, run.device):
            mean, log_scale = run.network.decode(vae.encode(y)[0])
            yield {
                "mean": quantise(mean, vae.levels),
                "scale": over_channels(log_scale.exp()),
                "error": over_channels(layer(y)[0] - mean),
            }

    decoded = joined(maps())
    finite((decoded["scale"] + decoded["error"]).flatten(1).sum(1), "the decoder's noise or error")
    scale = decoded["scale"].numpy()
    content = {"split": "test", "images": len(images)}
    content |= dict.fromkeys(("error_correlation", "error_correlations", "border_contrasts"))
    if scale.min() < scale.max():
        correlations = rank_correlations(scale, decoded["error"].numpy())
        content |= {
            "error_correlation": float(np.mean(correlations)),
            "error_correlations": correlations,
            "border_contrasts": border_contrasts(images, scale),
        }
    return content, {"images": images[:shown], "mean": decoded["mean"][:shown].numpy(), "scale": scale[:shown]}


def rank_correlations(scale: ndarray, error: ndarray) -> list[float]:
    """Spearman's rank correlation over the pixels of N images [N, H, W] each; 0 where one is constant."""
    return [
        0.0 if np.ptp(s) == 0 or np.ptp(e) == 0 else float(spearmanr(s.ravel(), e.ravel()).statistic)
        for s, e in zip(scale, error, strict=True)
    ]


def border_contrasts(images: ndarray, scale: ndarray) -> list[float]:
    """Mean ln s over an image's border pixels minus that over its background; of images [N, C, H, W] that have both.

    Background: pixels that are 0 in all channels, as their eight neighbours are. Border: pixels that are 0 and have a
    neighbour that is not, or the reverse. `scale` is s, [N, H, W].
    """
    black = (images == 0).all(1)
    background = minimum_filter(black, (1, 3, 3))
    return [
        float(log[on].mean() - log[off].mean())
        for log, on, off in zip(np.log(scale), maximum_filter(black, (1, 3, 3)) & ~background, background, strict=True)
        if on.any() and off.any()
    ]
