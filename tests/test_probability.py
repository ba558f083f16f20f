"""Models as probabilities of discrete images: everything is enumerated, so a wrong unit or sign has nowhere to hide.

P(x) = E_u[p((x + u) / levels)] / levels^D. Summed over all images it is the mass that p has in the unit cube:
at most 1, near 1 after training, and equal to the share of the model's own samples that fall into the cube.
"""

from __future__ import annotations

import copy
import functools
import math

import numpy as np
import pytest
import torch
from models_tools import GREY, all_images, data, fitted_model, one_thread, seeded  # noqa: F401
from torch import Tensor

from vaeglow.evaluation.likelihood import importance_bits_per_dim, one_sample_terms
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import bits_per_dim, quantise, total

CPU = torch.device("cpu")


def log_probability(bits: Tensor, dims: int) -> Tensor:
    """log P(x) that a number of bits/dim stands for."""
    return -bits.double() * dims * math.log(2)


@functools.cache
@torch.no_grad()
def estimated_probability(name: str, trained: bool, repeats: int = 40) -> tuple[Tensor, Tensor]:
    """P(x) of all images and its standard error, through the evaluation's own code.

    The importance-weighted estimate of p is unbiased before its logarithm is taken, whatever the number of draws.
    """
    made = fitted_model(name, trained)
    images = all_images(made.channels, made.size, made.levels)
    bits = importance_bits_per_dim(made, images.repeat(repeats, 1, 1, 1), 10, 20_000, 0, CPU)
    runs = log_probability(bits, made.dims).exp().reshape(repeats, -1)
    return runs.mean(0), runs.std(0) / math.sqrt(repeats)


@functools.cache
@torch.no_grad()
def exact_probability(name: str, trained: bool) -> Tensor:
    """P(x) of all 256 grey images by Gauss-Legendre quadrature over u, for a model without a latent: [256]."""
    nodes, weights = np.polynomial.legendre.leggauss(5)
    side, weight = torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)
    u = torch.cartesian_prod(*[side] * 4).reshape(-1, 1, 2, 2)
    product = torch.cartesian_prod(*[weight] * 4).prod(1)
    exact = copy.deepcopy(fitted_model(name, trained)).double()
    values = []
    for x in all_images(1, 2, 4).reshape(16, 16, 1, 1, 2, 2):
        bits = bits_per_dim(total(exact.log_likelihood(((x + u) / 4).flatten(0, 1))), 4, 4)
        values.append(log_probability(bits, 4).exp().reshape(16, -1) @ product)
    return torch.cat(values)


@torch.no_grad()
def samples_in_cube(made: GenerativeModel, count: int) -> tuple[float, Tensor]:
    """Share of samples at temperature 1 inside [0, 1)^D, and the discrete images that those become."""
    y = made.sample(count, 1.0, seeded(11))
    inside = ((y >= 0) & (y < 1)).flatten(1).all(1)
    return inside.double().mean().item(), quantise(y[inside], made.levels)


def number(images: Tensor) -> Tensor:
    """The place of 2x2 grey images of four levels in `all_images`."""
    return (images.flatten(1).long() * torch.tensor([64, 16, 4, 1])).sum(1)


GREY_MODELS = ["glow additive", "glow affine", "vae", "vae isotropic", "vae_glow", "two_stage isotropic"]


@pytest.mark.parametrize("trained", [False, True], ids=["random", "trained"])
@pytest.mark.parametrize("name", [*GREY_MODELS, "vae_glow colour"])
def test_probabilities_sum_to_the_mass_in_the_cube(name: str, trained: bool) -> None:
    """At most 1; after training near it; and what the sampler says, an estimate that shares no code with it."""
    probability, errors = estimated_probability(name, trained, 4 if "colour" in name else 40)
    mass, error = probability.sum().item(), errors.pow(2).sum().sqrt().item()
    count = 20_000
    share, _ = samples_in_cube(fitted_model(name, trained), count)
    sampling_error = math.sqrt(share * (1 - share) / count)
    print(f"{name}: total probability {mass:.4f} +- {error:.4f}, samples inside {share:.4f} +- {sampling_error:.4f}")
    assert error < 0.03
    assert mass <= 1 + 4 * error
    assert abs(mass - share) < 4 * math.hypot(error, sampling_error) + 1e-4
    if trained:
        assert mass > (0.25 if "colour" in name else 0.9)  # black and white alone leave no margin at the edges
    else:
        assert mass > 1e-3


