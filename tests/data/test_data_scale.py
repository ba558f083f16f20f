"""The convention y = (x + u) / levels with u in [0, 1), and D log levels: each way to get it wrong breaks an identity.

The density p(y) = prod 3 y_i^2 of the unit cube gives P(x) in closed form and leaves no mass outside: its sum over all
images is 1. The evaluation is run as it is, and with one thing about its convention changed.
"""

import math

import pytest
import torch
from models_tools import all_images
from torch import Tensor

from vaeglow.errors import UserError
from vaeglow.evaluation import likelihood
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


# What could be thought to be dequantisation, and its number.
DEQUANTISED = {
    "x / 255": lambda x, u, levels: (x + u) / (levels - 1),
    "no noise": lambda x, u, levels: x / levels,
    "the middle of a level": lambda x, u, levels: (x + 0.5) / levels,
    "noise in (-1/2, 1/2)": lambda x, u, levels: (x + u - 0.5) / levels,
    "half the noise": lambda x, u, levels: (x + 0.5 * u) / levels,
    "noise of [0, 1) on scaled data": lambda x, u, levels: x / levels + u,
    "Gaussian noise": lambda x, u, levels: (x + torch.special.ndtri(u)) / levels,
    "data in (-1, 1)": lambda x, u, levels: 2 * (x + u) / levels - 1,
    "data around 0": lambda x, u, levels: (x + u) / levels - 0.5,
}
CONVERTED = {
    "D log 255": lambda p, dims, levels: -(p - dims * math.log(levels - 1)) / (dims * LN2),
    "no D log 256": lambda p, dims, levels: -p / (dims * LN2),
    "log 256 once an image": lambda p, dims, levels: -(p - math.log(levels) / 2) / (dims * LN2),
    "nats": lambda p, dims, levels: -(p - dims * math.log(levels)) / dims,
    "the sign of D log 256": lambda p, dims, levels: -(p + dims * math.log(levels)) / (dims * LN2),
}


def check(shape: dict[str, int]) -> None:
    """The identities: the sum is 1, every P(x) is its closed form, and quantising undoes dequantising."""
    model = Cubic(**shape)
    levels = shape["levels"]
    images = all_images(**shape)
    repeated = images.repeat(REPEATS, 1, 1, 1)
    bits = likelihood.importance_bits_per_dim(model, repeated, [10], 100_000, 0, CPU)[10]
    runs = (-bits * model.dims * LN2).exp().reshape(REPEATS, -1)  # P(x) of all images
    means = runs.mean(0)
    errors = runs.std(0) / math.sqrt(REPEATS)
    assert abs(means.sum() - 1) < 4 * errors.norm() + 1e-6, "sum"
    x = images.flatten(1).double()
    exact = (((x + 1) ** 3 - x**3) / levels**3).prod(1)
    assert ((means - exact).abs() < 5 * errors + 1e-4 * exact).all(), "image by image"
    again = likelihood.dequantise(images, levels, torch.Generator().manual_seed(0))
    assert torch.equal(quantise(again, levels), images), "quantise"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wrong", ["", *DEQUANTISED, *CONVERTED])
def test_the_convention_alone_keeps_every_identity(wrong, shape, monkeypatch):
    if wrong in DEQUANTISED:
        made = DEQUANTISED[wrong]
        monkeypatch.setattr(
            likelihood, "dequantise", lambda x, levels, g: made(x, torch.rand(x.shape, generator=g), levels)
        )
    if wrong in CONVERTED:
        monkeypatch.setattr(likelihood, "bits_per_dim", CONVERTED[wrong])
    if not wrong:
        check(shape)
        return
    with pytest.raises((AssertionError, UserError), match="sum" if wrong in CONVERTED else None):
        check(shape)
