"""The Glow baseline (Kingma & Dhariwal 2018; their code openai/glow): multi-scale, split priors, learned top prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import gaussian_log_density, normal_like
from vaeglow.models.coupling_net import LOG_SCALE_FACTOR, ZeroConv
from vaeglow.models.flows import Squeeze
from vaeglow.models.glow_steps import GlowStep, GlowSteps, colour_log_det


class Glow(GenerativeModel):
    """L levels of squeeze, K steps and split; log p(y) is exact.

    At each split the half that leaves is Gaussian given the half that stays (a 3x3 convolution that starts at
    zero gives its mean and log sd); what is left at the top has a learned Gaussian, one mean and sd a channel.

    Args:
        channels: C.
        size: image side, divisible by 2^levels.
        levels: number of values a pixel can take (named so for images; see `scales` for L).
        scales: L, the number of levels of the multi-scale architecture.
        depth: K, steps at each.
        width: hidden channels of each coupling net.
        coupling: `affine` or `additive`.
    """

    bound = "="

    def __init__(
        self, channels: int, size: int, levels: int, scales: int, depth: int, width: int, coupling: str
    ) -> None:
        super().__init__(channels, size, levels)
        self.squeeze = Squeeze(2)
        self.steps = nn.ModuleList()
        self.split_priors = nn.ModuleList()
        here = channels
        for scale in range(scales):
            here *= 4
            self.steps.append(GlowSteps(GlowStep(here, width, coupling) for _ in range(depth)))
            if scale < scales - 1:
                here //= 2
                self.split_priors.append(ZeroConv(here, 2 * here))
        self.top_shape = (here, size // 2**scales, size // 2**scales)
        self.top_mean = nn.Parameter(torch.zeros(here))
        self.top_logs = nn.Parameter(torch.zeros(here))

    def top_prior(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log sd of the learned top prior, in the shape of value [N, C', H', W']."""
        log_scale = LOG_SCALE_FACTOR * self.top_logs
        return self.top_mean[:, None, None].expand_as(value), log_scale[:, None, None].expand_as(value)

    def log_likelihood(self, y: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """See `GenerativeModel`; exact, so the generator is not used."""
        x = y - 0.5
        log_det, prior = x.new_zeros(len(x)), x.new_zeros(len(x))
        for scale, steps in enumerate(self.steps):
            x, _ = self.squeeze(x)
            log_det = log_det + colour_log_det(steps, x)
            x, changes = steps(x)
            for change in changes:
                log_det = log_det + change
            if scale < len(self.split_priors):
                x, leaving = x.chunk(2, 1)
                prior = prior + gaussian_log_density(leaving, *self.split_priors[scale](x).chunk(2, 1))
        return {"log_det": log_det, "prior": prior + gaussian_log_density(x, *self.top_prior(x))}

    def log_weights(self, y: Tensor, latents: int, generator: torch.Generator | None = None) -> Tensor:
        """See `GenerativeModel`; the exact log p(y) in each column."""
        terms = self.log_likelihood(y)
        return (terms["log_det"] + terms["prior"])[:, None].expand(-1, latents)

    def encode(self, y: Tensor) -> list[Tensor]:
        """Images y [N, C, H, W] to standardised noise: one tensor for each split, the top's last."""
        x = y - 0.5
        noises = []
        for scale, steps in enumerate(self.steps):
            x, _ = self.squeeze(x)
            x, _ = steps(x)
            if scale < len(self.split_priors):
                x, leaving = x.chunk(2, 1)
                mean, log_scale = self.split_priors[scale](x).chunk(2, 1)
                noises.append((leaving - mean) * (-log_scale).exp())
        mean, log_scale = self.top_prior(x)
        return [*noises, (x - mean) * (-log_scale).exp()]

    def decode(self, noises: list[Tensor]) -> Tensor:
        """The inverse of `encode`: standardised noises to images [N, C, H, W]."""
        mean, log_scale = self.top_prior(noises[-1])
        x = mean + log_scale.exp() * noises[-1]
        for scale in reversed(range(len(self.steps))):
            if scale < len(self.split_priors):
                mean, log_scale = self.split_priors[scale](x).chunk(2, 1)
                x = torch.cat([x, mean + log_scale.exp() * noises[scale]], 1)
            x, _ = self.squeeze.inverse(self.steps[scale].inverse(x))
        return x + 0.5

    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """Shapes of the noises of one image, the top's last."""
        split = [(self.channels * 2 ** (k + 1), self.size // 2 ** (k + 1)) for k in range(len(self.split_priors))]
        return [(c, side, side) for c, side in split] + [self.top_shape]

    def sample(self, count: int, temperature: float, generator: torch.Generator | None = None) -> Tensor:
        """See `GenerativeModel`; the temperature multiplies every noise, the split levels' too."""
        shapes = self.noise_shapes()
        noises = [temperature * normal_like(self.top_mean.new_empty(count, *shape), generator) for shape in shapes]
        return self.decode(noises)

    def reconstruct(self, y: Tensor) -> Tensor:
        """f^-1(f(y)): the images themselves, up to rounding; Glow loses nothing."""
        return self.decode(self.encode(y))

    @torch.no_grad()
    def initialise(self, y: Tensor) -> None:
        """Set all actnorms from data y [N, C, H, W], level by level."""
        x = y - 0.5
        for scale, steps in enumerate(self.steps):
            x, _ = self.squeeze(x)
            for step in steps:
                x = step.initialise(x)
            if scale < len(self.split_priors):
                x = x.chunk(2, 1)[0]
