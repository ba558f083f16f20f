"""Units and bounds: dequantised images, the variance floor, bits per dimension (paper, section 4.2).

Notation of the whole package: x an image in {0..levels-1}, D = C*H*W, u ~ U[0, 1)^D, y = (x + u) / levels.
For any density p(y), log P(x) >= E_u[log p(y)] - D log(levels) (Theis, van den Oord & Bethge 2016, section 3.1).
"""

import math

import torch
from torch import Tensor

from vaeglow.noise import Generator, normal_like

LOG_2PI = math.log(2 * math.pi)
Terms = dict[str, Tensor]  # name -> a term of log p(y) or of a bound on it, in nats per image: [N]
Numbers = dict[str, float]
Pair = tuple[Tensor, Tensor]
Gaussian = Pair  # its mean and its log standard deviation, of one shape


def bits_per_dim(log_density: Tensor, dims: int, levels: int) -> Tensor:
    """Bits per dimension of discrete images from a log-density of their dequantised values.

    Args:
        log_density: log p(y) or a lower bound on it, in nats, any shape.
        dims: D, the number of values in an image.
        levels: the number of values a pixel can take (256).

    Returns:
        -(log_density - D log levels) / (D log 2), same shape; an upper bound on -log2 P(x) / D.
    """
    return -(log_density - dims * math.log(levels)) / (dims * math.log(2))


def total(terms: Terms) -> Tensor:
    """The sum of a bound's terms: nats per image, [N]."""
    return torch.stack(list(terms.values())).sum(0)


def costs(means: Numbers, dims: int) -> Numbers:
    """A bound's terms in bits/dim, with the opposite sign: `negative_kl` becomes `kl`.

    Args:
        means: name -> mean of the term, nats per image.
        dims: D, the number of values in an image.
    """
    bit = dims * math.log(2)
    return {name.removeprefix("negative_"): -mean / bit for name, mean in means.items()}


def log_scale_floor(levels: int) -> float:
    """Log of the standard deviation of dequantisation noise in [0, 1): log(1 / (levels * sqrt(12))).

    A sharper Gaussian is no better on dequantised data, so the decoder's log s stays above it; without dequantisation
    or floor a perfectly predicted pixel drives s to 0 and the likelihood to infinity.
    """
    return -math.log(levels * math.sqrt(12))


def soft_bound(raw: Tensor, low: float, high: float) -> Tensor:
    """`raw` softly bounded to (low, high), near the identity in between: a log-scale that cannot overflow."""
    middle = (low + high) / 2
    half = (high - low) / 2
    return middle + half * torch.tanh((raw - middle) / half)


def gaussian_log_density(value: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log N(value; mean, exp(log_scale)^2), summed over all but the first (batch) dimension: [N]."""
    standardised = (value - mean) * torch.exp(-log_scale)
    return (-0.5 * (LOG_2PI + standardised**2) - log_scale).flatten(1).sum(1)


def standard_normal_log_density(value: Tensor) -> Tensor:
    """log N(value; 0, 1), summed over all but the first dimension: [N]."""
    return (-0.5 * (LOG_2PI + value**2)).flatten(1).sum(1)


def standard_normal_divergence(mean: Tensor, log_scale: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_scale)^2) from N(0, I), both [N, d]: [N] nats."""
    return (0.5 * (mean**2 + (2 * log_scale).exp() - 1) - log_scale).sum(1)


def gaussian_sample(mean: Tensor, log_scale: Tensor, generator: Generator, temperature: float = 1.0) -> Tensor:
    """mean + temperature * exp(log_scale) * noise (section 3.5), in mean's shape; temperature 0 is the mean."""
    if temperature == 0:
        return mean
    return mean + temperature * log_scale.exp() * normal_like(mean, generator)


def quantise(y: Tensor, levels: int) -> Tensor:
    """Continuous images to discrete ones: clip to [0, 1), floor(levels * y); NaN becomes 0.

    Returns:
        uint8, same shape.
    """
    return (y.nan_to_num() * levels).floor().clamp(0, levels - 1).to(torch.uint8)
