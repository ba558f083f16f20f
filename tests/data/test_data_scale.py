"""The convention y = (x + u) / levels with u in [0, 1), and D log levels.

The density p(y) = prod 3 y_i^2 of the unit cube gives P(x) in closed form and leaves no mass outside: its sum over all
images is 1.
"""

import math

import pytest
import torch
from models_tools import all_images
from torch import Tensor

from vaeglow.data.loader import dequantise
from vaeglow.evaluation.likelihood import importance_bits_per_dim
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import quantise

CPU = torch.device("cpu")
SHAPES = [
    {
        "channels": 1,
        "size": 1,
        "levels": 256,
    },
    {
        "channels": 2,
        "size": 1,
        "levels": 4,
    },
]
REPEATS = 300
LN2 = math.log(2)


class Cubic(GenerativeModel):
    """p(y) = prod 3 y_i^2 in the unit cube, 0 outside."""

    bound = "="

    def log_likelihood(self, y: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        values = y.flatten(1)
        inside = ((values >= 0) & (values < 1)).all(1)
        log_density = (3 * values**2).log().sum(1)
        return {"density": torch.where(inside, log_density, -torch.inf)}

    def log_weights(self, y: Tensor, latents: int, generator: torch.Generator | None = None) -> Tensor:
        density = self.log_likelihood(y)["density"]
        return density[:, None].expand(-1, latents)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_image_has_its_probability_in_closed_form(shape):
    """And their sum is 1; quantising undoes dequantising."""
    model = Cubic(**shape)
    levels = shape["levels"]
    images = all_images(**shape)
    repeated = images.repeat(REPEATS, 1, 1, 1)
    bits = importance_bits_per_dim(model, repeated, [10], 100_000, 0, CPU)[10]
    runs = (-bits * model.dims * LN2).exp().reshape(REPEATS, -1)  # P(x) of all images
    means = runs.mean(0)
    errors = runs.std(0) / math.sqrt(REPEATS)
    assert abs(means.sum() - 1) < 4 * errors.norm() + 1e-6
    x = images.flatten(1).double()
    exact = (((x + 1) ** 3 - x**3) / levels**3).prod(1)
    assert ((means - exact).abs() < 5 * errors + 1e-4 * exact).all()
    again = dequantise(images, levels, torch.Generator().manual_seed(0))
    assert torch.equal(quantise(again, levels), images)
