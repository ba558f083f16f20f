"""The encoders and decoders of Dai & Wipf 2019: ResNet (paper, section 4.2) and Infogan (their Fashion-MNIST networks).

As in their code: zero biases, and
- ResNet: TensorFlow padding, Glorot-uniform weights, batch norm before each activation, always a convolution on the
  shortcut; for sides that are a power of two;
- Infogan: weights from N(0, 0.02^2) (their convolutions': cut off at two standard deviations), spectral
  normalisation (Miyato et al. 2018, one power iteration a step) of all the encoder's layers, its heads included; for
  sides that are a multiple of 4. TensorFlow's `same` padding of a 4x4 kernel at stride 2 is 1 on every side.

All four take
    channels    of the images, C; of a decoder's output, C or 2C (with the log sd of each pixel)
    size        the image side
and, of the values of a VAE's `network` in config (config/README.md), those that they use.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import (
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    LeakyReLU,
    Linear,
    Module,
    ModuleList,
    ReLU,
    Sequential,
    Unflatten,
    init,
)
from torch.nn.functional import pad, softplus
from torch.nn.utils.parametrizations import spectral_norm

from vaeglow.models.bounds import Gaussian, Pair
from vaeglow.models.network import Network

MAX_WIDTH = 1024  # of the ResNet decoder, at its smallest scales
SMALLEST_SCALE = 1e-6  # added to the Infogan posterior's standard deviation, as in the source


def initialise(module: Module, weights: Callable) -> None:
    """Set the weights of all linear and convolution layers by `weights`, and their biases to zero."""
    for layer in module.modules():
        if isinstance(layer, Linear | Conv2d | ConvTranspose2d):
            weights(layer.weight)
            init.zeros_(layer.bias)


infogan_normal = partial(init.normal_, std=0.02)


class DownConv(Conv2d):
    """3x3 convolution of stride 2, padded as TensorFlow's `same`: nothing before, one after."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H/2, W/2]."""
        return super().forward(pad(x, (0, 1, 0, 1)))


class UpConv(ConvTranspose2d):
    """3x3 transposed convolution of stride 2, the transpose of `DownConv`: cropped to twice the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """[N, inputs, H, W] -> [N, outputs, 2H, 2W]."""
        return super().forward(x)[..., : 2 * x.shape[-2], : 2 * x.shape[-1]]


class ResidualBlock(Module):
    """2 x [batch norm, ReLU, conv3x3] plus conv3x3 of the input; no activation after.

    Args:
        width: channels in and out.
        momentum: of the batch norms, in PyTorch's sense (1 - decay).
    """

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.body = Sequential()
        for _ in range(2):
            self.body.extend(
                [
                    BatchNorm2d(width, momentum=momentum),
                    ReLU(),
                    Conv2d(width, width, 3, padding=1),
                ]
            )
        self.shortcut = Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, width, H, W] -> the same shape."""
        return self.body(x) + self.shortcut(x)


class DenseBlock(Module):
    """2 x [ReLU, linear] plus a linear shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = Sequential(ReLU(), Linear(inputs, outputs), ReLU(), Linear(outputs, outputs))
        self.shortcut = Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs] -> [N, outputs]."""
        return self.body(x) + self.shortcut(x)


