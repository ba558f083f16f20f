"""The Glow baseline (Kingma & Dhariwal 2018; their code openai/glow): multi-scale, split priors, learned top prior."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import ModuleList, Parameter
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

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
        coupling: the kind of `Coupling`.
    """

    bound = "="

    def __init__(
        self, channels: int, size: int, levels: int, scales: int, depth: int, width: int, coupling: str
    ) -> None:
        super().__init__(channels, size, levels)
        self.steps = ModuleList()
        self.split_priors = ModuleList()
        self.noise_shapes = []  # for one image: each split's, then the top's
        for scale in range(scales):
            channels *= 4
            size //= 2
            self.steps.append(GlowSteps(GlowStep(channels, width, coupling) for _ in range(depth)))
            if scale < scales - 1:
                channels //= 2
                self.split_priors.append(ScaledConv(torch.zeros(2 * channels, channels, 3, 3)))
            self.noise_shapes.append((channels, size, size))
        self.top_mean = Parameter(torch.zeros(channels))
        self.top_logs = Parameter(torch.zeros(channels))

    def prior(self, scale: int, x: Tensor) -> Gaussian:
        """Of what leaves at a scale, given the half x that goes on; at the top the learned prior, as large as x."""
        if scale < len(self.split_priors):
            return self.split_priors[scale](x).chunk(2, 1)
        return (
            self.top_mean[:, None, None].expand_as(x),
            (LOG_SCALE_FACTOR * self.top_logs)[:, None, None].expand_as(x),
        )

    def through_scales(self, y: Tensor) -> Iterator[tuple]:
        """Pass images y [N, C, H, W] through the scales.

        Yields:
            The values that leave at the scale, [N, C', H', W']; their mean and log sd; the scale's log-determinants.
        """
        x = y - 0.5
        for scale, steps in enumerate(self.steps):
            x = pixel_unshuffle(x, 2)
            channels = steps.channel_log_det(x)
            x, log_dets = steps(x)
            leaving = x
            if scale < len(self.split_priors):
                x, leaving = x.chunk(2, 1)
            yield leaving, self.prior(scale, x), [channels, *log_dets]

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """See `GenerativeModel`; exact, so the generator is not used."""
        log_det = prior = y.new_zeros(len(y))
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
            x = pixel_shuffle(self.steps[scale].inverse(leaving), 2)
        return x + 0.5

    def sample(self, count: int, temperature: float, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; the temperature multiplies all noise, that of the splits too."""
        empty = [self.top_mean.new_empty(count, *shape) for shape in self.noise_shapes]
        return self.decode([temperature * normal_like(noise, generator) for noise in empty])

    def reconstruct(self, y: Tensor) -> Tensor:
        """f^-1(f(y)): the images themselves, up to rounding."""
        return self.decode(self.encode(y))

    @torch.no_grad
    def initialise(self, y: Tensor) -> None:
        """Set all actnorms from data y [N, C, H, W], scale by scale."""
        x = y - 0.5
        for steps in self.steps:
            x = steps.initialise(pixel_unshuffle(x, 2))
            x, _ = x.chunk(2, 1)


def build(config: Config) -> Glow:
    """The untrained Glow of a resolved config."""
    network = dict(config["network"])
    return Glow(**image_shape(config), scales=network.pop("levels"), **network)
