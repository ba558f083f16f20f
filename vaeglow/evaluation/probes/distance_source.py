"""Where the distance to real images comes from: two by two, the latent's source and the decoder's mean or the layer.

z is drawn from the prior, or from q(z|y) of training images, which a perfect prior would draw like: what the prior
loses. An image is the mean of the decoder, or a draw of the Glow layer at a temperature: what the layer adds. FID and
KID of each are against the same real images, those of a protocol; training images are never among them.
"""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from vaeglow.data.arrays import evenly_spaced, require_images
from vaeglow.data.loader import DISTANCE_SOURCE, step_generator
from vaeglow.evaluation.fid import Reference
from vaeglow.evaluation.likelihood import dequantised_batches
from vaeglow.evaluation.probes import IMAGES, LATENTS, Measured, Reads
from vaeglow.evaluation.trained import BATCH_SIZE, TrainedRun
from vaeglow.files import Config
from vaeglow.models.bounds import gaussian_sample, quantise
from vaeglow.models.vae_glow import VAEGlow


@torch.no_grad
def measure(run: TrainedRun, reads: Reads, settings: Config) -> Measured:
    """FID and KID of each of the four sets, by the protocol of the reference."""
    reference = Reference.open(
        reads["reference"],
        reads["weights"],
        settings["batch_size"],
        run.device,
        run.identity,
    )
    train = run.images(reads["train"])
    count = reference.real.value("images")
    require_images(len(train), count, str(reads["train"]), "the probe distance_source", "choose a smaller protocol")
    temperature = float(settings["temperature"])
    numbers = {}
    for source, shown in itertools.product(LATENTS, IMAGES):
        samples = [
            quantise(image(run.network, z, shown, temperature, noise), run.network.levels).cpu()
            for z, noise in latents(run, source, train, count)
        ]
        measured = reference.fid_and_kid(torch.cat(samples).numpy())
        numbers[f"{source}_{shown}"] = measured
        print(f"z of the {source}, {shown}: FID {measured['fid']:.2f}, KID {measured['kid']:.4f}")
    return {
        **reference.record,
        "temperature": temperature,
        "fid_sets": 1,
        **numbers,
    }, None


def latents(run: TrainedRun, source: str, train: np.ndarray, count: int) -> Iterator[tuple]:
    """Latents [N, d], batch by batch, from the prior or from q(z|y) of training images, and the noise of the rest."""
    vae = run.network.vae
    if source == "posterior":
        for _, y, noise in dequantised_batches(
            vae, evenly_spaced(train, count), BATCH_SIZE, run.seed, DISTANCE_SOURCE, run.device
        ):
            yield gaussian_sample(*vae.encode(y), noise), noise
        return
    for index, start in enumerate(range(0, count, BATCH_SIZE)):
        noise = step_generator(run.seed, DISTANCE_SOURCE, index, run.device)
        yield vae.prior_sample(min(BATCH_SIZE, count - start), noise), noise


def image(network: VAEGlow, z: Tensor, shown: str, temperature: float, noise: torch.Generator) -> Tensor:
    """Images of latents: the decoder's mean g_mu(z), or f^-1(x_bar) with x_bar ~ p(x_bar|z) at a temperature."""
    mean, log_scale = network.decode(z)
    if shown == "mean":
        return mean
    return network.layer.inverse(gaussian_sample(mean, log_scale, noise, temperature))
