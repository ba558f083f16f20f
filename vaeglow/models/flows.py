"""The bijections that Glow is made of (Kingma & Dhariwal 2018, table 1), as section 3.3 of the paper uses them.

Every flow maps images [N, C, H, W] to images and has
    forward(x) -> (y, log_det)      log_det = log|det dy/dx| in nats, [N] or a scalar when it is constant
    inverse(y) -> (x, log_det)      log_det = log|det dx/dy|
    initialise(x) -> y              forward, after setting whatever is set from the first data
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeglow.models.network import Network

WEIGHT_DEVIATION = 0.05  # of the source's normal initialisation
LOG_SCALE_FACTOR = 3.0  # logs are stored divided by 3 in the source, which triples their learning rate


class Flow(nn.Module):
    """A bijection with a tractable log-determinant (paper, eq. 2)."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data towards noise; returns (y, log|det dy/dx|)."""
        raise NotImplementedError

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Map noise towards data; returns (x, log|det dx/dy|)."""
        raise NotImplementedError

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Set data-dependent values from a first batch and return its image under the flow."""
        return self(x)[0]


class ActNorm(Flow):
    """Per-channel (x + bias) * exp(3 logs), set so that the first batch leaves with mean 0 and sd 1.

    `initialised` is a buffer, so that a saved and loaded model is not initialised again.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.logs = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialised", torch.tensor(False))

    def log_scale(self) -> Tensor:
        """Log of the scale of each channel: [C]."""
        return LOG_SCALE_FACTOR * self.logs

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`; the log-determinant is H W sum(log scale), a constant."""
        log_scale = self.log_scale()
        y = (x + self.bias[:, None, None]) * log_scale.exp()[:, None, None]
        return y, pixels(x) * log_scale.sum()

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`."""
        log_scale = self.log_scale()
        x = y * (-log_scale).exp()[:, None, None] - self.bias[:, None, None]
        return x, -pixels(y) * log_scale.sum()

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Set bias and scale from x [N, C, H, W], unless that has happened before."""
        standardise(self, x)
        return self(x)[0]


@torch.no_grad()
def standardise(actnorm: ActNorm | ActNormConv, values: Tensor) -> None:
    """Set bias and scale so that values [N, C, H, W] come out with mean 0 and sd 1 a channel, unless they are set."""
    if not actnorm.initialised:
        actnorm.bias.copy_(-values.mean((0, 2, 3)))
        actnorm.logs.copy_(-(values.std((0, 2, 3), correction=0) + 1e-6).log() / LOG_SCALE_FACTOR)
        actnorm.initialised.fill_(True)


class InvertibleConv1x1(Flow):
    """One invertible C x C matrix applied at every pixel, started as a random rotation.

    Its log-determinant and its inverse are computed in float64.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
        self.weight = nn.Parameter(rotation.float().contiguous())  # QR gives columns first

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`; the log-determinant is H W log|det W|, a constant."""
        log_det = torch.linalg.slogdet(self.weight.double())[1].to(x.dtype)
        return F.conv2d(x, self.weight[..., None, None]), pixels(x) * log_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`."""
        inverse = torch.linalg.inv(self.weight.double())
        log_det = torch.linalg.slogdet(inverse)[1].to(y.dtype)
        return F.conv2d(y, inverse.to(y.dtype)[..., None, None]), pixels(y) * log_det


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
        standardise(self, self(x))
        return self(x)


def zero_conv(inputs: int, outputs: int) -> ScaledConv:
    """A 3x3 convolution that starts at zero, so each coupling starts as the identity."""
    return ScaledConv(torch.zeros(outputs, inputs, 3, 3))


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
        self.last = zero_conv(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        hidden = F.relu(self.first(x), inplace=True)  # in place: a convolution does not need its own output again
        return self.last(F.relu(self.second(hidden), inplace=True))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Set the actnorms from the first batch x [N, inputs, H, W]."""
        self.second.initialise(F.relu(self.first.initialise(x)))


class AdditiveCoupling(Flow):
    """x1, x2 -> x1, x2 + net(x1) (Dinh et al. 2014): volume-preserving; the paper's choice, section 3.3.

    Args:
        channels: C >= 2; the first C // 2 condition, the rest are changed (1 | 2 of 3 channels, 6 | 6 of 12).
        width: hidden channels of the net.
    """

    outputs = 1  # of the net for each changed channel

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.split = (channels // 2, channels - channels // 2)
        self.net = CouplingNet(self.split[0], width, self.outputs * self.split[1])

    def act(self, changed: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The changed half under the net's outputs, and the log-determinant, 0."""
        return changed + outputs, changed.new_zeros(())

    def undo(self, changed: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The half before `act`, and the log-determinant of undoing it."""
        return changed - outputs, changed.new_zeros(())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`."""
        kept, changed = x.split(self.split, 1)
        changed, log_det = self.act(changed, self.net(kept))
        return torch.cat([kept, changed], 1), log_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`; always in full precision."""
        kept, changed = y.split(self.split, 1)
        changed, log_det = self.undo(changed, self.net.exactly(kept))
        return torch.cat([kept, changed], 1), log_det

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Set the actnorms inside the net."""
        self.net.initialise(x.split(self.split, 1)[0])
        return self(x)[0]


class AffineCoupling(AdditiveCoupling):
    """x1, x2 -> x1, (x2 + shift(x1)) * sigmoid(raw(x1) + 2): Glow's own coupling, shift before scale."""

    outputs = 2

    def shift_and_log_scale(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """From the net's outputs, each [N, C - C // 2, H, W]; log scale is at most 0."""
        shift, raw = outputs.chunk(2, 1)
        return shift, F.logsigmoid(raw + 2.0)

    def act(self, changed: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The changed half under the net's outputs; the log-determinant depends on x: [N]."""
        shift, log_scale = self.shift_and_log_scale(outputs)
        return (changed + shift) * log_scale.exp(), log_scale.flatten(1).sum(1)

    def undo(self, changed: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """The half before `act`, and the log-determinant of undoing it: [N]."""
        shift, log_scale = self.shift_and_log_scale(outputs)
        return changed * (-log_scale).exp() - shift, -log_scale.flatten(1).sum(1)


class Squeeze(Flow):
    """Space to depth: [N, C, H, W] -> [N, C q^2, H/q, W/q]; a permutation, so its log-determinant is 0.

    Args:
        factor: q, which must divide H and W.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`."""
        return F.pixel_unshuffle(x, self.factor), x.new_zeros(())

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`."""
        return F.pixel_shuffle(y, self.factor), y.new_zeros(())


def pixels(x: Tensor) -> int:
    """H * W of images [N, C, H, W]."""
    return x.shape[-2] * x.shape[-1]
