"""The Glow baseline: exact likelihood against autograd's Jacobian, sampling, initialisation."""

import pytest
import torch
from models_tools import log_abs_det, normal, photo_like, randomise, seeded
from torch import Tensor
from torch.nn.functional import pixel_unshuffle
from torch.testing import assert_close

from vaeglow.models.bounds import total
from vaeglow.models.glow import Glow

pytestmark = pytest.mark.parametrize("coupling", ["additive", "affine", "bounded"])


def moved_glow(coupling: str, channels: int, size: int, scale: float) -> Glow:
    """Two scales, initialised, away from its start."""
    glow = Glow(
        channels,
        size,
        256,
        scales=2,
        depth=2,
        width=8,
        coupling=coupling,
    )
    glow.initialise(photo_like(64, channels, size, noise=0.1))
    return randomise(glow, scale=scale).eval()


def flat_encoding(glow: Glow, y: Tensor) -> Tensor:
    """All noises of each image side by side: [N, D]."""
    return torch.cat([noise.flatten(1) for noise in glow.encode(y)], 1)


def test_likelihood_is_the_change_of_variables_and_decode_inverts_encode(coupling):
    """log p(y) = log N(encode(y); 0, I) + log|det d encode/dy|: steps, splits, split priors and top prior at once."""
    glow = moved_glow(coupling, 1, 4, 0.04).double()
    y = photo_like(3, 1, 4, seed=1, noise=0.1).double()
    log_det = torch.stack([log_abs_det(lambda v: flat_encoding(glow, v), image[None]) for image in y])
    expected = normal(flat_encoding(glow, y), 0.0, 1.0) + log_det
    assert_close(total(glow.log_likelihood(y)), expected)
    assert_close(glow.log_weights(y, 3), expected[:, None].expand(3, 3))
    noises = glow.encode(y)
    assert (glow.decode(noises) - y).abs().max() < 1e-9
    moved = [noise + 0.3 for noise in noises]
    assert_close(glow.encode(glow.decode(moved)), moved, atol=1e-9, rtol=0)


def standardised(values: Tensor) -> None:
    """Every channel has mean 0 and sd 1."""
    mean = values.mean((0, 2, 3))
    deviation = values.std((0, 2, 3), correction=0)
    assert mean.abs().max() < 1e-3
    assert (deviation - 1).abs().max() < 1e-2


def test_initialisation_standardises_every_step(coupling):
    """On the first batch each actnorm, on all levels, leaves mean 0 and sd 1; all priors are standard at first."""
    glow = Glow(
        3,
        8,
        256,
        scales=2,
        depth=3,
        width=8,
        coupling=coupling,
    )
    y = photo_like(64, 3, 8, noise=0.05)
    glow.initialise(y)
    x = y - 0.5
    for steps in glow.steps:
        x = pixel_unshuffle(x, 2)
        for step in steps:
            mixed = step.mix(x)
            rotation = step.conv.weight
            standardised(torch.einsum("ji,njhw->nihw", rotation, mixed))
            kept, _ = mixed.tensor_split(2, 1)
            net = step.coupling.net
            hidden = net.first(kept)
            standardised(hidden)
            standardised(net.second(hidden.relu()))
            x, _ = step(x)
        x, _ = x.chunk(2, 1)
    assert_close(glow.log_likelihood(y)["prior"], normal(flat_encoding(glow, y), 0.0, 1.0))


def test_temperature_multiplies_every_noise(coupling):
    """Of the split levels too; temperature 0 is one image."""
    glow = moved_glow(coupling, 3, 8, 0.02)
    drawn = glow.sample(4, 1.0, seeded(3))
    for noise in glow.encode(drawn):
        assert 0.7 < noise.std() < 1.3
    whole = flat_encoding(glow, drawn)
    half = flat_encoding(glow, glow.sample(4, 0.5, seeded(3)))
    assert_close(half, 0.5 * whole, atol=1e-3, rtol=1e-3)
    cold = glow.sample(3, 0.0, seeded(1))
    assert_close(cold, cold[:1].expand_as(cold))
