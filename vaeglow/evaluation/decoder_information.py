"""How far p(x_bar|z) is from p(x_bar): the information that z and x_bar share under the model (paper, section 3.4).

"Little information was encoded in the decoder distribution, i.e. there was little divergence between p(x_bar|z) and
p(x_bar)". The mean of KL(p(x_bar|z) || p(x_bar)) over z ~ p(z) is the mutual information I(x_bar; z). x_bar = f(x) with
f invertible, so it is I(x; z) as well: unlike a variance, it does not depend on the scale that f gives x_bar.
p(x_bar) has no closed form. Estimates from both sides bound the information in expectation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaeglow.evaluation.likelihood import finite
from vaeglow.models.bounds import gaussian_log_density, normal_like
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.vae import VAE

ROWS = 100  # images compared with all decoder distributions at a time
DRAWS = 8  # around the latent that an image was drawn from, for each width
WIDTHS = (0.25, 0.5, 1.0, 2.0)  # times the posterior's standard deviation


class DecoderInformation:
    """Gathers draws (z, x_bar) of the model batch by batch, and what bounds log p(x_bar)."""

    def __init__(self, vae: VAE, layer: GlowLayer | None) -> None:
        self.vae, self.layer = vae, layer
        self.x_bar: list[Tensor] = []
        self.means: list[Tensor] = []
        self.log_scales: list[Tensor] = []
        self.own: list[Tensor] = []
        self.elbos: list[Tensor] = []

    def update(self, z: Tensor, mean: Tensor, log_scale: Tensor, width: Tensor, generator: torch.Generator) -> None:
        """Draw x_bar ~ p(x_bar|z) for a batch of z ~ p(z), and bound log p(x_bar) by importance weights.

        log p(x_bar) >= E log mean_k p(x_bar|z_k) p(z_k) / r(z_k) for z_k ~ r, whatever r is. It is taken in turn as
        q(z|y) at y = f^-1(x_bar) (eq. 1), and, as z is known here, as N(z, (c width)^2) for each c of `WIDTHS`: tight
        to about half a nat a latent, even where the encoder does not know such images.

        Args:
            z: [B, d].
            mean: g_mu(z), [B, C, H, W].
            log_scale: log s(z), [B, C, H, W].
            width: log standard deviations to expect of p(z|x_bar), [d].
            generator: of the noise.
        """
        x_bar = mean + log_scale.exp() * normal_like(mean, generator)
        y = x_bar if self.layer is None else self.layer.inverse(x_bar)[0]
        elbos = [self.vae.conditional_log_weights(y, x_bar, 1, generator)[:, 0]]
        for factor in WIDTHS:
            scale = (width + math.log(factor)).expand_as(z)
            weights = []
            for _ in range(DRAWS):
                near = z + scale.exp() * normal_like(z, generator)
                log_ratio = self.vae.prior.log_prob(near) - gaussian_log_density(near, z, scale)
                weights.append(gaussian_log_density(x_bar, *self.vae.decode(near)) + log_ratio)
            elbos.append(torch.logsumexp(torch.stack(weights), 0) - math.log(DRAWS))
        self.own.append(gaussian_log_density(x_bar, mean, log_scale).double().cpu())
        self.elbos.append(torch.stack(elbos, 1).double().cpu())
        for kept, values in ((self.x_bar, x_bar), (self.means, mean), (self.log_scales, log_scale)):
            kept.append(values.flatten(1).double().cpu())

    def bounds(self) -> tuple[float, float]:
        """Estimates of I(x_bar; z) in nats, from below and from above.

        From below: p(x_bar) replaced by the mixture over the N decoder distributions, its own among them; never above
        log N. From above, the least of several: log p(x_bar) replaced by one of the bounds of `update`; or by the log
        of the mixture over the N - 1 others, tight where z decides little. A bound that overflows at an image, as f^-1
        can, has the mixture's value there.

        Raises:
            UserError: a density that is not finite.
        """
        own = finite(torch.cat(self.own), "the decoder's density")
        others, mixture = mixtures(torch.cat(self.x_bar), torch.cat(self.means), torch.cat(self.log_scales))
        elbos = torch.cat(self.elbos)
        elbos = torch.where(torch.isfinite(elbos), elbos, others[:, None])
        lower = finite(own - mixture, "the decoder's information").mean()
        upper = own.mean() - torch.cat([elbos, others[:, None]], 1).mean(0).max()
        return float(lower), float(finite(upper[None], "the decoder's information"))


def mixtures(values: Tensor, means: Tensor, log_scales: Tensor) -> tuple[Tensor, Tensor]:
    """log of the mean of N(values_i; means_j, scales_j^2) over j other than i, and over all j.

    Args:
        values: drawn from distribution i, float64 [N, D], N at least 2.
        means: [N, D].
        log_scales: log standard deviations, [N, D].

    Returns:
        float64 [N] each.
    """
    precision = torch.exp(-2 * log_scales)
    weighted = means * precision
    constant = (means * weighted + 2 * log_scales + math.log(2 * math.pi)).sum(1)  # [N], of distribution j
    count, found = len(values), []
    for start in range(0, count, ROWS):
        rows = values[start : start + ROWS]
        log_density = -0.5 * ((rows**2) @ precision.T - 2 * rows @ weighted.T + constant)
        other = log_density.clone()
        other[torch.arange(len(rows)), torch.arange(start, start + len(rows))] = -math.inf
        found.append(
            torch.stack(
                [
                    torch.logsumexp(other, 1) - math.log(count - 1),
                    torch.logsumexp(log_density, 1) - math.log(count),
                ]
            )
        )
    others, everyone = torch.cat(found, 1)
    return others, everyone
