"""P(x) of every image of a tiny model, by quadrature: none of the evaluation's code, no encoder.

P(x) is the mass of p(y) in the cell of x. A decoder's Gaussian is integrated over cells in closed form; what is above
a decoder (a Glow, a Glow layer) by Gauss-Legendre nodes in each cell, in many dimensions by Sobol points; latents by
a grid of their base space. Each at two resolutions: their difference is the error stated.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from models_tools import all_images, fitted_model, shape_of
from torch import Tensor

from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import total
from vaeglow.models.two_stage import TwoStageVAE
from vaeglow.models.vae import VAE
from vaeglow.models.vae_glow import VAEGlow

WIDE = 5.0  # the grid of a latent's base space: -5 to 5 in each of its two dimensions
STEPS = (33, 25)  # of the grid, fine and coarse
NODES = (5, 4)  # of a cell in each of four dimensions
POINTS, SHUFFLES = 32, 8  # Sobol points of a cell in eight, and how often they are scrambled anew


@functools.cache
@torch.no_grad()
def quadratures(name: str, trained: bool) -> Tensor:
    """P(x) of all images in the order of `all_images`, worked out several times: float64 [fine and coarse, 256].

    In eight dimensions [SHUFFLES, 256], all of them as good.
    """
    made = copy.deepcopy(fitted_model(name, trained)).double()
    if isinstance(made, VAE):
        return torch.stack([cell_masses(made, *prior_grid(made, steps)) for steps in STEPS])
    if isinstance(made, TwoStageVAE):
        return torch.stack([cell_masses(made.vae, *second_stage_grid(made, steps)) for steps in STEPS])
    if made.dims > 4:
        return torch.stack([by_points(made, density_of(made, STEPS[0]), seed) for seed in range(SHUFFLES)])
    both = zip(STEPS, NODES, strict=True)
    return torch.stack([by_nodes(made, density_of(made, steps), nodes) for steps, nodes in both])


def exact_probability(name: str, trained: bool) -> tuple[Tensor, Tensor]:
    """P(x) of all images, and its error: float64 [256] each."""
    return settled(quadratures(name, trained))


def exact_sum(name: str, trained: bool) -> tuple[float, float]:
    """The sum of P(x) over all images, and its own error."""
    value, error = settled(quadratures(name, trained).sum(1))
    return value.item(), error.item()


def settled(found: Tensor) -> tuple[Tensor, Tensor]:
    """The best value of several, and its error: the coarse one's distance, or the standard error of the mean."""
    if len(found) == 2:
        return found[0], (found[0] - found[1]).abs()
    return found.mean(0), found.std(0) / math.sqrt(len(found))


def base_grid(steps: int) -> tuple[Tensor, Tensor]:
    """Points of a standard normal plane [n, 2], and what each weighs: together 1 but for the tails."""
    side = torch.linspace(-WIDE, WIDE, steps, dtype=torch.float64)
    points = torch.cartesian_prod(side, side)
    weight = (-0.5 * (points**2).sum(1)).exp() / (2 * torch.pi) * (side[1] - side[0]) ** 2
    return points[weight > 1e-9], weight[weight > 1e-9]


def prior_grid(vae: VAE, steps: int) -> tuple[Tensor, Tensor]:
    """Latents that stand for p(z), by the prior's sampling direction, with their weights."""
    eps, weight = base_grid(steps)
    return vae.prior.inverse(eps)[0], weight


def second_stage_grid(made: TwoStageVAE, steps: int) -> tuple[Tensor, Tensor]:
    """The same for the prior that a second stage is: a grid of z, weighed by p(z) = E_t[p(z|t)] on it."""
    t, weight = base_grid(steps)
    mean, log_scale = made.second.decode(t)
    sides, densities, area = [], [], 1.0
    for m, s in zip(mean.T, log_scale.exp().T, strict=True):
        side = torch.linspace(float((m - WIDE * s).min()), float((m + WIDE * s).max()), 5 * steps, dtype=torch.float64)
        densities.append((-0.5 * ((side[:, None] - m) / s) ** 2).exp() / (s * math.sqrt(2 * math.pi)))  # [5 n, t]
        sides.append(side)
        area *= float(side[1] - side[0])
    return torch.cartesian_prod(*sides), (densities[0] * weight @ densities[1].T).flatten() * area