@pytest.mark.parametrize("name", GREY_MODELS)
def test_samples_follow_the_probabilities(name: str) -> None:
    """Image by image: counts among the samples against P(x), by a chi-squared test."""
    probability, errors = estimated_probability(name, True)
    if name.startswith("glow"):
        probability, errors = exact_probability(name, True), torch.zeros(256)
    count = 20_000
    _, images = samples_in_cube(fitted_model(name, True), count)
    observed, expected = torch.bincount(number(images), minlength=256), count * probability
    common = expected > 20
    freedom = common.sum().item()
    variance = expected + (count * errors) ** 2
    chi_squared = ((observed - expected) ** 2 / variance)[common].sum().item()
    print(f"{name}: chi squared {chi_squared:.0f} of {freedom} images")
    assert freedom > 10
    assert chi_squared < freedom + 6 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("trained", [False, True], ids=["random", "trained"])
@pytest.mark.parametrize("name", ["glow additive", "glow affine"])
def test_exact_sum_of_glow(name: str, trained: bool) -> None:
    """By quadrature, without any sampling error: at most 1; and the evaluation's own estimate agrees with it."""
    exact = exact_probability(name, trained).sum().item()
    probability, errors = estimated_probability(name, trained)
    mass, error = probability.sum().item(), errors.pow(2).sum().sqrt().item()
    print(f"{name}: exact total probability {exact:.5f}, estimated {mass:.4f} +- {error:.4f}")
    assert exact <= 1 + 1e-3
    assert abs(exact - mass) < 4 * error + 1e-3
    assert exact > (0.9 if trained else 0.1)


@pytest.mark.parametrize("name", ["glow affine", "vae", "vae_glow"])
def test_one_sample_bound_is_a_bound(name: str) -> None:
    """Jensen: image by image, the mean of the K = 1 bound is at most log P(x), and below it on the whole."""
    probability, errors = estimated_probability(name, True)
    if name.startswith("glow"):
        probability, errors = exact_probability(name, True), torch.zeros(256)
    likely = (probability > 1e-4) & (errors < 0.2 * probability)
    log_exact, relative = probability[likely].log(), (errors / probability)[likely]
    repeats = 100
    images = all_images(1, 2, 4)[likely].repeat(repeats, 1, 1, 1)
    terms = one_sample_terms(fitted_model(name, True), images, 20_000, 0, CPU)
    bound = log_probability(bits_per_dim(total(terms), 4, 4), 4).reshape(repeats, -1)
    error = torch.hypot(bound.std(0) / math.sqrt(repeats), relative)
    gap = log_exact - bound.mean(0)
    print(f"{name}: mean gap {gap.mean():.3f} nats over {len(gap)} images, smallest {(gap / error).min():.1f} errors")
    assert len(gap) > 10
    assert (gap > -4 * error).all()
    assert gap.mean() > 4 * error.pow(2).sum().sqrt() / len(gap)


@pytest.mark.parametrize("name", GREY_MODELS)
def test_bound_tightens_with_more_draws(name: str) -> None:
    """Bits/dim at K = 1, 10, 100 fall, and stay above -log2 P(x) / D."""
    images = data(GREY)
    bits = [importance_bits_per_dim(fitted_model(name, True), images, samples, 500, 0, CPU) for samples in (1, 10, 100)]
    print(f"{name}: bits/dim at K = 1, 10, 100: {[round(values.mean().item(), 4) for values in bits]}")
    for more, fewer in ((bits[1], bits[0]), (bits[2], bits[1]), (bits[2], bits[0])):
        change = more - fewer
        assert change.mean() < 3 * change.std() / math.sqrt(len(change)) + 1e-9
    assert (bits[2] - bits[0]).mean() < -0.02
    if name.startswith("glow"):
        limit = -exact_probability(name, True)[number(images)].log2() / 4
        above = bits[2] - limit
        assert above.mean() > -3 * above.std() / math.sqrt(len(above))
        assert above.mean() < (bits[0] - limit).mean() / 2