class ResNetEncoder(Network):
    """q(z|y)'s network: `num_scale` scales of one residual block, global mean, dense block, two heads.

    `num_scale` is the paper's "depth": 3 for CIFAR-10, 4 for CelebA. The width starts at `base_dim`; each further scale
    halves the side and doubles the width.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        num_scale: int,
        base_dim: int,
        fc_dim: int,
        latent_dim: int,
        batch_norm_momentum: float,
        **_: Any,
    ) -> None:
        super().__init__()
        width = base_dim
        self.trunk = Sequential(Conv2d(channels, width, 3, padding=1), ResidualBlock(width, batch_norm_momentum))
        for _ in range(num_scale - 1):
            self.trunk.extend([DownConv(width, 2 * width), ResidualBlock(2 * width, batch_norm_momentum)])
            width *= 2
        self.dense = DenseBlock(width, fc_dim)
        self.mean = Linear(fc_dim, latent_dim)
        self.raw_log_scale = Linear(fc_dim, latent_dim)
        initialise(self, init.xavier_uniform_)

    def forward(self, y: Tensor) -> Gaussian:
        """Images y [N, C, H, W] in [0, 1) -> (mean, unbounded log sd) of q(z|y), each [N, latent_dim]."""
        hidden = self.dense(self.trunk(y).mean((2, 3)))
        return self.mean(hidden), self.raw_log_scale(hidden)


class ResNetDecoder(Network):
    """The decoder's trunk: linear to 2x2, then a transposed convolution and residual block for each scale.

    The width is `base_dim` at the full side, doubled at each smaller scale up to 1024.
    """

    def __init__(
        self, channels: int, size: int, base_dim: int, latent_dim: int, batch_norm_momentum: float, **_: Any
    ) -> None:
        super().__init__()
        scales = size.bit_length() - 1  # sides 2, 4, ..., size
        widths = [min(base_dim * 2**k, MAX_WIDTH) for k in reversed(range(scales))]
        self.dense = Linear(latent_dim, 4 * widths[0])
        self.trunk = Sequential()
        for before, after in itertools.pairwise(widths):
            self.trunk.extend([UpConv(before, after), ResidualBlock(after, batch_norm_momentum)])
        self.last = Conv2d(widths[-1], channels, 3, padding=1)
        initialise(self, init.xavier_uniform_)

    def forward(self, z: Tensor) -> Pair:
        """z [N, latent_dim] -> [N, channels, size, size], without a final activation, and the input of `last`."""
        hidden = self.trunk(self.dense(z).unflatten(1, (-1, 2, 2)))  # [N, base_dim, size, size]
        return self.last(hidden), hidden


class InfoganEncoder(Network):
    """q(z|y)'s network: two convolutions of stride 2 (`base_dim` channels, then twice), a dense layer, two heads.

    The source's sd = 1e-6 + softplus(raw) is kept; `VAE.encode` then bounds its logarithm softly to [-7, 2], as for
    every encoder here. In evaluation mode the spectral norms use their stored vectors: nothing is random.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        base_dim: int,
        fc_dim: int,
        latent_dim: int,
        batch_norm_momentum: float,
        **_: Any,
    ) -> None:
        super().__init__()
        layers = [
            Conv2d(channels, base_dim, 4, stride=2, padding=1),
            Conv2d(base_dim, 2 * base_dim, 4, stride=2, padding=1),
            Linear(2 * base_dim * (size // 4) ** 2, fc_dim),
            Linear(fc_dim, 2 * latent_dim),
        ]
        initialise(ModuleList(layers), infogan_normal)  # before the parametrisation: then `weight` is computed
        first, second, dense, heads = (spectral_norm(layer) for layer in layers)
        self.trunk = Sequential(
            first,
            LeakyReLU(0.2),
            second,
            BatchNorm2d(2 * base_dim, momentum=batch_norm_momentum),
            LeakyReLU(0.2),
            Flatten(),
            dense,
            BatchNorm1d(fc_dim, momentum=batch_norm_momentum),
            LeakyReLU(0.2),
        )
        self.heads = heads

    def forward(self, y: Tensor) -> Gaussian:
        """Images y [N, C, H, W] in [0, 1) -> (mean, log sd, not yet bounded) of q(z|y), each [N, latent_dim]."""
        mean, raw = self.heads(self.trunk(y)).chunk(2, 1)
        return mean, torch.log(SMALLEST_SCALE + softplus(raw))


class InfoganDecoder(Network):
    """The decoder's trunk: two dense layers, the first of `fc_dim`, and two transposed convolutions of stride 2.

    The width is `base_dim` at half the side, twice that at a quarter of it.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        base_dim: int,
        fc_dim: int,
        latent_dim: int,
        batch_norm_momentum: float,
        **_: Any,
    ) -> None:
        super().__init__()
        features = 2 * base_dim * (size // 4) ** 2
        self.trunk = Sequential(
            Linear(latent_dim, fc_dim),
            BatchNorm1d(fc_dim, momentum=batch_norm_momentum),
            ReLU(),
            Linear(fc_dim, features),
            BatchNorm1d(features, momentum=batch_norm_momentum),
            ReLU(),
            Unflatten(1, (2 * base_dim, size // 4, size // 4)),
            ConvTranspose2d(2 * base_dim, base_dim, 4, stride=2, padding=1),
            BatchNorm2d(base_dim, momentum=batch_norm_momentum),
            ReLU(),
        )
        self.last = ConvTranspose2d(base_dim, channels, 4, stride=2, padding=1)
        initialise(self, infogan_normal)

    def forward(self, z: Tensor) -> Pair:
        """z [N, latent_dim] -> [N, channels, size, size], without a final activation, and the input of `last`."""
        hidden = self.trunk(z)  # [N, width, size / 2, size / 2]
        return self.last(hidden), hidden


ARCHITECTURES = {"resnet": (ResNetEncoder, ResNetDecoder), "infogan": (InfoganEncoder, InfoganDecoder)}
