"""Images between random latents (paper, figure 5), and how even the steps between them are."""

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from vaeglow.data.loader import INTERPOLATION, Device, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.probes import Measured, Reads
from vaeglow.evaluation.trained import BATCH_SIZE, Layer, TrainedRun, vae_and_layer
from vaeglow.files import Config, Facts
from vaeglow.models.bounds import quantise
from vaeglow.models.vae import VAE
from vaeglow.noise import normal_like

PIXELS = (-3, -2, -1)  # the axes of an image


def measure(run: TrainedRun, reads: Reads, settings: Config) -> Measured:
    """See `interpolate`, `distances` and `detail`; images of the pairs `shown`. The rule adds the `space`."""
    vae, layer = vae_and_layer(run.network, run.config, "the probe interpolation")
    images = interpolate(
        vae,
        layer,
        settings["pairs"],
        settings["steps"],
        settings["space"],
        run.seed,
        run.device,
    ).numpy()
    return {"space": settings["space"], **distances(images), **detail(images)}, {"images": images[: settings["shown"]]}


def distances(images: ndarray) -> Facts:
    """Distances of neighbours and of ends of images [pairs, steps, C, H, W]: RMS over an image, grey levels."""
    return {
        "step_distances": rms(images[:, 1:], images[:, :-1]).tolist(),
        "end_distances": rms(images[:, -1], images[:, 0]).tolist(),
    }


def rms(images: ndarray, others: ndarray | float) -> ndarray:
    """Root mean square difference of images [..., C, H, W] in grey levels, float64."""
    return np.sqrt(((images.astype(float) - others) ** 2).mean(PIXELS))


def detail(images: ndarray) -> Facts:
    """Whether images between two ends have the ends' detail, or a cross-fade's: of [pairs, steps, C, H, W].

    Detail is the mean square difference of neighbouring pixels. A cross-fade of unrelated images loses half of it at
    its middle. Sums over the steps of a pair: `detail_lost`, how much less a cross-fade of the ends, in whole grey
    levels, has than the ends; `detail_kept`, how much more the images have than the cross-fade.
    """

    def cross_fade(values: ndarray) -> ndarray:
        """From the first step to the last, [pairs, steps, ...]."""
        return np.linspace(values[:, 0], values[:, -1], values.shape[1], axis=1)

    def detail_of(values: ndarray) -> ndarray:
        """Of images [pairs, steps, C, H, W]: [pairs, steps]."""
        return sum((np.diff(values, axis=axis) ** 2).mean(PIXELS) for axis in PIXELS[1:])

    values = images.astype(float)
    shown = detail_of(values)
    faded = detail_of(np.rint(cross_fade(values)))
    return {
        "detail_kept": (shown - faded).sum(1).tolist(),
        "detail_lost": (cross_fade(shown) - faded).sum(1).tolist(),
    }


@torch.no_grad
def interpolate(vae: VAE, layer: Layer, pairs: int, steps: int, space: str, seed: int, device: Device) -> Tensor:
    """Images of the latents of `latent_paths`, without decoder noise: uint8 [pairs, steps, C, H, W]."""
    paths = latent_paths(vae, pairs, steps, space, seed, device).flatten(0, 1)
    images = [quantise(layer.inverse(vae.decode(z)[0]), vae.levels).cpu() for z in paths.split(BATCH_SIZE)]
    return torch.cat(images).unflatten(0, (pairs, steps))


@torch.no_grad
def latent_paths(vae: VAE, pairs: int, steps: int, space: str, seed: int, device: Device) -> Tensor:
    """Latents from one random draw of p(z) to another, both included: z [pairs, steps, d].

    In the space `prior` straight lines in that of eps = h(z) (section 3.2), where p is a standard normal; in `latent`
    great circles between the z themselves (`slerp`). The ends are the same in both. UserError where pairs < 1, steps <
    2, or there is no such space.
    """
    if pairs < 1 or steps < 2:
        raise UserError(f"interpolate needs pairs >= 1 and steps >= 2, not {pairs} and {steps}")
    if space not in ("prior", "latent"):
        raise UserError(f"no space '{space}' to interpolate in: take prior or latent")
    ends = normal_like(
        torch.empty(2, pairs, 1, vae.prior.dims, device=device),
        step_generator(seed, INTERPOLATION, 0, device),
    )
    weight = torch.linspace(0, 1, steps, device=device)[:, None]
    if space == "prior":
        eps = ends[0] * (1 - weight) + ends[1] * weight  # [pairs, steps, d]
        return vae.prior.inverse(eps.flatten(0, 1)).unflatten(0, (pairs, steps))
    z = vae.prior.inverse(ends.flatten(0, 2)).double().unflatten(0, (2, pairs, 1))
    return slerp(z[0], z[1], weight.double()).float()


def slerp(start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    """Along the great circle from one vector [..., d] to another, its length changing linearly.

    Nearly parallel vectors, and opposite ones, between which the circle is not unique: the straight line.
    """
    start_length = start.norm(dim=-1, keepdim=True)
    end_length = end.norm(dim=-1, keepdim=True)
    start_unit = start / start_length
    end_unit = end / end_length
    angle = (start_unit * end_unit).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    arc = ((1 - weight) * angle).sin() * start_unit + (weight * angle).sin() * end_unit
    return (start_length.lerp(end_length, weight) * arc / sine).where(sine > 1e-6, start * (1 - weight) + end * weight)
