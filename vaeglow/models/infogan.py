"""The Infogan encoder and decoder of Dai & Wipf 2019 (section 4.1): for images whose side is no power of two.

As in their code: weights from N(0, 0.02^2), zero biases, spectral normalisation (Miyato et al. 2018, one power
iteration a step) of all the encoder's layers, its heads included. TensorFlow's `same` padding of a 4x4 kernel at
stride 2 is 1 on every side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from vaeglow.models.network import Network
from vaeglow.models.resnet import BATCH_NORM_EPS

LEAK = 0.2  # slope of the encoder's leaky ReLUs below 0
INITIAL_SCALE = 0.02  # standard deviation of the weights
SMALLEST_SCALE = 1e-6  # added to the posterior's standard deviation, as in the source


class InfoganEncoder(Network):
    """q(z|y)'s network: two convolutions of stride 2, one dense layer, two heads.

    The source's sd = 1e-6 + softplus(raw) is kept; `VAE.encode` then bounds its logarithm softly to [-7, 2], as for
    every encoder here. In evaluation mode the spectral norms rest on their stored vectors: nothing is random.

    Args:
        channels: image channels.
        size: image side, a multiple of 4.
        base_dim: width of the first convolution, doubled in the second (64 in the source).
        fc_dim: width of the dense layer (1024 in the source).
        latent_dim: size of z.
        momentum: of the batch norms, in PyTorch's sense (1 - decay).
    """

    def __init__(self, channels: int, size: int, base_dim: int, fc_dim: int, latent_dim: int, momentum: float) -> None:
        super().__init__()
        layers = [
            nn.Conv2d(channels, base_dim, 4, stride=2, padding=1),
            nn.Conv2d(base_dim, 2 * base_dim, 4, stride=2, padding=1),
            nn.Linear(2 * base_dim * (size // 4) ** 2, fc_dim),
            nn.Linear(fc_dim, 2 * latent_dim),
        ]
        for layer in layers:
            initialise(layer)  # before the parametrisation: afterwards `weight` is computed
        first, second, dense, heads = (spectral_norm(layer) for layer in layers)
        self.trunk = nn.Sequential(
            first,
            nn.LeakyReLU(LEAK),
            second,
            nn.BatchNorm2d(2 * base_dim, BATCH_NORM_EPS, momentum),
            nn.LeakyReLU(LEAK),
            nn.Flatten(),
            dense,
            nn.BatchNorm1d(fc_dim, BATCH_NORM_EPS, momentum),
            nn.LeakyReLU(LEAK),
        )
        self.heads = heads

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Images y [N, C, H, W] in [0, 1) -> (mean, log sd, not yet bounded) of q(z|y), each [N, latent_dim]."""
        mean, raw = self.heads(self.trunk(y)).chunk(2, 1)
        return mean, torch.log(SMALLEST_SCALE + F.softplus(raw))


class InfoganDecoder(Network):
    """The decoder's trunk: two dense layers, two transposed convolutions of stride 2.

    Args:
        outputs: output channels (C, or 2C with the per-pixel log sd).
        size: image side, a multiple of 4.
        base_dim: width at half the side, doubled at a quarter of it.
        fc_dim: width of the first dense layer.
        latent_dim: size of z.
        momentum: of the batch norms.
    """

    def __init__(self, outputs: int, size: int, base_dim: int, fc_dim: int, latent_dim: int, momentum: float) -> None:
        super().__init__()
        side = size // 4
        features = 2 * base_dim * side**2
        self.trunk = nn.Sequential(
            nn.Linear(latent_dim, fc_dim),
            nn.BatchNorm1d(fc_dim, BATCH_NORM_EPS, momentum),
            nn.ReLU(),
            nn.Linear(fc_dim, features),
            nn.BatchNorm1d(features, BATCH_NORM_EPS, momentum),
            nn.ReLU(),
            nn.Unflatten(1, (2 * base_dim, side, side)),
            nn.ConvTranspose2d(2 * base_dim, base_dim, 4, stride=2, padding=1),
            nn.BatchNorm2d(base_dim, BATCH_NORM_EPS, momentum),
            nn.ReLU(),
        )
        self.last = nn.ConvTranspose2d(base_dim, outputs, 4, stride=2, padding=1)
        for layer in self.modules():
            initialise(layer)

    def forward(self, z: Tensor) -> Tensor:
        """z [N, latent_dim] -> [N, outputs, size, size], without a final activation."""
        return self.last(self.trunk(z))


def initialise(layer: nn.Module) -> None:
    """Weights from N(0, 0.02^2) and zero biases, for a linear or convolution layer; others are left alone."""
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=INITIAL_SCALE)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
