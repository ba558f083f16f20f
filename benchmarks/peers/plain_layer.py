"""The Glow layer and its training loop written as plainly as the paper reads: the eager reference of the benchmark.

Every part is a computation of its own: actnorm, 1x1 convolution and coupling, each with its log-determinant at each
step; the networks' actnorms after their convolutions; inverses where they are needed. Parameters have the names of
`vaeglow.models.glow_layer.GlowLayer`'s, so that weights can be copied, and outputs are equal up to rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PlainActNorm(nn.Module):
    """(x + bias) * exp(3 logs)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.logs = nn.Parameter(torch.zeros(channels))
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [N, C, H, W] -> (y, log-determinant [N])."""
        logs = 3 * self.logs.view(1, -1, 1, 1)
        log_det = x.shape[2] * x.shape[3] * logs.sum()
        return (x + self.bias.view(1, -1, 1, 1)) * torch.exp(logs), log_det.expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """y -> x."""
        return y * torch.exp(-3 * self.logs.view(1, -1, 1, 1)) - self.bias.view(1, -1, 1, 1)


class PlainConv1x1(nn.Module):
    """One matrix at every pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [N, C, H, W] -> (y, log-determinant [N])."""
        log_det = x.shape[2] * x.shape[3] * torch.slogdet(self.weight.double())[1].float()
        return F.conv2d(x, self.weight[:, :, None, None]), log_det.expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """y -> x."""
        return F.conv2d(y, torch.inverse(self.weight.double()).float()[:, :, None, None])


class PlainConvActNorm(nn.Module):
    """A convolution without bias, then an actnorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.logs = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("initialised", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        x = F.conv2d(x, self.weight, padding=self.weight.shape[2] // 2)
        return (x + self.bias.view(1, -1, 1, 1)) * torch.exp(3 * self.logs.view(1, -1, 1, 1))


class PlainZeroConv(nn.Module):
    """A 3x3 convolution with bias, times exp(3 logs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.logs = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        return F.conv2d(x, self.weight, self.bias, padding=1) * torch.exp(3 * self.logs.view(1, -1, 1, 1))


class PlainNet(nn.Module):
    """conv3x3, actnorm, ReLU, conv1x1, actnorm, ReLU, conv3x3."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.first = PlainConvActNorm(inputs, width, 3)
        self.second = PlainConvActNorm(width, width, 1)
        self.last = PlainZeroConv(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        return self.last(F.relu(self.second(F.relu(self.first(x)))))


class PlainCoupling(nn.Module):
    """x1, x2 -> x1, x2 + net(x1)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.half = channels // 2
        self.net = PlainNet(self.half, width, channels - self.half)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [N, C, H, W] -> (y, log-determinant [N])."""
        kept, changed = x[:, : self.half], x[:, self.half :]
        return torch.cat([kept, changed + self.net(kept)], dim=1), torch.zeros(len(x), device=x.device)

    def inverse(self, y: Tensor) -> Tensor:
        """y -> x."""
        kept, changed = y[:, : self.half], y[:, self.half :]
        return torch.cat([kept, changed - self.net(kept)], dim=1)


class PlainStep(nn.Module):
    """Actnorm, 1x1 convolution, coupling."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.actnorm = PlainActNorm(channels)
        self.conv = PlainConv1x1(channels)
        self.coupling = PlainCoupling(channels, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [N, C, H, W] -> (y, log-determinant [N])."""
        log_det = torch.zeros(len(x), device=x.device)
        for part in (self.actnorm, self.conv, self.coupling):
            x, change = part(x)
            log_det = log_det + change
        return x, log_det

    def inverse(self, y: Tensor) -> Tensor:
        """y -> x."""
        for part in (self.coupling, self.conv, self.actnorm):
            y = part.inverse(y)
        return y


class PlainGlowLayer(nn.Module):
    """f: x_hat -> x_bar (paper, section 3.3), between one space-to-depth and its undoing."""

    def __init__(self, channels: int, depth: int, width: int, squeeze: int) -> None:
        super().__init__()
        mixed = channels * squeeze**2
        self.factor = squeeze
        self.steps = nn.ModuleList(PlainStep(mixed, width) for _ in range(depth))
        self.closing_weight = nn.Parameter(torch.eye(mixed))
        self.closing_bias = nn.Parameter(torch.zeros(mixed))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images x_hat [N, C, H, W] -> (x_bar, log-determinant [N])."""
        x = F.pixel_unshuffle(x, self.factor)
        log_det = x.shape[2] * x.shape[3] * torch.slogdet(self.closing_weight.double())[1].float().expand(len(x))
        for step in self.steps:
            x, change = step(x)
            log_det = log_det + change
        x = F.conv2d(x, self.closing_weight[:, :, None, None]) + self.closing_bias.view(1, -1, 1, 1)
        return F.pixel_shuffle(x, self.factor), log_det

    def inverse(self, y: Tensor) -> Tensor:
        """x_bar -> x_hat."""
        y = F.pixel_unshuffle(y, self.factor) - self.closing_bias.view(1, -1, 1, 1)
        y = F.conv2d(y, torch.inverse(self.closing_weight.double()).float()[:, :, None, None])
        for step in reversed(self.steps):
            y = step.inverse(y)
        return F.pixel_shuffle(y, self.factor)
