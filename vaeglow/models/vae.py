"""The underlying VAE (paper, sections 3.1 and 3.2): q(z|y), a Gaussian decoder with learned noise, a learned prior.

The prior p(z) is a RealNVP-style flow (section 4.2, too), or N(0, I) without layers. `h: z -> eps` is its density
direction, p(z) = N(h(z); 0, I) |det dh/dz|; sampling is its inverse.
"""

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor
from torch.nn import ConvTranspose2d, Linear, Module, ModuleList, Parameter, init
from torch.nn.functional import relu, softplus

from vaeglow.models.base import GenerativeModel, Terms, image_shape
from vaeglow.models.bounds import (
    Gaussian,
    Pair,
    gaussian_log_density,
    gaussian_sample,
    log_scale_floor,
    soft_bound,
    standard_normal_divergence,
    standard_normal_log_density,
)
from vaeglow.models.flows import Transformed
from vaeglow.models.kinds import Config
from vaeglow.models.nets import ARCHITECTURES, initialise
from vaeglow.noise import Generator, normal_like

Decode = Callable[[Tensor], Gaussian]  # z [N, d] -> p(x_bar|z), [N, C, H, W]

POSTERIOR_LOG_SCALE = (-7.0, 2.0)  # soft bounds: unbounded, as in the source, it can overflow


class VectorCoupling(Module):
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
        self.order = -1 if index % 2 else 1  # of the halves
        permutation = torch.arange(dims)
        if self.order == 1:
            permutation = torch.randperm(dims, generator=torch.Generator().manual_seed(index))
        self.register_buffer("permutation", permutation)
        self.split = (dims // 2, dims - dims // 2)
        kept, changed = self.split[:: self.order]
        self.first = Linear(kept, width)
        self.second = Linear(width, width)
        self.last = Linear(width, 2 * changed)
        initialise(self.last, init.zeros_)

    def shift_and_log_scale(self, kept: Tensor) -> Pair:
        """The net's outputs for the changed half; log-scale in (-2, 2)."""
        shift, raw = self.last(relu(self.second(relu(self.first(kept))))).chunk(2, 1)
        return shift, soft_bound(raw, -2, 2)

    def forward(self, z: Tensor) -> Transformed:
        """z [N, d] -> (towards eps [N, d], log|det| [N])."""
        kept, changed = z[:, self.permutation].split(self.split, 1)[:: self.order]
        shift, log_scale = self.shift_and_log_scale(kept)
        changed = changed * log_scale.exp() + shift
        return torch.cat([kept, changed][:: self.order], 1), log_scale.sum(1)

    def inverse(self, eps: Tensor) -> Tensor:
        """eps [N, d] -> towards z [N, d]."""
        kept, changed = eps.split(self.split, 1)[:: self.order]
        shift, log_scale = self.shift_and_log_scale(kept)
        changed = (changed - shift) * (-log_scale).exp()
        return torch.cat([kept, changed][:: self.order], 1)[:, self.permutation.argsort()]


class FlowPrior(Module):
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
        self.layers = ModuleList(VectorCoupling(dims, width, index) for index in range(layers))

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
        start = torch.tensor(math.log(network["initial_noise"]))
        encoder, decoder = ARCHITECTURES[network["architecture"]]
        self.encoder = encoder(channels, size, **network)
        self.diagonal = network["decoder_noise"] == "diagonal"
        self.decoder = decoder(2 * channels if self.diagonal else channels, size, **network)
        if self.diagonal:
            last = self.decoder.last
            init.zeros_((last.weight.transpose(0, 1) if isinstance(last, ConvTranspose2d) else last.weight)[channels:])
            init.constant_(last.bias[channels:], start)
        else:
            self.raw_log_scale = Parameter(start, requires_grad=network["decoder_noise"] == "isotropic")

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

    def gaussian(self, output: Tensor, hidden: Tensor, noise_head: Module | None = None) -> Gaussian:
        """Mean and log sd as of `decode`, from the decoder's output and last features.

        A noise head changes the noise: its outputs [N, C, H, W] are added to the raw log sd.
        """
        raw = output[:, self.channels :] if self.diagonal else self.raw_log_scale
        if noise_head is not None:
            raw = raw + noise_head(hidden)
        floor = log_scale_floor(self.levels)
        mean = torch.sigmoid(output[:, : self.channels])
        return mean, (floor + softplus(raw - floor)).expand_as(mean)

    def posterior_sample(self, y: Tensor, generator: Generator = None) -> Pair:
        """z ~ q(z|y) [N, d], and log p(z) - log q(z|y) [N]: minus a one-sample estimate of the KL divergence.

        Training under N(0, I) takes the divergence itself, as Dai & Wipf (2019) do; a flow prior has no closed form.
        """
        posterior = self.encode(y)
        z = gaussian_sample(*posterior, generator)
        if self.training and not self.prior.layers:
            return z, -standard_normal_divergence(*posterior)
        return z, self.prior.log_prob(z) - gaussian_log_density(z, *posterior)

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """See `GenerativeModel`; the terms of eq. 1, with one sample of z."""
        z, negative_kl = self.posterior_sample(y, generator)
        return {
            "reconstruction": gaussian_log_density(y, *self.decode(z)),
            "negative_kl": negative_kl,
        }

    def log_weights(self, y: Tensor, latents: int, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; y is encoded once, each draw of z decoded."""
        return log_importance_weights(y, self.decode, self.encode(y), latents, self.prior.log_prob, generator).T

    def prior_sample(self, count: int, generator: Generator = None) -> Tensor:
        """z ~ p(z), always at temperature 1: [count, d]."""
        return self.prior.inverse(
            normal_like(next(self.decoder.parameters()).new_empty(count, self.prior.dims), generator)
        )

    def sample(self, count: int, temperature: float, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; the temperature scales the decoder's noise."""
        return gaussian_sample(*self.decode(self.prior_sample(count, generator)), generator, temperature)

    def reconstruct(self, y: Tensor) -> Tensor:
        """The decoder mean at E[z|y]: [N, C, H, W]."""
        return self.decode(self.encode(y)[0])[0]


def log_importance_weights(
    y: Tensor,
    decode: Decode,
    proposal: Gaussian,
    draws: int,
    log_prior: Callable,
    generator: Generator,
) -> Tensor:
    """log N(y; decode(z)) + log p(z) - log r(z) of draws of z ~ r(z), the `proposal` [N, d]: [draws, N]."""
    weights = []
    for _ in range(draws):
        z = gaussian_sample(*proposal, generator)
        weights.append(gaussian_log_density(y, *decode(z)) + (log_prior(z) - gaussian_log_density(z, *proposal)))
    return torch.stack(weights)


def build(config: Config) -> VAE:
    """The untrained VAE of a resolved config (sections 3.1 and 3.2)."""
    prior = config["prior"]
    if prior["kind"] == "standard":
        prior = {"layers": 0, "width": 0}
    return VAE(
        **image_shape(config),
        prior=FlowPrior(config["network"]["latent_dim"], prior["layers"], prior["width"]),
        network=config["network"],
    )
