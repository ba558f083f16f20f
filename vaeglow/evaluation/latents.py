"""What z holds: active units, information, and how much of the image it decides (paper, sections 3.1 and 3.4).

Section 3.4 says of joint training that "little information was encoded in the decoder distribution, i.e. there was
little divergence between p(x_bar|z) and p(x_bar)", and of joint fine-tuning that "the entropy of the conditional Glow
distribution increased", without a number for either. These are our numbers for both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaeglow.data.loader import dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.decoder_information import DecoderInformation
from vaeglow.evaluation.likelihood import finite, image_batches
from vaeglow.models.bounds import LOG_2PI, gaussian_log_density, normal_like
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.vae import VAE

LATENTS = -4  # the "epoch" of all noise here
ACTIVE_VARIANCE = 0.01  # Burda, Grosse & Salakhutdinov 2016, section 5.2
ROWS = 500  # draws compared with all posteriors at a time


def active_units(means: Tensor) -> int:
    """How many entries of z tell images apart: those whose posterior mean has a variance above 0.01 over the images.

    The threshold (Burda et al. 2016) is made for p(z) = N(0, I); under a flow prior z has no fixed scale, so read the
    count beside the information.

    Args:
        means: E[z|y], [N, d], N at least 2.
    """
    return int((means.double().var(0) > ACTIVE_VARIANCE).sum())


def information_lower(z: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
    """log q(z_i|y_i) - log (1/N) sum_j q(z_i|y_j): in expectation at most I(x; z), and never above log N.

    The mixture over the N images, z_i's own among them, stands for the aggregate posterior q(z). So a latent that tells
    all N images apart gives log N, however much more it holds: near the cap, the upper estimate says more.

    Args:
        z: draws z_i ~ q(z|y_i), [N, d].
        means: of q(z|y_j), [N, d].
        log_scales: log standard deviations, [N, d].

    Returns:
        float64 [N], nats; their mean is the estimate.
    """
    z, means, log_scales = z.double(), means.double(), log_scales.double()
    precision = torch.exp(-2 * log_scales)
    constant = (means**2 * precision + 2 * log_scales + LOG_2PI).sum(1)  # [N], of image j
    own = gaussian_log_density(z, means, log_scales)
    parts = []
    for rows in z.split(ROWS):  # (z - m)^2 / s^2 expanded: matrix products instead of [N, N, d]
        log_density = -0.5 * ((rows**2) @ precision.T - 2 * rows @ (means * precision).T + constant)
        parts.append(torch.logsumexp(log_density, 1))
    return own - torch.cat(parts) + math.log(len(z))


class DecoderMoments:
    """Moments of p(x_bar|z) over z ~ p(z), gathered batch by batch in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.log_scale: list[Tensor] = []
        self.sum = self.squares = self.noise = torch.zeros(())

    def update(self, mean: Tensor, log_scale: Tensor) -> None:
        """Take in the decoder's mean and log standard deviation at a batch of z, each [B, C, H, W]."""
        mean, log_scale = mean.double().cpu(), log_scale.double().cpu()
        self.count += len(mean)
        self.sum = self.sum + mean.sum(0)
        self.squares = self.squares + (mean**2).sum(0)
        self.noise = self.noise + (2 * log_scale).exp().sum()
        self.log_scale.append(log_scale.flatten(1).sum(1))

    def variance_explained(self) -> float:
        """Var_z[g_mu(z)] / (Var_z[g_mu(z)] + E_z[s(z)^2]), both summed over the D values of x_bar.

        The share of x_bar's variance that z decides; 0 where p(x_bar|z) is p(x_bar) for every z. It depends on the
        scale that f gives each value of x_bar: between models with a layer, compare `decoder_information` instead.
        """
        decided = float((self.squares - self.sum**2 / self.count).sum() / (self.count - 1))
        return max(0.0, decided) / (max(0.0, decided) + float(self.noise) / self.count)

    def entropy(self, dims: int) -> float:
        """H(x_bar|z) = E_z[sum log s(z)] + D/2 log(2 pi e), nats."""
        return float(finite(torch.cat(self.log_scale), "the decoder's noise").mean()) + dims / 2 * (LOG_2PI + 1)


