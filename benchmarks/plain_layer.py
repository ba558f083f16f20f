"""The Glow layer computed as plainly as the paper reads: the eager reference of the benchmark.

Every part is a computation of its own: actnorm, 1x1 convolution and coupling, each with its log-determinant at each
step; the networks' actnorms after their convolutions. Outputs equal `vaeglow.models.glow_layer.GlowLayer`'s up to
rounding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeglow.models.glow_layer import GlowLayer


class PlainGlowLayer(GlowLayer):
    """f: x_hat -> x_bar (paper, section 3.3), between one space-to-depth and its undoing; `GlowLayer`'s parameters."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images x_hat [N, C, H, W] -> (x_bar, log-determinant [N])."""
        x = F.pixel_unshuffle(x, self.squeeze)
        log_det = torch.zeros(len(x), device=x.device)
        for step in self.steps:
            for part, held in ((actnorm, step.actnorm), (conv1x1, step.conv.weight), (coupling, step.coupling)):
                x, change = part(x, held)
                log_det = log_det + change
        x, change = conv1x1(x, self.closing_weight)
        return F.pixel_shuffle(x + self.closing_bias.view(1, -1, 1, 1), self.squeeze), log_det + change


def scaled(x: Tensor, norm: nn.Module) -> Tensor:
    """(x + bias) * exp(3 logs), channel by channel."""
    return (x + norm.bias.view(1, -1, 1, 1)) * torch.exp(3 * norm.logs.view(1, -1, 1, 1))


def actnorm(x: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """x [N, C, H, W] -> (y, log-determinant [N]), as `conv1x1` and `coupling`."""
    log_det = x.shape[2] * x.shape[3] * 3 * norm.logs.sum()
    return scaled(x, norm), log_det.expand(len(x))


def conv1x1(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """One matrix at every pixel."""
    log_det = x.shape[2] * x.shape[3] * torch.slogdet(weight.double())[1].float()
    return F.conv2d(x, weight[:, :, None, None]), log_det.expand(len(x))


def coupling(x: Tensor, layer: nn.Module) -> tuple[Tensor, Tensor]:
    """x1, x2 -> x1, x2 + net(x1): conv3x3, actnorm, ReLU, conv1x1, actnorm, ReLU, conv3x3 times exp(3 logs)."""
    kept, changed = x.split(layer.sizes, 1)
    net = layer.net
    hidden = F.conv2d(kept, net.first.weight, padding=1)
    hidden = F.relu(scaled(hidden, net.first))
    hidden = F.conv2d(hidden, net.second.weight)
    hidden = F.relu(scaled(hidden, net.second))
    outputs = F.conv2d(hidden, net.last.weight, net.last.bias, padding=1)
    outputs = outputs * torch.exp(3 * net.last.logs.view(1, -1, 1, 1))
    return torch.cat([kept, changed + outputs], dim=1), torch.zeros(len(x), device=x.device)
