"""The prior p(z) of the latent: a RealNVP-style flow (paper, sections 3.2 and 4.2), or N(0, I) without layers.

`h: z -> eps` is the density direction, p(z) = N(h(z); 0, I) |det dh/dz|; sampling is its inverse.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeglow.models.bounds import standard_normal_log_density


class VectorCoupling(nn.Module):
    """One affine coupling of a vector (Dinh et al. 2016); an even layer first permutes the entries, a fixed order.

    "Each layer comprised of two fully connected layers of width 1024, each followed by a ReLU" (section 4.2),
    then a linear layer that starts at zero. The log-scale is bounded to (-2, 2) by 2 tanh(raw / 2).

    Args:
        dims: d >= 2, the size of z.
        width: hidden units.
        index: of the layer: the first half conditions in even ones, the second in odd ones; seed of the permutation,
            which is stored with the weights.
    """

    def __init__(self, dims: int, width: int, index: int) -> None:
        super().__init__()
        self.flip = index % 2 == 1
        random = torch.Generator().manual_seed(index)
        self.register_buffer("permutation", torch.arange(dims) if self.flip else torch.randperm(dims, generator=random))
        self.split = (dims // 2, dims - dims // 2)
        kept, changed = reversed(self.split) if self.flip else self.split
        self.first = nn.Linear(kept, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, 2 * changed)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def halves(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(conditioning half, changed half)."""
        first, second = z.split(self.split, 1)
        return (second, first) if self.flip else (first, second)

    def join(self, kept: Tensor, changed: Tensor) -> Tensor:
        """The inverse of `halves`."""
        return torch.cat([changed, kept] if self.flip else [kept, changed], 1)

    def shift_and_log_scale(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """The net's outputs for the changed half; log-scale in (-2, 2)."""
        hidden = F.relu(self.second(F.relu(self.first(kept))))
        shift, raw = self.last(hidden).chunk(2, 1)
        return shift, 2 * torch.tanh(raw / 2)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z [N, d] -> (towards eps [N, d], log|det| [N])."""
        kept, changed = self.halves(z[:, self.permutation])
        shift, log_scale = self.shift_and_log_scale(kept)
        return self.join(kept, changed * log_scale.exp() + shift), log_scale.sum(1)

    def inverse(self, eps: Tensor) -> tuple[Tensor, Tensor]:
        """eps [N, d] -> (towards z [N, d], log|det| [N])."""
        kept, changed = self.halves(eps)
        shift, log_scale = self.shift_and_log_scale(kept)
        z = self.join(kept, (changed - shift) * (-log_scale).exp())
        return z[:, torch.argsort(self.permutation)], -log_scale.sum(1)


class FlowPrior(nn.Module):
    """p(z) = N(h(z); 0, I) |det dh/dz| with h a stack of affine couplings (section 3.2).

    Couplings come in pairs: the second changes the half that the first leaves alone. Only the first of a pair permutes;
    a permutation before every coupling would undo the alternation, and some entries would never change.

    Args:
        dims: d, the size of z.
        layers: number of couplings (16 in the paper); 0 for N(0, I) (the first stage of Dai & Wipf 2019).
        width: hidden units of each (1024 in the paper).
    """

    def __init__(self, dims: int, layers: int, width: int) -> None:
        super().__init__()
        self.dims = dims
        self.layers = nn.ModuleList(VectorCoupling(dims, width, index) for index in range(layers))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """h: z [N, d] -> (eps [N, d], log|det dh/dz| [N])."""
        log_det = z.new_zeros(len(z))
        for layer in self.layers:
            z, change = layer(z)
            log_det = log_det + change
        return z, log_det

    def inverse(self, eps: Tensor) -> tuple[Tensor, Tensor]:
        """h^-1: eps [N, d] -> (z [N, d], log|det dz/deps| [N])."""
        log_det = eps.new_zeros(len(eps))
        for layer in reversed(self.layers):
            eps, change = layer.inverse(eps)
            log_det = log_det + change
        return eps, log_det

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z): [N]."""
        eps, log_det = self(z)
        return standard_normal_log_density(eps) + log_det
