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
from models_tools import all_images, one_thread, optimise, randomise, seeded  # noqa: F401
from torch import Tensor

from vaeglow.data.loader import dequantise
from vaeglow.errors import UserError
from vaeglow.evaluation.likelihood import evaluate_likelihood, importance_bits_per_dim, one_sample_terms
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import bits_per_dim, quantise, total
from vaeglow.models.glow import Glow
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.prior import FlowPrior, StandardNormalPrior
from vaeglow.models.vae import VAE
from vaeglow.models.vae_glow import VAEGlow

CPU = torch.device("cpu")
GREY = {"channels": 1, "size": 2, "levels": 4}  # 256 images
COLOUR = {"channels": 3, "size": 2, "levels": 2}  # 4096 images


def build_vae(shape: dict[str, int], noise: str, flow_prior: bool) -> VAE:
    prior = FlowPrior(2, 4, 16) if flow_prior else StandardNormalPrior(2)
    network = {"num_scale": 1, "base_dim": 8, "fc_dim": 16, "latent_dim": 2, "batch_norm_momentum": 0.1}
    return VAE(**shape, prior=prior, decoder_noise=noise, **network)


@torch.no_grad()
def start_sharp(vae: VAE) -> None:
    """Decoder noise near the data's, not 1: shortens the training, and keeps random models within the cube."""
    (vae.decoder.last.bias[vae.channels :] if vae.diagonal else vae.raw_log_scale).fill_(-1.5)


def data(shape: dict[str, int]) -> Tensor:
    """A few hundred images of nearly equal pixels, the darkest and the brightest levels rare where there are four."""
    generator = seeded(9)
    levels, size = shape["levels"], shape["size"]
    brightness = torch.rand(500, 1, 1, 1, generator=generator) * 0.6 + 0.2
    images = brightness + 0.08 * torch.randn(500, shape["channels"], size, size, generator=generator)
    return quantise(images, levels).clamp(min(1, levels - 2), max(1, levels - 2))


@functools.cache
def model(name: str, trained: bool) -> GenerativeModel:
    """A tiny model, with random weights (nothing at its start) or fitted to `data`."""
    torch.manual_seed(1)
    if name.startswith("glow"):
        shape = GREY
        made: GenerativeModel = Glow(**shape, scales=1, depth=4, width=16, coupling=name.split()[1])
    else:
        shape = COLOUR if "colour" in name else GREY
        made = build_vae(shape, "isotropic" if "isotropic" in name else "diagonal", "isotropic" not in name)
        start_sharp(made)
    if name.startswith("vae_glow"):
        vae = made if not trained else copy.deepcopy(made)
        if trained:
            optimise(vae, data(shape), steps=150)
        made = VAEGlow(vae, GlowLayer(shape["channels"], 4, 16, 1 if "colour" in name else 2))
    y = dequantise(data(shape), shape["levels"], seeded(2))
    made.initialise(y)
    if trained:
        optimise(made, data(shape), steps=200)
    else:
        randomise(made, scale=0.05)
    return made.eval()


def log_probability(bits: Tensor, dims: int) -> Tensor:
    """log P(x) that a number of bits/dim stands for."""
    return -bits.double() * dims * math.log(2)


@functools.cache
@torch.no_grad()
def estimated_probability(name: str, trained: bool, repeats: int = 40) -> tuple[Tensor, Tensor]:
    """P(x) of all images and its standard error, through the evaluation's own code.

    The importance-weighted estimate of p is unbiased before its logarithm is taken, whatever the number of draws.
    """
    made = model(name, trained)
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
    exact = copy.deepcopy(model(name, trained)).double()
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


GREY_MODELS = ["glow additive", "glow affine", "vae", "vae isotropic", "vae_glow"]


@pytest.mark.parametrize("trained", [False, True], ids=["random", "trained"])
@pytest.mark.parametrize("name", [*GREY_MODELS, "vae_glow colour"])
def test_probabilities_sum_to_the_mass_in_the_cube(name: str, trained: bool) -> None:
    """At most 1; after training near it; and what the sampler says, an estimate that shares no code with it."""
    probability, errors = estimated_probability(name, trained, 4 if "colour" in name else 40)
    mass, error = probability.sum().item(), errors.pow(2).sum().sqrt().item()
    count = 20_000
    share, _ = samples_in_cube(model(name, trained), count)
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
    _, images = samples_in_cube(model(name, True), count)
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
    terms = one_sample_terms(model(name, True), images, 20_000, 0, CPU)
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
    bits = [importance_bits_per_dim(model(name, True), images, samples, 500, 0, CPU) for samples in (1, 10, 100)]
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


