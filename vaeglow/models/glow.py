"""The Glow baseline (Kingma & Dhariwal 2018; their code openai/glow): multi-scale, split priors, learned top prior."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeglow.models.base import GenerativeModel, image_shape
from vaeglow.models.bounds import gaussian_log_density, normal_like
from vaeglow.models.flows import LOG_SCALE_FACTOR, ScaledConv
from vaeglow.models.glow_steps import GlowStep, GlowSteps


class Glow(GenerativeModel):
    """L levels of squeeze, K steps and split; log p(y) is exact.

    At each split half of the channels are Gaussian given the other half (mean and log sd by a 3x3 convolution, zero
    at the start) and leave; those at the top have a learned Gaussian, one mean and sd a channel.

    Args:
        channels: C.
        size: image side, divisible by 2^levels.
        levels: number of values a pixel can take.
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
        self.steps = nn.ModuleList()
        self.split_priors = nn.ModuleList()
        self.noise_shapes: list[tuple[int, int, int]] = []  # for one image: each split's, then the top's
        for scale in range(1, scales + 1):
            channels *= 4
            side = size // 2**scale
            self.steps.append(GlowSteps(GlowStep(channels, width, coupling) for _ in range(depth)))
            if scale < scales:
                channels //= 2
                self.split_priors.append(ScaledConv(torch.zeros(2 * channels, channels, 3, 3)))
            self.noise_shapes.append((channels, side, side))
        self.top_mean = nn.Parameter(torch.zeros(channels))
        self.top_logs = nn.Parameter(torch.zeros(channels))

    def top_prior(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log sd of the learned top prior, in the shape of value [N, C', H', W']."""
        log_scale = LOG_SCALE_FACTOR * self.top_logs
        return self.top_mean[:, None, None].expand_as(value), log_scale[:, None, None].expand_as(value)

    def levels_of(self, y: Tensor) -> Iterator[tuple[Tensor, tuple[Tensor, ...], list[Tensor]]]:
        """Pass images y [N, C, H, W] through the levels.

        Yields:
            The values that leave at the level, [N, C', H', W']; their mean and log sd; the level's log-determinants.
        """
        x = y - 0.5
        for scale, steps in enumerate(self.steps):
            x = F.pixel_unshuffle(x, 2)
            channels = steps.channel_log_det(x)
            x, log_dets = steps(x)
            if scale < len(self.split_priors):
                x, leaving = x.chunk(2, 1)
                yield leaving, self.split_priors[scale](x).chunk(2, 1), [channels, *log_dets]
            else:
                yield x, self.top_prior(x), [channels, *log_dets]

    def log_likelihood(self, y: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """See `GenerativeModel`; exact, so the generator is not used."""
        log_det, prior = y.new_zeros(len(y)), y.new_zeros(len(y))
        for value, gaussian, log_dets in self.levels_of(y):
            log_det = sum(log_dets, log_det)
            prior = prior + gaussian_log_density(value, *gaussian)
        return {"log_det": log_det, "prior": prior}

    def encode(self, y: Tensor) -> list[Tensor]:
        """Images y [N, C, H, W] to standardised noise: one tensor for each split, the top's last."""
        return [(value - mean) * (-log_scale).exp() for value, (mean, log_scale), _ in self.levels_of(y)]

    def decode(self, noises: list[Tensor]) -> Tensor:
        """The inverse of `encode`: standardised noises to images [N, C, H, W]."""
        mean, log_scale = self.top_prior(noises[-1])
        x = mean + log_scale.exp() * noises[-1]
        for scale in reversed(range(len(self.steps))):
            if scale < len(self.split_priors):
                mean, log_scale = self.split_priors[scale](x).chunk(2, 1)
                x = torch.cat([x, mean + log_scale.exp() * noises[scale]], 1)
            x = F.pixel_shuffle(self.steps[scale].inverse(x), 2)
        return x + 0.5

    def sample(self, count: int, temperature: float, generator: torch.Generator | None = None) -> Tensor:
        """See `GenerativeModel`; the temperature multiplies all noise, that of the splits too."""
        empty = [self.top_mean.new_empty(count, *shape) for shape in self.noise_shapes]
        return self.decode([temperature * normal_like(noise, generator) for noise in empty])

    def reconstruct(self, y: Tensor) -> Tensor:
        """f^-1(f(y)): the images themselves, up to rounding."""
        return self.decode(self.encode(y))

    @torch.no_grad()
    def initialise(self, y: Tensor) -> None:
        """Set all actnorms from data y [N, C, H, W], level by level."""
        x = y - 0.5
        for scale, steps in enumerate(self.steps):
            x = steps.initialise(F.pixel_unshuffle(x, 2))
            if scale < len(self.split_priors):
                x = x.chunk(2, 1)[0]


def build(config: Mapping[str, Any]) -> Glow:
    """The untrained Glow of a resolved config."""
    network = dict(config["network"])
    return Glow(**image_shape(config), scales=network.pop("levels"), **network)
