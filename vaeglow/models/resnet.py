"""The ResNet encoder and decoder of Dai & Wipf 2019 (paper, section 4.2).

As in their code: TensorFlow padding, Glorot-uniform weights, zero biases, batch norm before each activation,
always a convolution on the shortcut.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeglow.models.network import Network

MAX_WIDTH = 1024  # of the decoder's narrowest scale
BATCH_NORM_EPS = 1e-5


class DownConv(nn.Conv2d):
    """3x3 convolution of stride 2, padded as TensorFlow's `same`: nothing before, one after."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H/2, W/2]."""
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class UpConv(nn.ConvTranspose2d):
    """3x3 transposed convolution of stride 2, the transpose of `DownConv`: cropped to twice the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """[N, inputs, H, W] -> [N, outputs, 2H, 2W]."""
        return super().forward(x)[..., : 2 * x.shape[-2], : 2 * x.shape[-1]]


class ResidualBlock(nn.Module):
    """2 x [batch norm, ReLU, conv3x3] plus conv3x3 of the input; no activation after.

    Args:
        width: channels in and out.
        momentum: of the batch norms, in PyTorch's sense (1 - decay).
    """

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(width, BATCH_NORM_EPS, momentum),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width, BATCH_NORM_EPS, momentum),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, H, W] -> the same shape."""
        return self.body(x) + self.shortcut(x)


class DenseBlock(nn.Module):
    """2 x [ReLU, linear] plus a linear shortcut.

    Args:
        inputs: input features.
        outputs: output features.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), nn.Linear(inputs, outputs), nn.ReLU(), nn.Linear(outputs, outputs))
        self.shortcut = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs] -> [N, outputs]."""
        return self.body(x) + self.shortcut(x)


class Encoder(Network):
    """q(z|y)'s network: `num_scale` scales of one residual block, global mean, dense block, two heads.

    Args:
        channels: image channels.
        num_scale: the paper's "depth": 3 for CIFAR-10, 4 for CelebA; the side is halved num_scale - 1 times.
        base_dim: width of the first scale, doubled at each further one.
        fc_dim: width of the dense block.
        latent_dim: size of z.
        momentum: of the batch norms.
    """

    def __init__(
        self, channels: int, num_scale: int, base_dim: int, fc_dim: int, latent_dim: int, momentum: float
    ) -> None:
        super().__init__()
        width = base_dim
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), ResidualBlock(width, momentum)]
        for _ in range(num_scale - 1):
            layers += [DownConv(width, 2 * width), ResidualBlock(2 * width, momentum)]
            width *= 2
        self.trunk = nn.Sequential(*layers)
        self.dense = DenseBlock(width, fc_dim)
        self.mean = nn.Linear(fc_dim, latent_dim)
        self.raw_log_scale = nn.Linear(fc_dim, latent_dim)
        glorot(self)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Images y [N, C, H, W] in [0, 1) -> (mean, unbounded log sd) of q(z|y), each [N, latent_dim]."""
        hidden = self.dense(self.trunk(y).mean((2, 3)))
        return self.mean(hidden), self.raw_log_scale(hidden)


class Decoder(Network):
    """The decoder's trunk: linear to 2x2, then a transposed convolution and residual block for each scale.

    Args:
        outputs: output channels (C, or 2C with the per-pixel log sd).
        size: image side, a power of two.
        base_dim: width at the full side, doubled at each smaller scale up to 1024.
        latent_dim: size of z.
        momentum: of the batch norms.
    """

    def __init__(self, outputs: int, size: int, base_dim: int, latent_dim: int, momentum: float) -> None:
        super().__init__()
        scales = size.bit_length() - 1  # sides 2, 4, ..., size
        widths = [min(base_dim * 2**k, MAX_WIDTH) for k in range(scales)][::-1]
        self.dense = nn.Linear(latent_dim, 4 * widths[0])
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [UpConv(before, after), ResidualBlock(after, momentum)]
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Conv2d(widths[-1], outputs, 3, padding=1)
        glorot(self)

    def forward(self, z: Tensor) -> Tensor:
        """z [N, latent_dim] -> [N, outputs, size, size], without a final activation."""
        hidden = self.dense(z).unflatten(1, (-1, 2, 2))  # [N, widths[0], 2, 2]
        return self.last(self.trunk(hidden))


def glorot(module: nn.Module) -> None:
    """Glorot-uniform weights and zero biases, TensorFlow's defaults, in all linear and convolution layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
