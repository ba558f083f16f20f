"""Where the Glow layer acts: how far it moves an image, what it keeps, what it sharpens (paper, section 4.2, figure 4).

"VAE samples are somewhat blurry [...] and are considerably sharper after being passed through Glow. The content is
entirely preserved by the Glow layer, with stochasticity resulting in small changes to the fine details": in numbers.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist, pdist

from vaeglow.data.arrays import evenly_spaced
from vaeglow.evaluation.fid import extract_features
from vaeglow.evaluation.inception import load_inception
from vaeglow.evaluation.trained import TrainedRun
from vaeglow.results import read_result

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow's "L"
BLANK = 1e-9  # squared grey levels: below it there is only float rounding
ROUNDING = 1 / 12  # power of the error of rounding to whole grey levels, at every frequency


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, None]:
    """See `probe_action`."""
    result = read_result(reads["layer_draws"], ("vae", "vae_noisy", "layer_mean", "layer"), **run.identity)
    draws, test, levels = result.arrays, run.images(reads["test"]), run.network.levels
    net = load_inception(reads["weights"], settings["features"], run.device)
    features = [
        torch.cat(list(extract_features(images, net, settings["batch_size"], run.device, levels))).numpy()
        for images in (draws["vae"], draws["layer"][:, 0])
    ]
    data = evenly_spaced(test, len(draws["vae"]))  # as many real images as latents
    about = {"temperature": result.value("temperature"), "split": "test", "features": settings["features"]}
    return {**about, **probe_action(draws, *features, data)}, None


def probe_action(
    draws: Mapping[str, np.ndarray], vae_features: np.ndarray, layer_features: np.ndarray, data: np.ndarray
) -> dict[str, Any]:
    """The values of `layer_action.json`. "The layer's images" are the first draw of each latent.

    Distances between images are RMS differences in grey levels, means over the latents; between features they are
    Euclidean. `content_kept` is the share of the layer's images whose nearest VAE image in feature space is their own
    (chance 1/n), `content_kept_pixels` the same in pixels. The first is strict: texture moves Inception's features of
    all images one way, which can bring them all nearest to a few. `feature_distance_between`, the mean distance of the
    layer's images of different latents, gives the scale. `spectrum_error` compares with the data's mean spectrum (see
    `log_error`): of the mean spectra, and under `per_image` of each image's own.

    `draws` are those of `layer_draws`, n at least 2; features are of `vae` and of `layer[:, 0]`, [n, F]; `data` are
    real images, uint8 [m, C, H, W].
    """
    layer, vae = draws["layer"][:, 0], draws["vae"]
    count, side = len(vae), vae.shape[-1]
    between = cdist(layer_features.astype(float), vae_features.astype(float))
    between_pixels = cdist(*(images.reshape(count, -1).astype(float) for images in (layer, vae)))
    shown = {"vae": vae, "vae_noisy": draws["vae_noisy"], "layer_mean": draws["layer_mean"], "layer": layer}
    spectra, sharpness = {}, {}
    for name, images in {**shown, "data": data}.items():
        spectra[name], sharpness[name] = spectrum(images)
    means = {name: power.mean(0) for name, power in spectra.items()}
    errors = {name: log_error(spectra[name], means["data"]) for name in ("vae", "vae_noisy", "layer")}
    per_image = {
        "pixel_distance": rms(layer, vae),
        "feature_distance": np.diagonal(between),
        # 1 where the nearest VAE image is an image's own, else 0; of equals the first is taken
        "content_kept": (between.argmin(1) == np.arange(count)).astype(int),
        "content_kept_pixels": (between_pixels.argmin(1) == np.arange(count)).astype(int),
    }
    frequency = np.arange(1, side // 2 + 1) / side  # cycles a pixel, up to 1/2 (Nyquist)
    return {
        "images": count,
        "data_images": len(data),
        **{name: float(values.mean()) for name, values in per_image.items()},
        "feature_distance_between": float(pdist(layer_features.astype(float)).mean()),
        "draw_pixel_distance": draw_distance(draws["layer"]),
        "sharpness": sharpness,
        "spectrum": {"frequency": frequency.tolist(), **{name: power.tolist() for name, power in means.items()}},
        "spectrum_error": {name: float(log_error(means[name], means["data"])) for name in shown},
        "per_image": {name: values.tolist() for name, values in per_image.items()}
        | {f"spectrum_error_{name}": values.tolist() for name, values in errors.items()},
    }


def rms(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Root mean square difference of images [..., C, H, W] in grey levels, float64."""
    return np.sqrt(((one.astype(float) - other) ** 2).mean((-3, -2, -1)))


def draw_distance(layer: np.ndarray) -> float | None:
    """Mean RMS difference in grey levels between draws [n, k, C, H, W] of the same latents; None for one draw."""
    found = [rms(*pair).mean() for pair in itertools.combinations(layer.swapaxes(0, 1), 2)]
    return float(np.mean(found)) if found else None


def spectrum(images: np.ndarray) -> tuple[np.ndarray, float]:
    """The radially averaged power spectrum of images' luminance, and how much of it lies in fine detail.

    It is the periodogram |FFT(w (g - m))|^2 / sum(w^2), w a Hann window and m the mean under it. The window keeps the
    jump between opposite borders from looking like detail; it spreads a frequency over its neighbours at 1/L, and
    taking out the mean lowers the lowest frequency.

    Returns:
        Of images [N, C, L, L], C 1 or 3, grey levels: power at 1/L, 2/L, ... up to 1/2 cycle a pixel, float64
        [N, L // 2], squared grey levels: white noise of variance v has the power v at every frequency. And the share of
        all images' power that lies above 1/4 cycle a pixel, corners of the frequency square included; white noise has
        about 0.8, a blank image 0.
    """
    images, side = np.asarray(images, np.float64), images.shape[-1]
    grey = images[:, 0] if images.shape[1] == 1 else np.einsum("c,nchw->nhw", LUMINANCE, images)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side)
    window = np.outer(hann, hann)
    mean = (grey * window).sum((1, 2), keepdims=True) / window.sum()
    power = np.abs(np.fft.fft2((grey - mean) * window)) ** 2 / (window**2).sum()
    axis = np.fft.fftfreq(side)
    radius = np.hypot(axis[:, None], axis)  # of every frequency, cycles a pixel
    rings = np.rint(radius * side).astype(int).ravel() == np.arange(1, side // 2 + 1)[:, None]  # [L // 2, L L]
    radial = power.reshape(len(power), -1) @ (rings / rings.sum(1, keepdims=True)).T
    pooled = power.mean(0)
    return radial, float(pooled[radius > 0.25].sum() / pooled.sum()) if pooled.sum() > BLANK else 0.0


def log_error(power: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How far spectra [..., F] are from a reference [F]: the RMS over frequencies of log10(power / reference).

    0 where equal, 1 where ten times too much (or too little) everywhere. Both get the power of rounding errors added,
    so that blank images, which have no power, differ by a finite amount.
    """
    ratio = np.log10((power + ROUNDING) / (reference + ROUNDING))
    return np.sqrt((ratio**2).mean(-1))
