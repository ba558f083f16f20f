"""PixelIQN (Ostrovski, Dabney & Munos 2018, "Autoregressive Quantile Networks"), a baseline that Table 2 cites.

The PixelCNN's network learns, instead of a softmax, each conditional's quantile function Q(tau), which minimises the
expected quantile loss over tau ~ U[0, 1) (their eq. 4). It has no likelihood. As in implicit quantile networks
(Dabney et al. 2018, section 3.1), tau enters at the end, as a product with the features; the source adds it in every
layer.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import Conv2d, Linear, Module
from torch.nn.functional import relu

from vaeglow.errors import UserError
from vaeglow.models.base import Terms, image_shape
from vaeglow.models.kinds import Config
from vaeglow.models.pixelcnn import CausalConv, PixelModel, net_of
from vaeglow.noise import Generator, uniform_like


def quantile_loss(target: Tensor, quantile: Tensor, tau: Tensor, huber: float) -> Tensor:
    """The quantile loss |tau - 1(u < 0)| |u|, u = target - quantile, a parabola where |u| <= huber; one shape."""
    u = target - quantile
    size = torch.where(u.abs() <= huber, u.square() / (2 * huber), u.abs() - huber / 2)
    return (tau - (u < 0).to(u.dtype)).abs() * size


class QuantileHead(Module):
    """Q(tau) - 1/2 = w . relu(H(A(relu(features)) * relu(B cos(pi k tau), k = 0..K-1))), for each channel of a pixel.

    As in Dabney et al. (2018), section 3.1; PixelIQN's source adds tau in every layer.

    Args:
        channels: C.
        inputs: features.
        width: of A, B and H, for each channel.
        cosines: K.
    """

    def __init__(self, channels: int, inputs: int, width: int, cosines: int) -> None:
        super().__init__()
        hidden = channels * width
        self.features = CausalConv(inputs, hidden, 1, channels)
        self.embedding = Linear(cosines, width)
        self.hidden = Conv2d(hidden, hidden, 1, groups=channels)
        self.last = Conv2d(hidden, channels, 1, groups=channels)
        self.register_buffer("frequencies", math.pi * torch.arange(cosines))

    def forward(self, features: Tensor, tau: Tensor) -> Tensor:
        """Features [N, inputs, H, W], tau [N, C, H, W] -> quantiles, in tau's shape."""
        embedded = relu(self.embedding(torch.cos(tau[..., None] * self.frequencies)))  # [N, C, H, W, width]
        return self.last(relu(self.hidden(self.features(relu(features)) * embedded.movedim(-1, 2).flatten(1, 2))))


class PixelIQN(PixelModel):
    """Quantiles of the dequantised values in [0, 1), by `QuantileHead` (section 4 of the source).

    The source learns the discrete values; their distribution is a staircase, which a network's Q cannot follow.

    Args:
        huber: half the width of the parabola in `quantile_loss`.
    """

    bound = ""
    dequantisation = None

    def __init__(self, huber: float, **parts: Any) -> None:
        super().__init__(**parts)
        self.huber = huber

    def loss(self, inputs: Tensor, generator: Generator = None, kl_weight: float = 1.0) -> tuple[Tensor, Terms]:
        """The mean quantile loss of dequantised images y [N, C, H, W] in levels, tau new at each value; no terms."""
        tau = uniform_like(inputs, generator)
        quantiles = 0.5 + self.head(self.net(self.inputs_of(self.discrete(inputs))), tau)
        return self.levels * quantile_loss(inputs, quantiles, tau, self.huber).mean(), {}

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """There is none: a UserError."""
        raise UserError("a PixelIQN has no likelihood, so no bits/dim: score its samples instead")

    def quantile(self, features: Tensor, channel: int, u: Tensor) -> Tensor:
        """See `PixelModel`."""
        tau = u[:, None, None, None].expand(-1, self.channels, 1, 1)
        return self.discrete((0.5 + self.head(features[..., None, None], tau))[:, channel, 0, 0])


def build(config: Config) -> PixelIQN:
    """The untrained PixelIQN of a resolved config."""
    shape = image_shape(config)
    network = config["network"]
    return PixelIQN(
        network["huber"],
        **shape,
        head=QuantileHead(shape["channels"], network["width"], network["head_width"], network["cosines"]),
        net=net_of(config),
    )
