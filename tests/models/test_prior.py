"""The prior of the latent (section 3.2); its round trip and Jacobian are in test_flows.py."""

from __future__ import annotations

import math

import pytest
import torch
from models_tools import log_abs_det, one_thread, randomise, seeded  # noqa: F401

from vaeglow.models.prior import FlowPrior, StandardNormalPrior


def standard_normal(value: torch.Tensor) -> torch.Tensor:
    return torch.distributions.Normal(0.0, 1.0).log_prob(value).sum(1)


def test_flow_prior_starts_as_the_standard_normal() -> None:
    """Last layers start at zero, so p(z) = N(0, I) until training moves it."""
    z = torch.randn(4, 6, generator=seeded())
    torch.testing.assert_close(FlowPrior(6, 4, 8).log_prob(z), standard_normal(z))
    torch.testing.assert_close(StandardNormalPrior(6).log_prob(z), standard_normal(z))


def test_log_prob_is_the_change_of_variables() -> None:
    """log p(z) = log N(h(z); 0, I) + log|det dh/dz|, the determinant by autograd."""
    prior = randomise(FlowPrior(5, 4, 8), scale=0.2).double()
    z = torch.randn(3, 5, dtype=torch.float64, generator=seeded())
    eps, _ = prior(z)
    log_det = torch.stack([log_abs_det(lambda v: prior(v)[0], z[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(prior.log_prob(z), standard_normal(eps) + log_det)


def test_density_integrates_to_one() -> None:
    """A moved prior over the plane, by a fine grid."""
    prior = randomise(FlowPrior(2, 4, 16), scale=0.2).double()
    side = torch.linspace(-30, 30, 601, dtype=torch.float64)
    z = torch.cartesian_prod(side, side)
    with torch.no_grad():
        density = prior.log_prob(z).exp()
    assert (density - standard_normal(z).exp()).abs().max() > 0.01  # it did move
    assert math.isclose(density.sum().item() * 0.1**2, 1, abs_tol=2e-3)


@pytest.mark.parametrize("dims", [6, 7])
def test_every_entry_is_changed(dims: int) -> None:
    """Halves alternate: two layers change every entry of z once; four mix all of them."""
    z = torch.randn(1, dims, dtype=torch.float64, generator=seeded())
    for layers in (2, 4):
        prior = randomise(FlowPrior(dims, layers, 16), scale=0.2).double()
        jacobian = torch.autograd.functional.jacobian(lambda v, h=prior: h(v)[0], z).reshape(dims, dims)
        inputs = (jacobian.abs() > 1e-9).sum(1)  # how many entries of z each of eps depends on
        assert (inputs > 1).all()
    assert (inputs == dims).all()


def test_permutations_travel_with_the_weights() -> None:
    """A prior rebuilt and loaded is the same density, whatever order its permutations were drawn in."""
    prior = randomise(FlowPrior(6, 4, 8), scale=0.2)
    other = FlowPrior(6, 4, 8)
    for layer in other.layers:
        layer.permutation.copy_(torch.arange(6))
    other.load_state_dict(prior.state_dict())
    z = torch.randn(3, 6, generator=seeded())
    assert torch.equal(other.log_prob(z), prior.log_prob(z))


def test_log_scale_is_bounded() -> None:
    """However large the network's output, one layer scales by no more than e^2."""
    layer = randomise(FlowPrior(4, 1, 8), scale=30.0).layers[0]
    _, log_scale = layer.shift_and_log_scale(100 * torch.randn(50, 2, generator=seeded()))
    assert log_scale.abs().max() <= 2
    assert log_scale.abs().max() > 1.9
