"""The two-stage VAE of Dai & Wipf 2019, compared with the flow prior (paper, section 4.1 and table 1).

A first VAE is trained under p(z) = N(0, I) and frozen; a second, small VAE then learns the distribution of its
latents. Of the full model p(y, z, t) = N(t; 0, I) N(z; g2(t), gamma_z^2 I) p(y|z) with q(z, t|y) = q(z|y) q(t|z),

    log p(y) >= E_q(z|y)[ log p(y|z) + ELBO2(z) - log q(z|y) ],   log p(z) >= ELBO2(z),

a valid bound, because replacing log p(z) by a lower bound on it only lowers the first stage's own bound.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn import Linear, Module, ModuleList, Parameter, init
from torch.nn.functional import relu

from vaeglow.models.base import GenerativeModel, Terms
from vaeglow.models.bounds import (
    Gaussian,
    gaussian_log_density,
    gaussian_sample,
    soft_bound,
    standard_normal_divergence,
    standard_normal_log_density,
)
from vaeglow.models.kinds import Config
from vaeglow.models.nets import initialise
from vaeglow.models.vae import POSTERIOR_LOG_SCALE, VAE, log_importance_weights
from vaeglow.models.vae import build as build_vae
from vaeglow.noise import Generator, normal_like


class DenseSkip(Module):
    """`depth` x [linear, ReLU], the input concatenated with the last hidden layer.

    Args:
        dims: input features.
        width: hidden units of each layer.
        depth: number of layers.
    """

    def __init__(self, dims: int, width: int, depth: int) -> None:
        super().__init__()
        self.layers = ModuleList(Linear(width if i else dims, width) for i in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """[N, dims] -> [N, dims + width]."""
        hidden = x
        for layer in self.layers:
            hidden = relu(layer(hidden))
        return torch.cat([x, hidden], 1)


class SecondStage(Module):
    """A VAE of latents z, with a latent t of the same size: p(z) = E_N(t; 0, I)[ N(z; g2(t), gamma_z^2 I) ].

    Args:
        dims: d, the size of z and of t.
        width: hidden units of each dense layer (1024 in the source).
        depth: dense layers of the encoder, and of the decoder (3 in the source).
    """

    def __init__(self, dims: int, width: int, depth: int) -> None:
        super().__init__()
        self.dims = dims
        self.encoder = DenseSkip(dims, width, depth)
        self.mean = Linear(dims + width, dims)
        self.raw_log_scale = Linear(dims + width, dims)
        self.decoder = DenseSkip(dims, width, depth)
        self.decoded = Linear(dims + width, dims)
        self.log_gamma = Parameter(torch.zeros(()))  # log gamma_z, of a standard deviation
        initialise(self, init.xavier_uniform_)

    def encode(self, z: Tensor) -> Gaussian:
        """Mean and (softly bounded) log standard deviation of q(t|z), each [N, d]."""
        hidden = self.encoder(z)
        return self.mean(hidden), soft_bound(self.raw_log_scale(hidden), *POSTERIOR_LOG_SCALE)

    def decode(self, t: Tensor) -> Gaussian:
        """Mean g2(t) and log standard deviation log gamma_z of p(z|t), each [N, d]."""
        mean = self.decoded(self.decoder(t))
        return mean, self.log_gamma.expand_as(mean)

    def elbo(self, z: Tensor, generator: Generator = None) -> Tensor:
        """ELBO2(z) <= log p(z) in expectation, [N] nats: one sample of t, its KL divergence in closed form."""
        posterior = self.encode(z)
        t = gaussian_sample(*posterior, generator)
        return gaussian_log_density(z, *self.decode(t)) - standard_normal_divergence(*posterior)

    def log_weight(self, z: Tensor, generator: Generator = None) -> Tensor:
        """log p(z, t) - log q(t|z) at one t ~ q(t|z), [N] nats; the mean of its exponential is p(z)."""
        posterior = self.encode(z)
        t = gaussian_sample(*posterior, generator)
        log_joint = gaussian_log_density(z, *self.decode(t)) + standard_normal_log_density(t)
        return log_joint - gaussian_log_density(t, *posterior)

    def sample(self, count: int, generator: Generator = None) -> Tensor:
        """z ~ p(z), the noise of gamma_z included: [count, d]."""
        return gaussian_sample(
            *self.decode(normal_like(self.log_gamma.new_empty(count, self.dims), generator)),
            generator,
        )


class TwoStageVAE(GenerativeModel):
    """A frozen VAE whose prior a second stage replaces; only the second stage is trained.

    Training encodes each image once: `inputs` has mean and log sd of q(z|y), so an epoch needs no pass of the first
    stage. Dequantisation noise is therefore sampled once for each image, z and t at each step.

    Args:
        vae: the trained first stage, its prior N(0, I).
        second: the model of its latents.
    """

    keeps_inputs = True

    def __init__(self, vae: VAE, second: SecondStage) -> None:
        super().__init__(vae.channels, vae.size, vae.levels)
        self.vae = vae.freeze()
        self.second = second

    @torch.no_grad
    def inputs(self, y: Tensor, generator: Generator = None) -> Tensor:
        """(mean, log sd) of q(z|y) of images y [N, C, H, W], and log p(y|z): [N, 2d + 1].

        The last column is the first stage's reconstruction at one draw of z, in nats. It is constant in this
        phase, and makes the loss a bound on log p(y), in the same unit as for every other model.
        """
        posterior = self.vae.encode(y)
        z = gaussian_sample(*posterior, generator)
        return torch.cat([*posterior, gaussian_log_density(y, *self.vae.decode(z))[:, None]], 1)

    def negative_kl(self, z: Tensor, posterior: Gaussian, generator: Generator) -> Tensor:
        """ELBO2(z) - log q(z|y): minus an estimate of the divergence of q(z, t|y) from p(z, t), [N]."""
        return self.second.elbo(z, generator) - gaussian_log_density(z, *posterior)

    def training_terms(self, inputs: Tensor, generator: Generator = None) -> Terms:
        """The terms of `log_likelihood`, from `inputs` [N, 2d + 1]: of stage one only z is sampled again."""
        dims = self.second.dims
        *posterior, reconstruction = inputs.split([dims, dims, 1], 1)
        return {
            "reconstruction": reconstruction[:, 0],
            "negative_kl": self.negative_kl(gaussian_sample(*posterior, generator), posterior, generator),
        }

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """See `GenerativeModel`; the bound above."""
        posterior = self.vae.encode(y)
        z = gaussian_sample(*posterior, generator)
        return {
            "reconstruction": gaussian_log_density(y, *self.vae.decode(z)),
            "negative_kl": self.negative_kl(z, posterior, generator),
        }

    def log_weights(self, y: Tensor, latents: int, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; joint samples (z, t) ~ q(z|y) q(t|z), weighted by p(y, z, t) / q(z, t|y)."""
        vae = self.vae
        log_prior = partial(self.second.log_weight, generator=generator)
        return log_importance_weights(y, vae.decode, vae.encode(y), latents, log_prior, generator).T

    def sample(self, count: int, temperature: float, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; the temperature scales the first stage's decoder noise, never gamma_z."""
        return gaussian_sample(*self.vae.decode(self.second.sample(count, generator)), generator, temperature)

    def reconstruct(self, y: Tensor) -> Tensor:
        """The first stage's: its decoder mean at E[z|y], [N, C, H, W]."""
        return self.vae.reconstruct(y)


def build(config: Config) -> TwoStageVAE:
    """The model of a resolved config (section 4.1): training loads the first stage's weights, the second is new."""
    first = build_vae(config["base"])
    return TwoStageVAE(first, SecondStage(first.prior.dims, **config["second_stage"]))
