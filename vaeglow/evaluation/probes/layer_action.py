"""Where the Glow layer acts: how far it moves an image, what it keeps, what it sharpens (paper, section 4.2, figure 4).

"VAE samples are somewhat blurry [...] and are considerably sharper after being passed through Glow. The content is
entirely preserved by the Glow layer, with stochasticity resulting in small changes to the fine details": in numbers.

Content is judged against `controls`: images that differ from the VAE's by as much as the layer's do. Structural
similarity is made to tell such images apart; Inception's features are not: a photograph and its own blurred version lie
as far apart in them as that version and noise on it do.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.distance import cdist
from skimage.metrics import structural_similarity

from vaeglow.data.arrays import evenly_spaced
from vaeglow.data.loader import LAYER_DRAWS, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.trained import BATCH_SIZE, TrainedRun
from vaeglow.models.bounds import normal_like, quantise

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow's "L"
BLANK = 1e-9  # squared grey levels: below it there is only float rounding
ROUNDING = 1 / 12  # power of the error of rounding to whole grey levels, at every frequency


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """See `draw` and `probe_action`; of the first latents, those shown, the images `vae` and `layer`."""
    draws, exploded = draw(run, settings["images"], settings["draws"], settings["temperature"])
    data = evenly_spaced(run.images(reads["test"]), settings["images"])  # as many real images as latents
    about = {"temperature": float(settings["temperature"]), "split": "test", "exploded_samples": exploded}
    content = about | probe_action(draws, data, run.network.levels)
    return content, {name: draws[name][: settings["shown"]] for name in ("vae", "layer")}


def draw(run: TrainedRun, images: int, draws: int, temperature: float) -> tuple[dict[str, np.ndarray], int]:
    """Draw n latents from the prior and show each with and without the layer, at temperature T, by k noises.

    The first latents do not depend on their number or on the draws of each, nor the first draws of each on their
    number.

    Returns:
        Images, uint8: `vae` [n, C, H, W], the decoder mean g_mu(z); `vae_noisy` [n, C, H, W], g_mu(z) + T s(z) noise,
        of the first noise; `layer_mean` [n, C, H, W], f^-1(g_mu(z)); `layer` [n, k, C, H, W], f^-1(g_mu(z) + T s(z)
        noise). And how many latents have an image that is not finite (it is clipped).
    """
    if run.config["kind"] != "vae_glow":
        raise UserError(f"{run.config['model']} is a {run.config['kind']}: it has no Glow layer; take a vae_glow")
    vae, layer, parts, overflowed = run.network.vae, run.network.layer, defaultdict(list), []
    with torch.no_grad():
        for index in range(-(-images // BATCH_SIZE)):  # all batches are of full size, the last is cut
            generator = step_generator(run.seed, LAYER_DRAWS, index, run.device)
            mean, log_scale = run.network.decode(vae.prior_sample(BATCH_SIZE, generator))
            noises = [normal_like(mean, generator) for _ in range(draws)]
            noisy = [mean + temperature * log_scale.exp() * noise for noise in noises]
            shown = {"vae": mean, "vae_noisy": noisy[0], "layer_mean": layer.inverse(mean)}
            shown["layer"] = torch.stack([layer.inverse(x_bar) for x_bar in noisy], 1)
            for name, values in shown.items():
                parts[name].append(quantise(values, vae.levels).cpu())
            whole = torch.stack([values.isfinite().flatten(1).all(1) for values in shown.values()]).all(0)
            overflowed.append(~whole.cpu())
    exploded = int(torch.cat(overflowed)[:images].sum())
    if 2 * exploded > images:
        raise UserError(f"{exploded} of {images} latents give images that are not finite: the model is broken")
    return {name: torch.cat(values)[:images].numpy() for name, values in parts.items()}, exploded


def probe_action(draws: Mapping[str, np.ndarray], data: np.ndarray, levels: int) -> dict[str, Any]:
    """The values of `layer_action.json`. "The layer's images" are the first draw of each latent.

    Distances are RMS differences in grey levels, means over the latents: `pixel_distance` of the layer's images from
    their own VAE images, `draw_pixel_distance` of two draws from one latent, `between_pixel_distance` of the layer's
    images of two latents. `content_kept` is the share of the layer's images whose nearest VAE image is their own
    (chance 1/n). `similarity` is that of the layer's images with their own VAE images, `similarity_noise` and
    `similarity_other` that of their `controls`. `spectrum_error` compares with the data's mean spectrum (see
    `log_error`): of the mean spectra, and under `per_image` of each image's own.

    `draws` are those of `draw`, n and k at least 2; `data` are real images, uint8 [m, C, H, W].
    """
    layer, vae = draws["layer"][:, 0], draws["vae"]
    count, side = len(vae), vae.shape[-1]
    flat, flat_vae = (images.reshape(count, -1).astype(float) for images in (layer, vae))
    shown = {"vae": vae, "vae_noisy": draws["vae_noisy"], "layer_mean": draws["layer_mean"], "layer": layer}
    spectra, sharpness = {}, {}
    for name, images in {**shown, "data": data}.items():
        spectra[name], sharpness[name] = spectrum(images)
    means = {name: power.mean(0) for name, power in spectra.items()}
    errors = {name: log_error(spectra[name], means["data"]) for name in ("vae", "vae_noisy", "layer")}
    pairs = [rms(*pair) for pair in itertools.combinations(draws["layer"].swapaxes(0, 1), 2)]
    others = {f"similarity_{name}": images for name, images in controls(vae, layer, levels).items()}
    per_image = {
        "pixel_distance": rms(layer, vae),
        "draw_pixel_distance": np.mean(pairs, axis=0),
        "between_pixel_distance": cdist(flat, flat).sum(1) / (count - 1) / np.sqrt(flat.shape[1]),
        # 1 where the nearest VAE image is an image's own, else 0; of equals the first is taken
        "content_kept": (cdist(flat, flat_vae).argmin(1) == np.arange(count)).astype(int),
        **{name: similarity(images, vae, levels) for name, images in {"similarity": layer, **others}.items()},
    }
    frequency = np.arange(1, side // 2 + 1) / side  # cycles a pixel, up to 1/2 (Nyquist)
    return {
        "images": count,
        "data_images": len(data),
        **{name: float(values.mean()) for name, values in per_image.items()},
        "sharpness": sharpness,
        "spectrum": {"frequency": frequency.tolist(), **{name: power.tolist() for name, power in means.items()}},
        "spectrum_error": {name: float(log_error(means[name], means["data"])) for name in shown},
        "per_image": {name: values.tolist() for name, values in per_image.items()}
        | {f"spectrum_error_{name}": values.tolist() for name, values in errors.items()},
    }


def controls(vae: np.ndarray, layer: np.ndarray, levels: int) -> dict[str, np.ndarray]:
    """VAE images [N, C, H, W], each changed by as much as the layer changes it (RMS), but by nothing of its own.

    By white `noise`, and by the layer's change of the `other` latent that comes before. If the layer's own change has
    nothing to do with the image, its image is no more similar to the VAE's than the more similar of these two.
    """
    change = layer.astype(float) - vae
    unrelated = {"noise": np.random.default_rng(0).normal(size=vae.shape), "other": np.roll(change, 1, 0)}
    found = {}
    for name, values in unrelated.items():
        scale = rms(change, 0) / np.maximum(rms(values, 0), BLANK)
        changed = np.rint(vae + scale[:, None, None, None] * values)
        found[name] = np.clip(changed, 0, levels - 1).astype(np.uint8)
    return found


def similarity(one: np.ndarray, other: np.ndarray, levels: int) -> np.ndarray:
    """Structural similarity (Wang et al. 2004, windows of 7x7) of pairs of images [N, C, H, W]: [N], 1 where equal."""
    pairs = zip(one, other, strict=True)
    return np.array([structural_similarity(*pair, channel_axis=0, data_range=levels - 1) for pair in pairs])


def rms(one: np.ndarray, other: np.ndarray | float) -> np.ndarray:
    """Root mean square difference of images [..., C, H, W] in grey levels, float64."""
    return np.sqrt(((one.astype(float) - other) ** 2).mean((-3, -2, -1)))


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
