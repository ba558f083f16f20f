"""The paper's model: a VAE under a Glow layer f (section 3), trained in two phases or jointly (section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import gaussian_log_density
from vaeglow.models.glow_steps import GlowStep, GlowSteps
from vaeglow.models.vae import VAE
from vaeglow.models.vae import build as build_vae


class GlowLayer(nn.Module):
    """The layer f: x_hat -> x_bar (section 3.3): `depth` Glow steps at one level without split; at first the identity.

    A closing 1x1 convolution with bias is set to the inverse of all actnorms and 1x1s before it, so that f is
    the identity before its first update: phase 2 starts at phase 1's likelihood. Couplings are additive, so
    log|det df/dx| is a constant: that of the 1x1s and actnorms.

    Args:
        channels: C of the images.
        depth: number of steps (32 in the paper).
        width: hidden channels of each coupling net.
        squeeze: q of the space-to-depth, which must divide H and W: 1 for the paper's text as written ("no
            squeeze"), 2 or 4 otherwise (docs/open-choices.md says why).
    """

    def __init__(self, channels: int, depth: int, width: int, squeeze: int) -> None:
        super().__init__()
        mixed = channels * squeeze**2
        self.squeeze = squeeze
        self.steps = GlowSteps(GlowStep(mixed, width, "additive") for _ in range(depth))
        self.closing_weight = nn.Parameter(torch.eye(mixed))
        self.closing_bias = nn.Parameter(torch.zeros(mixed))

    def log_det(self, x: Tensor) -> Tensor:
        """log|det df/dx| for squeezed images x: a scalar, the same for every image."""
        closing = torch.linalg.slogdet(self.closing_weight.double())[1].to(x.dtype)
        return self.steps.channel_log_det(x) + x[0, 0].numel() * closing

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f: images x_hat [N, C, H, W] -> (x_bar, log|det df/dx_hat|, a scalar) (paper, eq. 4)."""
        x = F.pixel_unshuffle(x, self.squeeze)  # [N, C q^2, H/q, W/q]
        log_det = self.log_det(x)
        x, _ = self.steps(x)
        x = F.conv2d(x, self.closing_weight[..., None, None], self.closing_bias)
        return F.pixel_shuffle(x, self.squeeze), log_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """f^-1: x_bar -> (x_hat, its log-determinant); the matrices' inverses are taken in float64."""
        y = F.pixel_unshuffle(y, self.squeeze)
        log_det = -self.log_det(y)
        inverse = torch.linalg.inv(self.closing_weight.double()).to(y.dtype)
        y = F.conv2d(y - self.closing_bias[:, None, None], inverse[..., None, None])
        return F.pixel_shuffle(self.steps.inverse(y), self.squeeze), log_det

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the actnorms from x [N, C, H, W], then close the layer to the identity, composed in float64.

        A layer whose actnorms are already set is left as it is.
        """
        if all(step.actnorm.initialised for step in self.steps):
            return
        self.steps.initialise(F.pixel_unshuffle(x, self.squeeze))
        matrix = torch.eye(len(self.closing_bias), dtype=torch.float64, device=x.device)
        offset = torch.zeros(len(self.closing_bias), dtype=torch.float64, device=x.device)
        for step in self.steps:
            step_matrix = step.conv.weight.double() * step.actnorm.log_scale().double().exp()
            offset = step_matrix @ (offset + step.actnorm.bias.double())
            matrix = step_matrix @ matrix
        self.closing_weight.copy_(torch.linalg.inv(matrix))
        self.closing_bias.copy_(-torch.linalg.solve(matrix, offset))


class VAEGlow(GenerativeModel):
    """log p(y|z) = log N(f(y); g_mu(z), g_Sigma(z)) + log|det df/dy| (paper, eq. 4), z as in the VAE.

    Phase 2 (`frozen`) trains only the layer: the VAE stays in evaluation mode without gradients, its weights and
    batch norm statistics bit for bit those of phase 1. Joint training trains VAE, prior and layer.

    Args:
        vae: the VAE; if frozen, that of phase 1.
        layer: the Glow layer f.
        frozen: keep the VAE as it is.
    """

    def __init__(self, vae: VAE, layer: GlowLayer, frozen: bool) -> None:
        super().__init__(vae.channels, vae.size, vae.levels)
        self.frozen = frozen
        self.vae = vae.requires_grad_(not frozen)
        self.layer = layer
        self.train(self.training)

    def train(self, mode: bool = True) -> VAEGlow:
        """Training mode; a frozen VAE stays in evaluation mode."""
        super().train(mode)
        self.vae.train(mode and not self.frozen)
        return self

    def log_likelihood(self, y: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """See `GenerativeModel`; eq. 1 with eq. 4 as its likelihood, one z ~ q(z|y)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            z, negative_kl = self.vae.posterior_sample(y, generator)
            mean, log_scale = self.vae.decode(z)
        x_bar, log_det = self.layer(y)
        return {
            "reconstruction": gaussian_log_density(x_bar, mean, log_scale),
            "log_det": log_det.expand(len(y)),
            "negative_kl": negative_kl,
        }

    def log_weights(self, y: Tensor, latents: int, generator: torch.Generator | None = None) -> Tensor:
        """See `GenerativeModel`; f does not depend on z, so it is computed once for all draws."""
        x_bar, log_det = self.layer(y)
        return self.vae.conditional_log_weights(y, x_bar, latents, generator) + log_det

    def sample(self, count: int, temperature: float, generator: torch.Generator | None = None) -> Tensor:
        """See `GenerativeModel`; x = f^-1(x_bar), x_bar sampled from the VAE at `temperature` (section 3.5)."""
        return self.layer.inverse(self.vae.sample(count, temperature, generator))[0]

    def reconstruct(self, y: Tensor) -> Tensor:
        """f^-1(g_mu(E[z|y])): [N, C, H, W]."""
        return self.layer.inverse(self.vae.reconstruct(y))[0]

    def render(self, z: Tensor) -> Tensor:
        """The image of a latent, without noise: f^-1(g_mu(z)), [N, C, H, W]."""
        return self.layer.inverse(self.vae.render(z))[0]

    def initialise(self, y: Tensor) -> None:
        """Initialise the layer as the identity on data y [N, C, H, W], unless its actnorms are already set."""
        self.layer.initialise(y)


def build(config: Mapping[str, Any]) -> VAEGlow:
    """The untrained model of a resolved config (section 3.3); training loads the base's weights over it."""
    base = config["base"]["base"] if config["mode"] == "finetune" else config["base"]
    vae, layer = build_vae(base), GlowLayer(config["data"]["channels"], **config["layer"])
    return VAEGlow(vae, layer, frozen=config["mode"] == "frozen")
