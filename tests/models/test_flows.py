"""Every bijection: round trips, log-determinants against autograd's Jacobian, identity start, actnorm, prior."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from models_tools import changed, log_abs_det, normal, photo_like, randomise, seeded, snapshot
from torch import nn

from vaeglow.models.flows import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    CouplingNet,
    Flow,
    InvertibleConv1x1,
    Squeeze,
    pixels,
)
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.glow_steps import GlowStep
from vaeglow.models.prior import FlowPrior, VectorCoupling

# name -> (how to make it, shape of one input)
FLOWS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "actnorm": (lambda: ActNorm(3), (3, 2, 4)),
    "conv": (lambda: InvertibleConv1x1(4), (4, 2, 2)),
    "additive": (lambda: AdditiveCoupling(4, 8), (4, 2, 2)),
    "additive 3": (lambda: AdditiveCoupling(3, 8), (3, 2, 4)),
    "affine": (lambda: AffineCoupling(4, 8), (4, 2, 2)),
    "affine 3": (lambda: AffineCoupling(3, 8), (3, 2, 4)),
    "squeeze 2": (lambda: Squeeze(2), (2, 4, 2)),
    "squeeze 4": (lambda: Squeeze(4), (1, 4, 4)),
    "additive step": (lambda: GlowStep(3, 8, "additive"), (3, 2, 2)),
    "affine step": (lambda: GlowStep(4, 8, "affine"), (4, 2, 2)),
    "layer 1": (lambda: GlowLayer(3, 3, 8, 1), (3, 2, 2)),
    "layer 2": (lambda: GlowLayer(3, 3, 8, 2), (3, 4, 4)),
    "layer 2 grey": (lambda: GlowLayer(1, 3, 8, 2), (1, 4, 4)),
    "layer 4": (lambda: GlowLayer(1, 3, 8, 4), (1, 4, 8)),
    "vector": (lambda: VectorCoupling(6, 8, flip=False, seed=1), (6,)),
    "vector odd flipped": (lambda: VectorCoupling(5, 8, flip=True, seed=4), (5,)),
    "prior": (lambda: FlowPrior(5, 4, 8), (5,)),
}
X_DEPENDENT = {name for name in FLOWS if name.startswith(("affine", "vector", "prior"))}
VOLUME_PRESERVING = {name for name in FLOWS if name.startswith("squeeze")} | {"additive", "additive 3"}


def make(name: str) -> tuple[Flow, torch.Tensor]:
    """A randomised flow in float64, initialised from data where it can be, and three inputs."""
    build, shape = FLOWS[name]
    flow = build()
    x = torch.randn(3, *shape, generator=seeded(1)) * 0.7 + 0.2
    if isinstance(flow, Flow):
        flow.initialise(torch.randn(16, *shape, generator=seeded(2)) * 0.5 + 1.0)
    return randomise(flow, scale=0.08).double(), x.double()


@pytest.mark.parametrize("name", FLOWS)
def test_round_trip(name: str) -> None:
    """Both ways, and the flow does something."""
    flow, x = make(name)
    y, log_det = flow(x)
    back, inverse_log_det = flow.inverse(y)
    assert (back - x).abs().max() < 1e-9
    torch.testing.assert_close(inverse_log_det, -log_det)
    other = torch.randn(y.shape, dtype=y.dtype, generator=seeded(3))
    assert (flow(flow.inverse(other)[0])[0] - other).abs().max() < 1e-9
    assert y.shape != x.shape or (y - x).abs().max() > 0.01


@pytest.mark.parametrize("name", FLOWS)
def test_log_det_is_the_jacobians(name: str) -> None:
    """Forward and inverse, image by image in one batch."""
    flow, x = make(name)
    y, forward = flow(x)
    _, inverse = flow.inverse(y)
    forward, inverse = forward.expand(len(x)), inverse.expand(len(x))
    for i in range(len(x)):
        torch.testing.assert_close(forward[i], log_abs_det(lambda v: flow(v)[0], x[i : i + 1]))
        torch.testing.assert_close(inverse[i], log_abs_det(lambda v: flow.inverse(v)[0], y[i : i + 1]))
    assert (forward.std() > 1e-3) == (name in X_DEPENDENT)
    assert (forward.abs().max() < 1e-12) == (name in VOLUME_PRESERVING)


@pytest.mark.parametrize("squeeze", [1, 2, 4])
def test_layer_in_single_precision(squeeze: int) -> None:
    """The paper's depth, weights away from the start: f^-1(f(x)) within 1e-4 in float32."""
    x = photo_like(8, 3, 16)
    layer = GlowLayer(3, 32, 16, squeeze)
    layer.initialise(x)
    randomise(layer, scale=0.01)
    y, log_det = layer(x)
    back, inverse_log_det = layer.inverse(y)
    assert (y - x).abs().max() > 0.01
    assert (back - x).abs().max() < 1e-4
    torch.testing.assert_close(inverse_log_det, -log_det)


@pytest.mark.parametrize("name", ["layer 1", "layer 2", "layer 4"])
def test_layer_is_its_steps_and_a_step_its_flows(name: str) -> None:
    """Values and log-determinants, one flow after the other: actnorm, 1x1 and coupling, then the closing 1x1."""
    layer, x = make(name)
    y, _ = layer.squeeze(x)
    summed = pixels(y) * torch.linalg.slogdet(layer.closing_weight)[1]
    for step in layer.steps:
        for flow in (step.actnorm, step.conv, step.coupling):
            y, log_det = flow(y)
            summed = summed + log_det
    y = torch.einsum("ij,njhw->nihw", layer.closing_weight, y) + layer.closing_bias[:, None, None]
    whole, log_det = layer(x)
    torch.testing.assert_close(whole, layer.squeeze.inverse(y)[0])
    torch.testing.assert_close(log_det, summed)
    assert log_det.ndim == 0


