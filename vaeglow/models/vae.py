"""The underlying VAE (paper, sections 3.1 and 3.2): q(z|y), a Gaussian decoder with learned noise, a learned prior.

The prior p(z) is a RealNVP-style flow (section 4.2, too), or N(0, I) without layers. `h: z -> eps` is its density
direction, p(z) = N(h(z); 0, I) |det dh/dz|; sampling is its inverse.
"""

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaeglow.models.base import GenerativeModel, Terms, image_shape
from vaeglow.models.bounds import (
    Gaussian,
    gaussian_log_density,
    gaussian_sample,
    log_scale_floor,
    soft_bound,
    standard_normal_divergence,
    standard_normal_log_density,
)
from vaeglow.models.flows import Transformed
from vaeglow.models.kinds import Config
from vaeglow.models.nets import ARCHITECTURES
from vaeglow.noise import Generator, normal_like

Decode = Callable[[Tensor], Gaussian]  # z [N, d] -> p(x_bar|z), [N, C, H, W]

POSTERIOR_LOG_SCALE = (-7.0, 2.0)  # soft bounds: unbounded, as in the source, it can overflow


class VectorCoupling(nn.Module):
    """One affine coupling of a vector (Dinh et al. 2016); an even layer first permutes the entries, a fixed order.

    "Each layer comprised of two fully connected layers of width 1024, each followed by a ReLU" (section 4.2),
    then a linear layer that starts at zero. The log-scale is softly bounded to (-2, 2).

    Args:
        dims: d >= 2, the size of z.
        width: hidden units.
        index: of the layer: the first half conditions in even ones, the second in odd ones; seed of the permutation,
            which is stored with the weights.
    """

    def __init__(self, dims: int, width: int, index: int) -> None:
        super().__init__()
        self.flip = index % 2 == 1
        permutation = torch.arange(dims)
        if not self.flip:
            permutation = torch.randperm(dims, generator=torch.Generator().manual_seed(index))
        self.register_buffer("permutation", permutation)
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
        return shift, soft_bound(raw, -2, 2)

    def forward(self, z: Tensor) -> Transformed:
        """z [N, d] -> (towards eps [N, d], log|det| [N])."""
        kept, changed = self.halves(z[:, self.permutation])
        shift, log_scale = self.shift_and_log_scale(kept)
        return self.join(kept, changed * log_scale.exp() + shift), log_scale.sum(1)

    def inverse(self, eps: Tensor) -> Tensor:
        """eps [N, d] -> towards z [N, d]."""
        kept, changed = self.halves(eps)
        shift, log_scale = self.shift_and_log_scale(kept)
        z = self.join(kept, (changed - shift) * (-log_scale).exp())
        return z[:, torch.argsort(self.permutation)]


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

    def forward(self, z: Tensor) -> Transformed:
        """h: z [N, d] -> (eps [N, d], log|det dh/dz| [N])."""
        log_det = z.new_zeros(len(z))
        for layer in self.layers:
            z, change = layer(z)
            log_det = log_det + change
        return z, log_det

    def inverse(self, eps: Tensor) -> Tensor:
        """h^-1: eps [N, d] -> z [N, d]."""
        for layer in reversed(self.layers):
            eps = layer.inverse(eps)
        return eps

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z): [N]."""
        eps, log_det = self(z)
        return standard_normal_log_density(eps) + log_det


class VAE(GenerativeModel):
    """log p(y) >= E_q(z|y)[ log N(y; g_mu(z), g_Sigma(z)) - (log q(z|y) - log p(z)) ] (paper, eq. 1).

    The decoder's noise is `diagonal`, a standard deviation for each pixel and channel, `isotropic`, one for all (Dai &
    Wipf 2019), or `fixed`, one that is not learned. It starts at `initial_noise` everywhere (section 3.1).

    Args:
        channels: C.
        size: image side.
        levels: number of values a pixel can take; sets the floor of the decoder's noise.
        prior: p(z).
        network: the values of `network` in config (config/README.md).
    """

    frozen = False

    def __init__(self, channels: int, size: int, levels: int, prior: FlowPrior, network: Config) -> None:
        super().__init__(channels, size, levels)
        self.prior = prior
        noise = network["decoder_noise"]
        start = torch.tensor(math.log(network["initial_noise"]))
        encoder, decoder = ARCHITECTURES[network["architecture"]]
        self.encoder = encoder(channels, size, network)
        self.diagonal = noise == "diagonal"
        self.decoder = decoder(2 * channels if self.diagonal else channels, size, network)
        if self.diagonal:
            last = self.decoder.last
            weight = last.weight.transpose(0, 1) if isinstance(last, nn.ConvTranspose2d) else last.weight
            nn.init.zeros_(weight[channels:])
            nn.init.constant_(last.bias[channels:], start)
        else:
            self.raw_log_scale = nn.Parameter(start, requires_grad=noise == "isotropic")

    def freeze(self) -> Self:
        """For good: no gradients, and evaluation mode whatever the mode of the model around it; returns the VAE."""
        self.frozen = True
        return self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Training mode, unless it is frozen."""
        return super().train(mode and not self.frozen)

    def encode(self, y: Tensor) -> Gaussian:
        """Mean and log standard deviation of q(z|y), each [N, d]; the log sd softly bounded to [-7, 2]."""
        mean, raw = self.encoder(y)
        return mean, soft_bound(raw, *POSTERIOR_LOG_SCALE)

    def decode(self, z: Tensor) -> Gaussian:
        """g(z): mean in (0, 1) and log standard deviation of p(x_bar|z), each [N, C, H, W] (paper, eq. 3)."""
        return self.gaussian(*self.decoder(z))

    def gaussian(self, output: Tensor, hidden: Tensor, noise_head: nn.Module | None = None) -> Gaussian:
        """Mean and log sd as of `decode`, from the decoder's output and last features.

        A noise head changes the noise: its outputs [N, C, H, W] are added to the raw log sd.
        """
        raw = output[:, self.channels :] if self.diagonal else self.raw_log_scale
        if noise_head is not None:
            raw = raw + noise_head(hidden)
        floor = log_scale_floor(self.levels)
        log_scale = floor + F.softplus(raw - floor)
        mean = torch.sigmoid(output[:, : self.channels])
        return mean, log_scale.expand_as(mean)

    def posterior_sample(self, y: Tensor, generator: Generator = None) -> tuple[Tensor, Tensor]:
        """z ~ q(z|y) [N, d], and log p(z) - log q(z|y) [N]: minus a one-sample estimate of the KL divergence.

        Training under N(0, I) takes the divergence itself, as Dai & Wipf (2019) do; a flow prior has no closed form.
        """
        mean, log_scale = self.encode(y)
        z = gaussian_sample(mean, log_scale, generator)
        if self.training and not self.prior.layers:
            return z, -standard_normal_divergence(mean, log_scale)
        return z, self.prior.log_prob(z) - gaussian_log_density(z, mean, log_scale)

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """See `GenerativeModel`; the terms of eq. 1, with one sample of z."""
        z, negative_kl = self.posterior_sample(y, generator)
        reconstruction = gaussian_log_density(y, *self.decode(z))
        return {"reconstruction": reconstruction, "negative_kl": negative_kl}

    def log_weights(self, y: Tensor, latents: int, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; y is encoded once, each draw of z decoded."""
        posterior = self.encode(y)
        weights = log_importance_weights(y, self.decode, posterior, latents, self.prior.log_prob, generator)
        return torch.stack(weights, 1)

    def prior_sample(self, count: int, generator: Generator = None) -> Tensor:
        """z ~ p(z), always at temperature 1: [count, d]."""
        empty = next(self.decoder.parameters()).new_empty(count, self.prior.dims)
        return self.prior.inverse(normal_like(empty, generator))

    def sample(self, count: int, temperature: float, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; the temperature scales the decoder's noise."""
        z = self.prior_sample(count, generator)
        return gaussian_sample(*self.decode(z), generator, temperature)

    def reconstruct(self, y: Tensor) -> Tensor:
        """The decoder mean at E[z|y]: [N, C, H, W]."""
        mean, _ = self.encode(y)
        decoded, _ = self.decode(mean)
        return decoded


def log_importance_weights(
    y: Tensor,
    decode: Decode,
    proposal: Gaussian,
    draws: int,
    log_prior: Callable[[Tensor], Tensor],
    generator: Generator,
) -> list[Tensor]:
    """log N(y; decode(z)) + log p(z) - log r(z), [N], of each draw of z ~ r(z), the `proposal`: [N, d]."""
    weights = []
    for _ in range(draws):
        z = gaussian_sample(*proposal, generator)
        log_ratio = log_prior(z) - gaussian_log_density(z, *proposal)
        weights.append(gaussian_log_density(y, *decode(z)) + log_ratio)
    return weights


def build(config: Config) -> VAE:
    """The untrained VAE of a resolved config (sections 3.1 and 3.2)."""
    network = config["network"]
    prior = config["prior"]
    if prior["kind"] == "standard":
        prior = {"layers": 0, "width": 0}
    flow = FlowPrior(network["latent_dim"], prior["layers"], prior["width"])
    return VAE(**image_shape(config), prior=flow, network=network)
