"""The Glow baseline (Kingma & Dhariwal 2018; their code openai/glow): multi-scale, split priors, learned top prior."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeglow.models.base import GenerativeModel, Terms, image_shape
from vaeglow.models.bounds import Gaussian, gaussian_log_density
from vaeglow.models.flows import LOG_SCALE_FACTOR, ScaledConv
from vaeglow.models.glow_steps import GlowStep, GlowSteps
from vaeglow.models.kinds import Config
from vaeglow.noise import Generator, normal_like


class Glow(GenerativeModel):
    """L scales of squeeze, K steps and split; log p(y) is exact.

    At each split half of the channels are Gaussian given the other half (mean and log sd by a 3x3 convolution, zero
    at the start) and leave; those at the top have a learned Gaussian, one mean and sd a channel.

    Args:
        channels: C.
        size: image side, divisible by 2^scales.
        levels: number of values a pixel can take.
        scales: L, the source's (and the config's) "levels" of the multi-scale architecture.
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
        for scale in range(scales):
            channels *= 4
            size //= 2
            self.steps.append(GlowSteps(GlowStep(channels, width, coupling) for _ in range(depth)))
            if scale < scales - 1:
                channels //= 2
                self.split_priors.append(ScaledConv(torch.zeros(2 * channels, channels, 3, 3)))
            self.noise_shapes.append((channels, size, size))
        self.top_mean = nn.Parameter(torch.zeros(channels))
        self.top_logs = nn.Parameter(torch.zeros(channels))

    def prior(self, scale: int, x: Tensor) -> Gaussian:
        """Of what leaves at a scale, given the half x that goes on; at the top the learned prior, as large as x."""
        if scale < len(self.split_priors):
            mean, log_scale = self.split_priors[scale](x).chunk(2, 1)
            return mean, log_scale
        log_scale = LOG_SCALE_FACTOR * self.top_logs
        return self.top_mean[:, None, None].expand_as(x), log_scale[:, None, None].expand_as(x)

    def through_scales(self, y: Tensor) -> Iterator[tuple[Tensor, Gaussian, list[Tensor]]]:
        """Pass images y [N, C, H, W] through the scales.

        Yields:
            The values that leave at the scale, [N, C', H', W']; their mean and log sd; the scale's log-determinants.
        """
        x = y - 0.5
        for scale, steps in enumerate(self.steps):
            x = F.pixel_unshuffle(x, 2)
            channels = steps.channel_log_det(x)
            x, log_dets = steps(x)
            leaving = x
            if scale < len(self.split_priors):
                x, leaving = x.chunk(2, 1)
            yield leaving, self.prior(scale, x), [channels, *log_dets]

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """See `GenerativeModel`; exact, so the generator is not used."""
        log_det = y.new_zeros(len(y))
        prior = y.new_zeros(len(y))
        for value, gaussian, log_dets in self.through_scales(y):
            log_det = sum(log_dets, log_det)
            prior = prior + gaussian_log_density(value, *gaussian)
        return {"log_det": log_det, "prior": prior}

    def encode(self, y: Tensor) -> list[Tensor]:
        """Images y [N, C, H, W] to standardised noise: one tensor for each split, the top's last."""
        return [(value - mean) * (-log_scale).exp() for value, (mean, log_scale), _ in self.through_scales(y)]

    def decode(self, noises: list[Tensor]) -> Tensor:
        """The inverse of `encode`: standardised noises to images [N, C, H, W]."""
        x = noises[-1]
        for scale in reversed(range(len(self.steps))):
            mean, log_scale = self.prior(scale, x)
            leaving = mean + log_scale.exp() * noises[scale]
            if scale < len(self.split_priors):
                leaving = torch.cat([x, leaving], 1)
            x = F.pixel_shuffle(self.steps[scale].inverse(leaving), 2)
        return x + 0.5

    def sample(self, count: int, temperature: float, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; the temperature multiplies all noise, that of the splits too."""
        noises = []
        for shape in self.noise_shapes:
            empty = self.top_mean.new_empty(count, *shape)
            noises.append(temperature * normal_like(empty, generator))
        return self.decode(noises)

    def reconstruct(self, y: Tensor) -> Tensor:
        """f^-1(f(y)): the images themselves, up to rounding."""
        return self.decode(self.encode(y))

    @torch.no_grad()
    def initialise(self, y: Tensor) -> None:
        """Set all actnorms from data y [N, C, H, W], scale by scale."""
        x = y - 0.5
        for steps in self.steps:
            x = steps.initialise(F.pixel_unshuffle(x, 2))
            x, _ = x.chunk(2, 1)


def build(config: Config) -> Glow:
    """The untrained Glow of a resolved config."""
    network = dict(config["network"])
    return Glow(**image_shape(config), scales=network.pop("levels"), **network)