@torch.no_grad()
def probe_latents(
    vae: VAE, layer: GlowLayer | None, images: np.ndarray, batch_size: int, seed: int, device: torch.device
) -> dict[str, Any]:
    """All that `latents.json` says of a model.

    For images y, one z ~ q(z|y) each: `active_units`; `kl_nats`, the mean of log q(z|y) - log p(z), which is also
    `information_upper_nats`, for its expectation is at least I(x; z); `information_lower_nats` (see
    `information_lower`) and its cap log N. For as many z ~ p(z): `decoder_information_lower_nats` and `_upper_nats`
    (see `vaeglow.evaluation.decoder_information`), `variance_explained` and the entropies, of which
    H(x_hat|z) = H(x_bar|z) - E[log|det df/dy|] with f the layer (eq. 4). Entropies are those of continuous values in
    [0, 1), plus log2 of the levels: so they compare with bits/dim.

    Args:
        vae: in evaluation mode, on `device`.
        layer: the Glow layer above it; None: a VAE alone, whose x_hat is x_bar.
        images: uint8 [N, C, H, W], N at least 2.
        batch_size: images at a time; the noise depends on it.
        seed: of the noise.
        device: of the model.

    Raises:
        UserError: fewer than two images, or a value that is not finite.
    """
    if len(images) < 2:
        raise UserError(f"latents of {len(images)} images: 2 or more are needed (probes.latents.images in the config)")
    draws, means, log_scales, kl, log_dets = [], [], [], [], []
    moments, shared = DecoderMoments(), DecoderInformation(vae, layer)
    for index, x in image_batches(images, batch_size, device):
        generator = step_generator(seed, LATENTS, index, device)
        y = dequantise(x, vae.levels, generator)
        mean, log_scale = vae.encode(y)
        z = mean + log_scale.exp() * normal_like(mean, generator)
        kl.append((gaussian_log_density(z, mean, log_scale) - vae.prior.log_prob(z)).double().cpu())
        draws.append(z.cpu())
        means.append(mean.cpu())
        log_scales.append(log_scale.cpu())
        drawn = vae.prior_sample(len(x), generator)
        decoded = vae.decode(drawn)
        moments.update(*decoded)
        shared.update(drawn, *decoded, log_scale.mean(0), generator)
        log_dets.append((layer(y)[1] if layer is not None else y.new_zeros(())).double().mean().cpu())
    lower = information_lower(torch.cat(draws), torch.cat(means), torch.cat(log_scales))
    kl_nats = float(finite(torch.cat(kl), "the KL divergence").mean())
    nats = vae.dims * math.log(2)  # in a bit/dim
    log_det = float(finite(torch.stack(log_dets), "the layer's log-determinant").mean()) / nats
    decoder_lower, decoder_upper = shared.bounds()
    entropy = moments.entropy(vae.dims) / nats + math.log2(vae.levels)
    return {
        "images": len(images),
        "latent_dim": vae.prior.dims,
        "active_units": active_units(torch.cat(means)),
        "kl_nats": kl_nats,
        "kl_bits_per_dim": kl_nats / nats,
        "information_lower_nats": float(finite(lower, "the information in z").mean()),
        "information_upper_nats": kl_nats,
        "information_cap_nats": math.log(len(images)),
        "decoder_information_lower_nats": decoder_lower,
        "decoder_information_upper_nats": decoder_upper,
        "variance_explained": moments.variance_explained(),
        "entropy_x_bar_bits_per_dim": entropy,
        "entropy_image_bits_per_dim": entropy - log_det,
        "layer_log_det_bits_per_dim": log_det,
    }
