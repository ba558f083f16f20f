"""Evaluation of bits/dim: units by densities in closed form, noise by its seed, refusals."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from models_tools import GREY, data, fitted_model, seeded
from torch import Tensor

from vaeglow.data.loader import dequantise
from vaeglow.errors import UserError
from vaeglow.evaluation.likelihood import evaluate_likelihood, importance_bits_per_dim, one_sample_terms
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import bits_per_dim, total

CPU = torch.device("cpu")


class Uniform(GenerativeModel):
    """p(y) = 1, in two terms."""

    def log_likelihood(self, y: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        return {"one": y.new_ones(len(y)), "two": -y.new_ones(len(y))}


@pytest.mark.parametrize("levels", [2, 32, 256])
def test_uniform_density_costs_all_bits(levels: int) -> None:
    """p(y) = 1 is log2(levels) bits for each dimension, by every way there is."""
    uniform = Uniform(channels=3, size=4, levels=levels)
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


@pytest.mark.parametrize("name", ["vae", "vae_glow", "glow affine"])
def test_evaluation_is_a_function_of_its_seed(name: str) -> None:
    """Twice the same, another seed differs; importance-weighted numbers too; the weights are left alone."""
    made = fitted_model(name, True)
    images = data(GREY)[:20]
    state = {key: tensor.clone() for key, tensor in made.state_dict().items()}
    for call in (
        lambda seed: total(one_sample_terms(made, images, 8, seed, CPU)),
        lambda seed: importance_bits_per_dim(made, images, [20], 8, seed, CPU)[20],
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


@pytest.mark.parametrize("name", ["vae", "vae_glow"])
def test_bounds_are_nested_whatever_the_batches_are(name: str) -> None:
    """The headline's is the first of the K = 10 draws, also where the last batch is a part of one of all images."""
    made, images = fitted_model(name, True), data(GREY)[:20]
    result, per_image = evaluate_likelihood(made, images.numpy(), 8, [10], 5, 0, CPU)
    nested = importance_bits_per_dim(made, images, [1, 10], 8, 0, CPU)
    assert np.allclose(per_image["bits_per_dim_1"], nested[1].numpy(), rtol=1e-5, atol=0)
    assert np.array_equal(per_image["bits_per_dim_10"], nested[10][:5].numpy())
    for draws in (1, 10):
        said = result["importance"][str(draws)]
        assert math.isclose(said["bits_per_dim"], nested[draws][:5].mean().item(), rel_tol=1e-5) and said["images"] == 5


def test_what_is_not_finite_is_an_error() -> None:
    """A broken model, or a number of draws that cannot be had, is refused."""
    broken = copy.deepcopy(fitted_model("vae", True))
    with torch.no_grad():
        broken.encoder.mean.bias[0] = float("nan")
    images = data(GREY)[:4]
    with pytest.raises(UserError, match="not finite for 4 of 4"):
        one_sample_terms(broken, images, 4, 0, CPU)
    with pytest.raises(UserError, match="not finite"):
        importance_bits_per_dim(broken, images, [10], 4, 0, CPU)
    for samples in (0, 15):
        with pytest.raises(UserError, match="importance samples"):
            importance_bits_per_dim(fitted_model("vae", True), images, [10, samples], 4, 0, CPU)