class Known(GenerativeModel):
    """p(y) = prod power y_i^(power - 1): P(x) has a closed form. Power 1 is the uniform density."""

    bound = "="

    def __init__(self, power: int, **shape: int) -> None:
        super().__init__(**shape)
        self.power = power

    def log_likelihood(self, y: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Two terms, as other models have."""
        flat = y.flatten(1)
        return {"one": math.log(self.power) * torch.ones_like(flat).sum(1), "two": (self.power - 1) * flat.log().sum(1)}

    def log_weights(self, y: Tensor, latents: int, generator: torch.Generator | None = None) -> Tensor:
        """The density in each column."""
        return total(self.log_likelihood(y))[:, None].expand(-1, latents)


@pytest.mark.parametrize("levels", [2, 32, 256])
def test_uniform_density_costs_all_bits(levels: int) -> None:
    """p(y) = 1 is log2(levels) bits for each dimension, by every way there is."""
    uniform = Known(1, channels=3, size=4, levels=levels)
    images = torch.randint(0, levels, (5, 3, 4, 4), generator=seeded()).to(torch.uint8)
    bits = math.log2(levels)
    assert math.isclose(bits_per_dim(torch.zeros(()), 48, levels).item(), bits, rel_tol=1e-6)
    result, per_image = evaluate_likelihood(uniform, images.numpy(), 2, [10], 3, 0, CPU)
    assert math.isclose(result["bits_per_dim"], bits, rel_tol=1e-6)
    assert math.isclose(result["importance"]["10"]["bits_per_dim"], bits, rel_tol=1e-6)
    assert math.isclose(sum(result["terms"].values()), bits, rel_tol=1e-6)
    assert (result["images"], result["importance"]["10"]["images"]) == (5, 3)
    assert per_image["bits_per_dim_1"].shape == (5,)
    loss, _ = uniform.loss(dequantise(images, levels, seeded()))
    assert math.isclose(loss.item(), bits, rel_tol=1e-6)
    assert math.isclose(bits_per_dim(torch.tensor(48 * math.log(2)), 48, levels).item(), bits - 1, abs_tol=1e-6)


def test_known_density() -> None:
    """p(y) = prod 2 y_i: P(x) = prod (2 x_i + 1) / levels^2; many draws come to it, one is above it on average."""
    known = Known(2, channels=1, size=1, levels=4)
    images = torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1)
    exact = -torch.log2((2 * torch.arange(4.0, dtype=torch.float64) + 1) / 16)
    many = images.repeat(2000, 1, 1, 1)
    tight = importance_bits_per_dim(known, many, 10, 8000, 0, CPU).reshape(2000, 4).mean(0)
    one = bits_per_dim(total(one_sample_terms(known, many, 8000, 0, CPU)), 1, 4).reshape(2000, 4).mean(0)
    torch.testing.assert_close(tight, exact, atol=0.06, rtol=0)
    assert (one > exact).all()
    assert (tight < one).all()


@pytest.mark.parametrize("name", ["vae", "vae_glow", "glow affine"])
def test_evaluation_is_a_function_of_its_seed(name: str) -> None:
    """Twice the same, another seed differs; importance-weighted numbers too; the weights are left alone."""
    made = model(name, True)
    images = data(GREY)[:20]
    state = {key: tensor.clone() for key, tensor in made.state_dict().items()}
    for call in (
        lambda seed: total(one_sample_terms(made, images, 8, seed, CPU)),
        lambda seed: importance_bits_per_dim(made, images, 20, 8, seed, CPU),
    ):
        torch.manual_seed(0)
        first = call(3)
        torch.manual_seed(1)
        assert torch.equal(first, call(3))
        assert not torch.equal(first, call(4))
        assert first.dtype == torch.float64
    assert all(torch.equal(tensor, state[key]) for key, tensor in made.state_dict().items())
    repeated = total(one_sample_terms(made, images[:1].repeat(20, 1, 1, 1), 8, 0, CPU))
    assert len(repeated.unique()) == 20  # fresh noise for each image of a batch, and for each batch


def test_what_is_not_finite_is_an_error() -> None:
    """A broken model, or a number of draws that cannot be had, is refused."""
    broken = copy.deepcopy(model("vae", True))
    with torch.no_grad():
        broken.encoder.mean.bias[0] = float("nan")
    images = data(GREY)[:4]
    with pytest.raises(UserError, match="not finite for 4 of 4"):
        one_sample_terms(broken, images, 4, 0, CPU)
    with pytest.raises(UserError, match="not finite"):
        importance_bits_per_dim(broken, images, 10, 4, 0, CPU)
    for samples in (0, 15):
        with pytest.raises(UserError, match="importance samples"):
            importance_bits_per_dim(model("vae", True), images, samples, 4, 0, CPU)
