"""Where the Glow layer acts: how far it moves an image, what it keeps, what it sharpens (paper, section 4.2, figure 4).

"VAE samples are somewhat blurry [...] and are considerably sharper after being passed through Glow. The content is
entirely preserved by the Glow layer, with stochasticity resulting in small changes to the fine details": in numbers.

Content is judged against `controls`: images that differ from the VAE's by as much as the layer's do. Structural
similarity is made to tell such images apart; Inception's features are not: a photograph and its own blurred version lie
as far apart in them as that version and noise on it do.
"""

import itertools
import math

import numpy as np
import torch
from numpy import ndarray
from scipy.spatial.distance import cdist
from skimage.metrics import structural_similarity

from vaeglow.data.arrays import Arrays, evenly_spaced
from vaeglow.data.loader import LAYER_DRAWS, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.likelihood import Batches, joined
from vaeglow.evaluation.probes import Measured, Reads
from vaeglow.evaluation.probes.interpolation import rms
from vaeglow.evaluation.trained import BATCH_SIZE, TrainedRun
from vaeglow.files import Config, Facts
from vaeglow.models.bounds import gaussian_sample, quantise

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow's "L"
BLANK = 1e-9  # squared grey levels: below it there is only float rounding
ROUNDING = 1 / 12  # power of the error of rounding to whole grey levels, at every frequency


def measure(run: TrainedRun, reads: Reads, settings: Config) -> Measured:
    """See `draw` and `probe_action`; of the first latents, those shown, the images `vae` and `layer`."""
    drawn, exploded = draw(run, settings["images"], settings["draws"], settings["temperature"])
    data = evenly_spaced(run.images(reads["test"]), settings["images"])  # as many real images as latents
    return {
        "temperature": float(settings["temperature"]),
        "split": "test",
        "exploded_samples": exploded,
        **probe_action(drawn, data, run.network.levels),
    }, {name: drawn[name][: settings["shown"]] for name in ("vae", "layer")}


def draw(run: TrainedRun, images: int, draws: int, temperature: float) -> tuple[Arrays, int]:
    """Draw n latents from the prior and show each with and without the layer, at temperature T, by k noises.

    The first latents do not depend on their number or on the draws of each, nor the first draws of each on their
    number.

    Returns:
        Images, uint8: `vae` [n, C, H, W], the decoder mean g_mu(z); `vae_noisy` [n, C, H, W], g_mu(z) + T s(z) noise,
        of the first noise; `layer_mean` [n, C, H, W], f^-1(g_mu(z)); `layer` [n, k, C, H, W], f^-1(g_mu(z) + T s(z)
        noise). And how many latents have an image that is not finite (it is clipped).
    """
    network = run.network

    def batches() -> Batches:
        for index in range(math.ceil(images / BATCH_SIZE)):  # all batches are of full size, the last is cut
            generator = step_generator(run.seed, LAYER_DRAWS, index, run.device)
            mean, log_scale = network.decode(network.vae.prior_sample(BATCH_SIZE, generator))
            noisy = [gaussian_sample(mean, log_scale, generator, temperature) for _ in range(draws)]
            shown = {
                "vae": mean,
                "vae_noisy": noisy[0],
                "layer_mean": network.layer.inverse(mean),
                "layer": torch.stack([network.layer.inverse(x_bar) for x_bar in noisy], 1),
            }
            values = torch.cat([drawn.flatten(1) for drawn in shown.values()], 1)
            quantised = {name: quantise(drawn, network.levels) for name, drawn in shown.items()}
            yield quantised | {"whole": values.isfinite().all(1)}

    arrays = {name: values[:images].numpy() for name, values in joined(batches()).items()}
    exploded = int((~arrays.pop("whole")).sum())
    if 2 * exploded > images:
        raise UserError(f"{exploded} of {images} latents give images that are not finite: the model is broken")
    return arrays, exploded


