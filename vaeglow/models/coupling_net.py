"""The network inside a coupling: conv3x3, conv1x1, conv3x3 (Kingma & Dhariwal 2018, appendix B)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeglow.models.network import Network

WEIGHT_DEVIATION = 0.05  # of the source's normal initialisation
LOG_SCALE_FACTOR = 3.0  # logs are stored divided by 3 in the source, which triples their learning rate


class ScaledConv(nn.Module):
    """(conv(x) + bias) * exp(3 logs), computed as one convolution with scaled weights.

    Args:
        weight: where it starts, [outputs, inputs, k, k], k odd.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(len(weight)))
        self.logs = nn.Parameter(torch.zeros(len(weight)))

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        scale = (LOG_SCALE_FACTOR * self.logs).exp()
        weight = self.weight * scale[:, None, None, None]
        return F.conv2d(x, weight, self.bias * scale, padding=self.weight.shape[-1] // 2)


class ActNormConv(ScaledConv):
    """A convolution followed by an actnorm, which sets its bias and scale from the first batch.

    It is no part of the bijection, so it contributes nothing to a log-determinant.

    Args:
        inputs: input channels.
        outputs: output channels.
        kernel: side of the kernel, odd.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(torch.randn(outputs, inputs, kernel, kernel) * WEIGHT_DEVIATION)
        self.register_buffer("initialised", torch.tensor(False))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Set bias and scale so that each output channel has mean 0 and sd 1 over x; returns the output."""
        if not self.initialised:
            y = self(x)
            self.bias.copy_(-y.mean((0, 2, 3)))
            self.logs.copy_(-(y.std((0, 2, 3), correction=0) + 1e-6).log() / LOG_SCALE_FACTOR)
            self.initialised.fill_(True)
        return self(x)


class ZeroConv(ScaledConv):
    """A 3x3 convolution that starts at zero, so each coupling starts as the identity.

    Args:
        inputs: input channels.
        outputs: output channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(torch.zeros(outputs, inputs, 3, 3))


class CouplingNet(Network):
    """conv3x3 -> actnorm -> ReLU -> conv1x1 -> actnorm -> ReLU -> conv3x3 that starts at zero.

    Args:
        inputs: conditioning channels.
        width: hidden channels.
        outputs: output channels, always given outright: nothing is broadcast.
    """

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.first = ActNormConv(inputs, width, 3)
        self.second = ActNormConv(width, width, 1)
        self.last = ZeroConv(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        hidden = F.relu(self.first(x), inplace=True)  # in place: a convolution does not need its own output again
        return self.last(F.relu(self.second(hidden), inplace=True))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the actnorms from the first batch x [N, inputs, H, W]."""
        self.second.initialise(F.relu(self.first.initialise(x)))
