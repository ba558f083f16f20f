"""P(x) of every image of a tiny model, by quadrature: none of the evaluation's code, no encoder, no sampling error.

P(x) is the mass of p(y) in the cell of x. A decoder's Gaussian is integrated over cells in closed form; what is above
a decoder (a Glow, a Glow layer) by Gauss-Legendre nodes in each cell; latents by a grid of their base space.
"""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch
from models_tools import all_images, fitted_model, shape_of
from torch import Tensor

from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import total
from vaeglow.models.two_stage import TwoStageVAE
from vaeglow.models.vae import VAE
from vaeglow.models.vae_glow import VAEGlow

NODES = 5  # of a cell, in each dimension
WIDE, STEPS = 5.0, 33  # the grid of a latent's base space: -5 to 5 in each of its two dimensions


@functools.cache
@torch.no_grad()
def exact_probability(name: str, trained: bool) -> Tensor:
    """P(x) of all images of a grey model, in the order of `all_images`: float64 [256]."""
    made = copy.deepcopy(fitted_model(name, trained)).double()
    if isinstance(made, VAE | TwoStageVAE):
        vae, (z, weight) = (made, prior_grid(made)) if isinstance(made, VAE) else (made.vae, second_stage_grid(made))
        return cell_masses(vae, z, made.levels) @ weight
    return by_nodes(made)


def base_grid() -> tuple[Tensor, Tensor]:
    """Points of a standard normal plane [STEPS^2, 2], and what each weighs (a sum of 1 but for the tails)."""
    side = torch.linspace(-WIDE, WIDE, STEPS, dtype=torch.float64)
    points = torch.cartesian_prod(side, side)
    step = side[1] - side[0]
    return points, (-0.5 * (points**2).sum(1)).exp() / (2 * torch.pi) * step**2


def prior_grid(vae: VAE) -> tuple[Tensor, Tensor]:
    """Latents that stand for p(z), by the prior's sampling direction, with their weights."""
    eps, weight = base_grid()
    return vae.prior.inverse(eps)[0], weight


def second_stage_grid(made: TwoStageVAE) -> tuple[Tensor, Tensor]:
    """The same for the prior that a second stage is: a grid of z, weighed by p(z) = E_t[p(z|t)] on it."""
    t, weight = base_grid()
    mean, log_scale = made.second.decode(t)
    scale = log_scale.exp()
    low, high = (mean - WIDE * scale).amin(0), (mean + WIDE * scale).amax(0)
    low, high = low.clamp(min=-8.0), high.clamp(max=8.0)
    sides = [torch.linspace(float(a), float(b), 161, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    z = torch.cartesian_prod(*sides)
    step = (sides[0][1] - sides[0][0]) * (sides[1][1] - sides[1][0])
    log_density = -0.5 * ((z[:, None] - mean) / scale) ** 2 - log_scale - 0.5 * np.log(2 * np.pi)
    return z, log_density.sum(2).exp() @ weight * step


def cell_masses(vae: VAE, z: Tensor, levels: int) -> Tensor:
    """The mass of N(g(z)) in the cell of each image: [256, len(z)]."""
    mean, log_scale = (value.flatten(1) for value in vae.decode(z))
    edges = torch.arange(levels + 1, dtype=torch.float64) / levels
    below = torch.special.ndtr((edges[:, None, None] - mean) / log_scale.exp())  # [levels + 1, len(z), D]
    mass = below.diff(dim=0)
    images = all_images(vae.channels, vae.size, levels).flatten(1).long()
    product = torch.ones(len(images), len(z), dtype=torch.float64)
    for pixel in range(images.shape[1]):
        product *= mass[images[:, pixel], :, pixel]
    return product


def by_nodes(made: GenerativeModel) -> Tensor:
    """P(x) of a model whose density has to be integrated over each cell."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    side, weight = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
    u = torch.cartesian_prod(*[side] * made.dims).reshape(-1, *made.shape)
    product = torch.cartesian_prod(*[weight] * made.dims).prod(1)
    density = layered(made) if isinstance(made, VAEGlow) else lambda y: total(made.log_likelihood(y)).exp()
    images = all_images(made.channels, made.size, made.levels)
    found = []
    for x in images.split(16):
        y = ((x[:, None] + u) / made.levels).flatten(0, 1)
        found.append(density(y).reshape(len(x), -1) @ product)
    return torch.cat(found) / made.levels**made.dims


def layered(made: VAEGlow):
    """p(y) = |det df/dy| E_z[N(f(y); g(z))], the expectation over a grid of the prior's base space."""
    z, weight = prior_grid(made.vae)
    z, weight = z[weight > 1e-9], weight[weight > 1e-9]
    mean, log_scale = (value.flatten(1) for value in made.vae.decode(z))
    precision = (-2 * log_scale).exp()
    # -1/2 sum (x - mean)^2 precision, as one product of matrices
    coefficients = torch.cat([-0.5 * precision, mean * precision], 1).T  # [2 D, len(z)]
    constant = (-0.5 * mean**2 * precision - log_scale - 0.5 * np.log(2 * np.pi)).sum(1) + weight.log()

    def density(y: Tensor) -> Tensor:
        x, log_det = made.layer(y)
        x = x.flatten(1)
        return (torch.cat([x**2, x], 1) @ coefficients + constant).exp().sum(1) * log_det.exp()

    return density


def number(name: str, images: Tensor) -> Tensor:
    """The place of images in `all_images`."""
    shape = shape_of(name)
    dims = shape["channels"] * shape["size"] ** 2
    return (images.flatten(1).long() * shape["levels"] ** torch.arange(dims - 1, -1, -1)).sum(1)