def probe_action(draws: Arrays, data: ndarray, levels: int) -> Facts:
    """The values of `layer_action.json`. "The layer's images" are the first draw of each latent.

    Distances are RMS differences in grey levels, means over the latents: `pixel_distance` of the layer's images from
    their own VAE images, `draw_pixel_distance` of two draws from one latent, `between_pixel_distance` of the layer's
    images of two latents. `content_kept` is the share of the layer's images whose nearest VAE image is their own
    (chance 1/n). `similarity` is that of the layer's images with their own VAE images, `similarity_noise` and
    `similarity_other` that of their `controls`. `spectrum_error` compares with the data's mean spectrum (see
    `log_error`): of the mean spectra, and under `per_image` of each image's own.

    `draws` are those of `draw`, n and k at least 2; `data` are real images, uint8 [m, C, H, W].
    """
    vae = draws["vae"]
    layer = draws["layer"][:, 0]
    count = len(vae)
    side = vae.shape[-1]
    shown = {**draws, "layer": layer}
    spectra = {}
    sharpness = {}
    for name, images in {**shown, "data": data}.items():
        spectra[name], sharpness[name] = spectrum(images)
    means = {name: power.mean(0) for name, power in spectra.items()}
    flat_layer = layer.reshape(count, -1)
    nearest = cdist(flat_layer, vae.reshape(count, -1)).argmin(1)  # of equals the first
    per_image = {
        "pixel_distance": rms(layer, vae),
        "draw_pixel_distance": np.mean(
            [rms(*pair) for pair in itertools.combinations(draws["layer"].swapaxes(0, 1), 2)], axis=0
        ),
        "between_pixel_distance": cdist(flat_layer, flat_layer).sum(1) / (count - 1) / np.sqrt(flat_layer.shape[1]),
        "content_kept": (nearest == np.arange(count)).astype(int),
        "similarity": similarity(layer, vae, levels),
    }
    for name, images in controls(vae, layer, levels).items():
        per_image[f"similarity_{name}"] = similarity(images, vae, levels)
    averages = {name: float(values.mean()) for name, values in per_image.items()}
    for name in ("vae", "vae_noisy", "layer"):
        per_image[f"spectrum_error_{name}"] = log_error(spectra[name], means["data"])
    frequency = np.arange(1, side // 2 + 1) / side  # cycles a pixel, up to 1/2 (Nyquist)
    return {
        "images": count,
        "data_images": len(data),
        **averages,
        "sharpness": sharpness,
        "spectrum": {name: values.tolist() for name, values in {"frequency": frequency, **means}.items()},
        "spectrum_error": {name: float(log_error(means[name], means["data"])) for name in shown},
        "per_image": {name: values.tolist() for name, values in per_image.items()},
    }


def controls(vae: ndarray, layer: ndarray, levels: int) -> Arrays:
    """VAE images [N, C, H, W], each changed by as much as the layer changes it (RMS), but by nothing of its own.

    By white `noise`, and by the layer's change of the `other` latent that comes before. If the layer's own change has
    nothing to do with the image, its image is no more similar to the VAE's than the more similar of these two.
    """
    change = layer.astype(float) - vae

    def changed_by(values: ndarray) -> ndarray:
        scale = rms(change, 0) / np.maximum(rms(values, 0), BLANK)
        return np.rint(vae + scale[:, None, None, None] * values).clip(0, levels - 1).astype(np.uint8)

    return {
        "noise": changed_by(np.random.default_rng(0).normal(size=vae.shape)),
        "other": changed_by(np.roll(change, 1, 0)),
    }


def similarity(images: ndarray, others: ndarray, levels: int) -> ndarray:
    """Structural similarity of pairs of images [N, C, H, W], 1 where equal: [N].

    Wang et al. 2004, windows of 7x7; of 3x3 for images of side 4.
    """
    window = min(7, images.shape[-1] - 1)
    return np.array(
        [
            structural_similarity(*pair, channel_axis=0, data_range=levels - 1, win_size=window)
            for pair in zip(images, others, strict=True)
        ]
    )


def spectrum(images: ndarray) -> tuple[ndarray, float]:
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
    images = np.asarray(images, np.float64)
    side = images.shape[-1]
    grey = images[:, 0] if images.shape[1] == 1 else np.einsum("c,nchw->nhw", LUMINANCE, images)
    hann = np.hanning(side + 1)[:-1]
    window = np.outer(hann, hann)
    mean = (grey * window).sum((1, 2), keepdims=True) / window.sum()
    power = np.abs(np.fft.fft2((grey - mean) * window)) ** 2 / (window**2).sum()
    axis = np.fft.fftfreq(side)
    radius = np.hypot(axis[:, None], axis)  # of every frequency, cycles a pixel
    rings = np.rint(radius * side).astype(int).ravel() == np.arange(1, side // 2 + 1)[:, None]  # [L // 2, L L]
    radial = power.reshape(len(power), -1) @ (rings / rings.sum(1, keepdims=True)).T
    pooled = power.mean(0)
    if pooled.sum() <= BLANK:
        return radial, 0.0
    return radial, float(pooled[radius > 0.25].sum() / pooled.sum())


def log_error(power: ndarray, reference: ndarray) -> ndarray:
    """How far spectra [..., F] are from a reference [F]: the RMS over frequencies of log10(power / reference).

    0 where equal, 1 where ten times too much (or too little) everywhere. Both get the power of rounding errors added,
    so that blank images, which have no power, differ by a finite amount.
    """
    return np.sqrt((np.log10((power + ROUNDING) / (reference + ROUNDING)) ** 2).mean(-1))
