"""Bits/dim against closed forms: Gaussians whose likelihood and entropy are known, through the evaluation's own code.

A linear-Gaussian VAE (probabilistic PCA), and Glow on Gaussian data.
"""

import math

import pytest
import torch
from models_tools import optimise, seeded
from test_probability import CPU, gauss_legendre
from torch import Tensor
from torch.distributions import MultivariateNormal

from vaeglow.data.loader import dequantise
from vaeglow.evaluation.likelihood import importance_bits_per_dim, one_sample_terms
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import bits_per_dim, quantise, total
from vaeglow.models.glow import Glow
from vaeglow.models.vae import VAE, FlowPrior

SHAPE = {
    "channels": 1,
    "size": 2,
    "levels": 64,
}
SHIFT = 0.7  # of the posterior's mean, in its sds
STRETCH = 1.3  # of its sds
DIVERGENCE = STRETCH**2 + SHIFT**2 - 1 - 2 * math.log(STRETCH)  # KL(q(z|y) | p(z|y)), the same for every y
NOISE = 0.1  # of the decoder: far above the width of a level, so that ten noises u leave almost no gap


class LinearVAE(VAE):
    """x = W z + b + s e; q(z|x) is the true posterior, moved by `SHIFT` of its sds and widened by `STRETCH`."""

    def __init__(self) -> None:
        GenerativeModel.__init__(self, **SHAPE)
        self.prior = FlowPrior(2, 0, 0)
        self.offset = torch.tensor([0.45, 0.5, 0.55, 0.5])
        loadings = torch.tensor([[0.1, 0.02], [0.08, -0.05], [0.05, 0.06], [0.03, 0.09]])
        precision = torch.eye(2) + loadings.T @ loadings / NOISE**2
        turn, values, _ = torch.linalg.svd(precision)
        self.loadings = loadings @ turn  # z in the axes of the posterior, where its covariance is diagonal
        self.scale = values.rsqrt()

    def encode(self, y: Tensor) -> tuple[Tensor, Tensor]:
        mean = (y.flatten(1) - self.offset) @ self.loadings / NOISE**2 * self.scale**2
        return mean + SHIFT * self.scale, (STRETCH * self.scale).log().expand_as(mean)

    def decoder(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.offset + z @ self.loadings.T, z

    def gaussian(self, output: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        mean = output.reshape(-1, *self.shape)
        return mean, torch.full_like(mean, math.log(NOISE))

    @property
    def density(self) -> MultivariateNormal:
        covariance = self.loadings @ self.loadings.T + NOISE**2 * torch.eye(4)
        return MultivariateNormal(self.offset.double(), covariance.double())


def exact_bits(density: MultivariateNormal, images: Tensor) -> Tensor:
    """-log2 P(x) / D, the density integrated over each image's cell by 3^4 Gauss-Legendre nodes: [N]."""
    u, weight = gauss_legendre(4, 3)
    y = (images.flatten(1).double()[:, None] + u) / SHAPE["levels"]
    return -(density.log_prob(y).exp() @ weight / SHAPE["levels"] ** 4).log2() / 4


def test_bits_per_dim_of_a_linear_gaussian_vae():
    """-log2 P(x) / D of discrete images: K = 1000 comes to it, K = 1 lies above it by the divergence."""
    model = LinearVAE().eval()
    density = model.density
    images = quantise(density.sample((1500,)).float(), SHAPE["levels"]).reshape(-1, 1, 2, 2)
    low, high = images.flatten(1).aminmax(dim=1)
    images = images[(low > 0) & (high < SHAPE["levels"] - 1)]
    exact = exact_bits(density, images)
    bits = importance_bits_per_dim(model, images, (1, 10, 100, 1000), 500, 0, CPU)
    shown = [f"\n| vae | {exact.mean():.4f}"]
    above = {}
    error = {}
    for k, values in bits.items():
        gap = values - exact
        above[k] = gap.mean().item()
        error[k] = gap.std().item() / math.sqrt(len(images))
        shown.append(f"{values.mean():.4f} ± {error[k]:.4f}")
    print(" | ".join(shown))
    assert abs(above[1] - DIVERGENCE / 4 / math.log(2)) < 4 * error[1] + 5e-4
    assert abs(above[1000]) < 4 * error[1000] + 5e-4
    assert error[1000] < 2e-3
    assert above[1] > above[10] > above[100] > above[1000]


def gaussian(size: int, sd: float) -> MultivariateNormal:
    """Correlated grey pixels around 1/2, nearer ones more so."""
    side = torch.arange(size, dtype=torch.float64)
    places = torch.cartesian_prod(side, side)
    covariance = sd**2 * 0.8 ** torch.cdist(places, places)
    return MultivariateNormal(torch.full((size**2,), 0.5), covariance.float())


def entropy_bits(density: MultivariateNormal) -> float:
    """Bits/dim that 8-bit images of this density cost at best: its entropy at a resolution of 1/256."""
    return float(density.entropy()) / len(density.mean) / math.log(2) + 8


def glow_excess(model: Glow, density: MultivariateNormal, count: int) -> tuple[float, float]:
    """Mean bits/dim of images of this density above its entropy, and the standard error."""
    images = quantise(density.sample((count,)), 256).reshape(-1, 1, model.size, model.size)
    terms = one_sample_terms(model, images, 5000, 0, CPU)
    bits = bits_per_dim(total(terms), model.dims, 256)
    entropy = entropy_bits(density)
    error = bits.std().item() / math.sqrt(count)
    print(
        f"\nGaussian, {model.size}x{model.size}: entropy {entropy:.4f}, Glow {bits.mean():.4f} ± {error:.4f} bits/dim"
    )
    return bits.mean().item() - entropy, error


@pytest.mark.parametrize("sd", [0.04, 0.08])
@torch.no_grad()
def test_glow_that_whitens_a_gaussian_costs_its_entropy(sd):
    """Actnorm and 1x1 set to the whitening of four correlated pixels."""
    density = gaussian(2, sd)
    model = Glow(
        1,
        2,
        256,
        scales=1,
        depth=1,
        width=4,
        coupling="additive",
    ).eval()
    step = model.steps[0][0]
    step.actnorm.logs.fill_(math.log(3) / 3)  # a factor of 3, which the 1x1 takes back
    step.conv.weight.copy_(torch.linalg.inv(density.scale_tril) / 3)
    excess, error = glow_excess(model, density, 20_000)
    assert error < 0.005
    assert abs(excess) < 4 * error + 1e-4


def test_glow_trained_on_a_gaussian_comes_down_to_its_entropy():
    """And not below it (Gibbs): a likelihood counted in a wrong unit would be, sooner or later."""
    density = gaussian(4, 0.08)
    images = quantise(density.sample((4000,)), 256).reshape(-1, 1, 4, 4)
    model = Glow(
        1,
        4,
        256,
        scales=2,
        depth=2,
        width=8,
        coupling="affine",
    )
    model.initialise(dequantise(images[:256], 256, seeded()))
    optimise(model, images, steps=150)
    excess, error = glow_excess(model, density, 10_000)
    assert -4 * error < excess < 0.05