def cell_masses(vae: VAE, z: Tensor, weight: Tensor) -> Tensor:
    """P(x) = sum over z of its weight times the mass of N(g(z)) in the cell of x: [256]."""
    z, weight = z[weight > 1e-9], weight[weight > 1e-9]
    mean, log_scale = (value.flatten(1) for value in vae.decode(z))
    edges = torch.arange(vae.levels + 1, dtype=torch.float64) / vae.levels
    mass = torch.special.ndtr((edges[:, None, None] - mean) / log_scale.exp()).diff(dim=0)  # [levels, len(z), D]
    images = all_images(vae.channels, vae.size, vae.levels).flatten(1).long()
    product = weight.expand(len(images), -1)
    for pixel in range(images.shape[1]):
        product = product * mass[images[:, pixel], :, pixel]
    return product.sum(1)


def by_nodes(made: GenerativeModel, density: Callable[[Tensor], Tensor], nodes: int) -> Tensor:
    """The integral of a density over each cell by Gauss-Legendre nodes: [256]."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    side, weight = torch.from_numpy((places + 1) / 2), torch.from_numpy(weights / 2)
    u = torch.cartesian_prod(*[side] * made.dims)
    return over_cells(made, density, u) @ torch.cartesian_prod(*[weight] * made.dims).prod(1)


def by_points(made: GenerativeModel, density: Callable[[Tensor], Tensor], seed: int) -> Tensor:
    """The same by scrambled Sobol points, for cells of too many dimensions: [256]."""
    sobol = torch.quasirandom.SobolEngine(made.dims, scramble=True, seed=seed)
    return over_cells(made, density, sobol.draw(POINTS, dtype=torch.float64)).mean(1)


def over_cells(made: GenerativeModel, density: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """A density at places u [n, D] of each cell, times the cell's volume: [256, n]."""
    found = []
    for x in all_images(made.channels, made.size, made.levels).split(16):
        y = ((x[:, None] + u.reshape(-1, *made.shape)) / made.levels).flatten(0, 1)
        found.append(density(y).reshape(len(x), -1))
    return torch.cat(found) / made.levels**made.dims


def density_of(made: GenerativeModel, steps: int) -> Callable[[Tensor], Tensor]:
    """p(y) of images y [N, C, H, W]; of a layer on a VAE |det df/dy| E_z[N(f(y); g(z))], by a grid of base space."""
    if not isinstance(made, VAEGlow):
        return lambda y: total(made.log_likelihood(y)).exp()
    z, weight = prior_grid(made.vae, steps)
    mean, log_scale = (value.flatten(1) for value in made.vae.decode(z))
    precision = (-2 * log_scale).exp()
    # -1/2 sum (x - mean)^2 precision, as one product of matrices; in single precision, for its exponentials' sake
    coefficients = torch.cat([-0.5 * precision, mean * precision], 1).T.float()  # [2 D, len(z)]
    constant = ((-0.5 * mean**2 * precision - log_scale - 0.5 * math.log(2 * math.pi)).sum(1) + weight.log()).float()

    def density(y: Tensor) -> Tensor:
        x, log_det = made.layer(y)
        x = x.flatten(1).float()
        return torch.addmm(constant, torch.cat([x**2, x], 1), coefficients).exp_().sum(1).double() * log_det.exp()

    return density


def number(name: str, images: Tensor) -> Tensor:
    """The place of images in `all_images`."""
    shape = shape_of(name)
    dims = shape["channels"] * shape["size"] ** 2
    return (images.flatten(1).long() * shape["levels"] ** torch.arange(dims - 1, -1, -1)).sum(1)
