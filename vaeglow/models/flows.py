"""The parts of a Glow step (Kingma & Dhariwal 2018, table 1), as section 3.3 of the paper uses them.

ActNorm x -> (x + b) * s and the 1x1 convolution x -> W x are only their parameters; `glow_steps` applies both as one
matrix. A coupling has
    forward(x) -> (y, log_det)      log_det = log|det dy/dx| in nats: [N], or a scalar if it is constant
    inverse(y) -> x
    initialise(x) -> y              forward, after the actnorms inside are set from the first batch
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.functional import conv2d, logsigmoid, relu

from vaeglow.models.bounds import Pair, soft_bound
from vaeglow.models.network import Network

WEIGHT_DEVIATION = 0.05  # of the source's normal initialisation
LOG_START = -math.log1p(math.exp(-2))  # log sigmoid(2), of an affine coupling's scale at the start
OUTPUTS = {"additive": 1, "affine": 2, "bounded": 2}  # of a coupling's net, for each channel that it changes
LOG_SCALE_FACTOR = 3.0  # logs are stored divided by 3 in the source, which triples their learning rate
Transformed = Pair  # f(x), and log|det df/dx| in nats: [N], or a scalar if it is constant


class ActNorm(Module):
    """The b and s = exp(3 logs) of each channel, set so that the outputs of the first batch have mean 0 and sd 1.

    `initialised` is a buffer, so that a saved and loaded model is not initialised again.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = Parameter(torch.zeros(channels))
        self.logs = Parameter(torch.zeros(channels))
        self.register_buffer("initialised", torch.tensor(False))

    def log_scale(self) -> Tensor:
        """Log of the scale of each channel: [C]."""
        return LOG_SCALE_FACTOR * self.logs


@torch.no_grad
def standardise(actnorm: ActNorm | ActNormConv, values: Tensor) -> None:
    """Set bias and scale so that values [N, C, H, W] get mean 0 and sd 1 in each channel, unless they are set."""
    if actnorm.initialised:
        return
    deviation = values.std((0, 2, 3), correction=0) + 1e-6
    actnorm.bias.copy_(-values.mean((0, 2, 3)))
    actnorm.logs.copy_(-deviation.log() / LOG_SCALE_FACTOR)
    actnorm.initialised.fill_(True)


class InvertibleConv1x1(Module):
    """The invertible matrix W [C, C] applied at every pixel, a random rotation at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64)).Q
        self.weight = Parameter(rotation.float().contiguous())  # QR gives columns first


class ScaledConv(Module):
    """(conv(x) + bias) * exp(3 logs), computed as one convolution with scaled weights.

    Args:
        weight: the initial weights, [outputs, inputs, k, k], k odd; zeros in a coupling's last convolution, so that it
            starts as the identity.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = Parameter(weight)
        self.bias = Parameter(torch.zeros(len(weight)))
        self.logs = Parameter(torch.zeros(len(weight)))

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        scale = (LOG_SCALE_FACTOR * self.logs).exp()
        return conv2d(x, self.weight * scale[:, None, None, None], self.bias * scale, padding="same")


class ActNormConv(ScaledConv):
    """A k x k convolution followed by an actnorm; not part of the bijection, so it has no log-determinant."""

    def __init__(self, inputs: int, outputs: int, k: int) -> None:
        super().__init__(torch.randn(outputs, inputs, k, k) * WEIGHT_DEVIATION)
        self.register_buffer("initialised", torch.tensor(False))

    def initialise(self, x: Tensor) -> Tensor:
        """Set bias and scale so that each output channel has mean 0 and sd 1 over x; returns the output."""
        standardise(self, self(x))
        return self(x)


class CouplingNet(Network):
    """conv3x3 -> actnorm -> ReLU -> conv1x1 -> actnorm -> ReLU -> conv3x3 that starts at zero.

    Args:
        inputs: conditioning channels.
        width: hidden channels.
        outputs: output channels.
    """

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.first = ActNormConv(inputs, width, 3)
        self.second = ActNormConv(width, width, 1)
        self.last = ScaledConv(torch.zeros(outputs, width, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        hidden = relu(self.first(x), inplace=True)  # in place: a convolution does not need its own output again
        return self.last(relu(self.second(hidden), inplace=True))

    def initialise(self, x: Tensor) -> None:
        """Set the actnorms from the first batch x [N, inputs, H, W]."""
        self.second.initialise(relu(self.first.initialise(x)))


class Coupling(Module):
    """A coupling layer; x1 is the first C // 2 channels (1 of 3, 6 of 12), x2 the rest.

    additive: x1, x2 -> x1, x2 + net(x1) (Dinh et al. 2014): volume-preserving; the paper's choice, section 3.3;
    affine: x1, x2 -> x1, (x2 + shift(x1)) * sigmoid(raw(x1) + 2): Glow's own, shift before scale;
    bounded: the same scale divided by sigmoid(2): the identity at the start; raw softly bounded to (-4, 4) keeps it in
        (0.135, 1.14). Scales up to e^2 let one image in 10,000 grow from step to step, to 10^6 bits/dim; without the
        lower bound samples overflow (docs/beyond-choices.md).

    Args:
        channels: C >= 2.
        width: hidden channels of the net.
        kind: `additive`, `affine` or `bounded`.

    Raises:
        KeyError: for another kind.
    """

    def __init__(self, channels: int, width: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        kept = channels // 2
        changed = channels - kept
        self.sizes = kept, changed
        self.net = CouplingNet(kept, width, OUTPUTS[kind] * changed)

    def forward(self, x: Tensor) -> Transformed:
        """x [N, C, H, W] -> (y, log|det dy/dx|: [N], or the scalar 0 if additive)."""
        kept, changed = x.split(self.sizes, 1)
        outputs = self.net(kept)
        if self.kind == "additive":
            return torch.cat([kept, changed + outputs], 1), x.new_zeros(())
        shift, log_scale = self.shift_and_log_scale(outputs)
        return torch.cat([kept, (changed + shift) * log_scale.exp()], 1), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """The x that `forward` maps to y."""
        kept, changed = y.split(self.sizes, 1)
        outputs = self.net(kept)
        if self.kind == "additive":
            return torch.cat([kept, changed - outputs], 1)
        shift, log_scale = self.shift_and_log_scale(outputs)
        return torch.cat([kept, changed * (-log_scale).exp() - shift], 1)

    def initialise(self, x: Tensor) -> Tensor:
        """Set the actnorms inside the net from x; returns its image."""
        kept, _ = x.split(self.sizes, 1)
        self.net.initialise(kept)
        return self(x)[0]

    def shift_and_log_scale(self, outputs: Tensor) -> Pair:
        """From the net's outputs, each [N, C - C // 2, H, W]; log-scale below 0, or in (-2, 0.13) (`bounded`)."""
        shift, raw = outputs.chunk(2, 1)
        if self.kind == "affine":
            return shift, logsigmoid(raw + 2.0)
        return shift, logsigmoid(soft_bound(raw, -4, 4) + 2.0) - LOG_START