def test_couplings_by_hand() -> None:
    """Which half changes and how: x2 + net(x1), and (x2 + shift) * sigmoid(raw + 2)."""
    for channels, kept in ((3, 1), (12, 6)):
        x = torch.randn(2, channels, 4, 4, dtype=torch.float64, generator=seeded())
        additive = randomise(AdditiveCoupling(channels, 8)).double()
        y, _ = additive(x)
        assert torch.equal(y[:, :kept], x[:, :kept])
        torch.testing.assert_close(y[:, kept:] - x[:, kept:], additive.net(x[:, :kept]))
        affine = randomise(AffineCoupling(channels, 8)).double()
        y, log_det = affine(x)
        shift, raw = affine.net(x[:, :kept]).chunk(2, 1)
        scale = torch.sigmoid(raw + 2)
        torch.testing.assert_close(y[:, kept:], (x[:, kept:] + shift) * scale)
        torch.testing.assert_close(log_det, scale.log().sum((1, 2, 3)))


def test_squeeze_gathers_neighbours() -> None:
    """Space to depth: each 2x2 block of one channel becomes four channels of one pixel."""
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    y, _ = Squeeze(2)(x)
    assert y.shape == (1, 8, 2, 2)
    assert y[0, :4, 0, 1].tolist() == x[0, 0, :2, 2:].flatten().tolist()
    assert y[0, 4:, 1, 0].tolist() == x[0, 1, 2:, :2].flatten().tolist()


def standardised(values: torch.Tensor) -> None:
    """Every channel has mean 0 and sd 1."""
    channels = values.shape[1]
    torch.testing.assert_close(values.mean((0, 2, 3)), torch.zeros(channels), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std((0, 2, 3), correction=0), torch.ones(channels), atol=1e-2, rtol=0)


def test_actnorms_standardise_the_first_batch_only() -> None:
    """Those in a coupling net, too, whose output starts at 0, so that couplings start as nothing."""
    x = photo_like(16, 3, 8)
    actnorm, net = ActNorm(3), CouplingNet(3, 16, 5)
    standardised(actnorm.initialise(x))
    net.initialise(x)
    hidden = net.first(x)
    standardised(hidden)
    standardised(net.second(hidden.relu()))
    assert net(x).shape == (16, 5, 8, 8) and not net(x).any()
    for module in (actnorm, net):
        before = snapshot(module)
        module.initialise(5 * x + 3)
        assert changed(module, before) == set()


@pytest.mark.parametrize("noise", [0.01, 0.0011])  # the second is the noise of dequantised grey pictures
@pytest.mark.parametrize("squeeze", [1, 2, 4])
def test_layer_starts_as_the_identity(squeeze: int, noise: float) -> None:
    """At the paper's depth on badly scaled, correlated channels, on other data too: f(x) = x and log|det| = 0."""
    layer = GlowLayer(3, 32, 8, squeeze)
    layer.initialise(photo_like(32, 3, 16, seed=1, noise=noise))
    assert layer.steps[0].actnorm.log_scale().abs().max() > 0.1  # actnorm does act
    x = photo_like(8, 3, 16, seed=2)
    y, log_det = layer(x)
    assert (y - x).abs().max() < 1e-4
    assert (layer.inverse(x)[0] - x).abs().max() < 1e-4
    assert log_det.abs() / x[0].numel() < 1e-5


# ------------------------------------------------------------------------------------- the latent's prior


def test_flow_prior_starts_as_the_standard_normal_and_is_it_without_layers() -> None:
    z = torch.randn(4, 6, generator=seeded())
    torch.testing.assert_close(FlowPrior(6, 4, 8).log_prob(z), normal(z, 0.0, 1.0))
    torch.testing.assert_close(FlowPrior(6, 0, 0).log_prob(z), normal(z, 0.0, 1.0))


def test_density_of_the_prior_integrates_to_one() -> None:
    """A moved prior over the plane, by a fine grid."""
    prior = randomise(FlowPrior(2, 4, 16), scale=0.2).double()
    side = torch.linspace(-30, 30, 601, dtype=torch.float64)
    z = torch.cartesian_prod(side, side)
    with torch.no_grad():
        density = prior.log_prob(z).exp()
    assert (density - normal(z, 0.0, 1.0).exp()).abs().max() > 0.01  # it did move
    assert math.isclose(density.sum().item() * 0.1**2, 1, abs_tol=2e-3)


@pytest.mark.parametrize("dims", [6, 7])
def test_every_entry_of_the_latent_is_changed(dims: int) -> None:
    """Halves alternate: two layers change every entry of z once; four mix all of them."""
    z = torch.randn(1, dims, dtype=torch.float64, generator=seeded())
    for layers in (2, 4):
        prior = randomise(FlowPrior(dims, layers, 16), scale=0.2).double()
        jacobian = torch.autograd.functional.jacobian(lambda v, h=prior: h(v)[0], z).reshape(dims, dims)
        inputs = (jacobian.abs() > 1e-9).sum(1)  # how many entries of z each of eps depends on
        assert (inputs > 1).all()
    assert (inputs == dims).all()


def test_log_scale_of_the_prior_is_bounded() -> None:
    """However large the network's output, one layer scales by no more than e^2."""
    layer = randomise(FlowPrior(4, 1, 8), scale=30.0).layers[0]
    _, log_scale = layer.shift_and_log_scale(100 * torch.randn(50, 2, generator=seeded()))
    assert 1.9 < log_scale.abs().max() <= 2
