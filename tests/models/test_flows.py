"""Every bijection: round trips, log-determinants against autograd's Jacobian, the identity start, actnorm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from models_tools import log_abs_det, one_thread, photo_like, randomise, seeded  # noqa: F401
from torch import nn

from vaeglow.models.coupling_net import CouplingNet
from vaeglow.models.flows import ActNorm, AdditiveCoupling, AffineCoupling, Flow, InvertibleConv1x1, Squeeze, pixels
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
    "vector flipped": (lambda: VectorCoupling(6, 8, flip=True, seed=2), (6,)),
    "vector odd": (lambda: VectorCoupling(5, 8, flip=False, seed=3), (5,)),
    "vector odd flipped": (lambda: VectorCoupling(5, 8, flip=True, seed=4), (5,)),
    "prior": (lambda: FlowPrior(5, 4, 8), (5,)),
}
X_DEPENDENT = {name for name in FLOWS if name.startswith(("affine", "vector", "prior"))}
VOLUME_PRESERVING = {name for name in FLOWS if name.startswith("squeeze")} | {"additive", "additive 3"}


def make(name: str) -> tuple[Flow, torch.Tensor]:
    """A randomised flow in float64, initialised from data where it can be, and three inputs."""
    build, shape = FLOWS[name]
    torch.manual_seed(0)
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
    torch.manual_seed(0)
    x = photo_like(8, 3, 16)
    layer = GlowLayer(3, 32, 16, squeeze)
    layer.initialise(x)
    randomise(layer, scale=0.01)
    y, log_det = layer(x)
    back, inverse_log_det = layer.inverse(y)
    assert (y - x).abs().max() > 0.01
    assert (back - x).abs().max() < 1e-4
    torch.testing.assert_close(inverse_log_det, -log_det)


def test_step_applies_actnorm_then_conv() -> None:
    """The merged colour map is the two flows one after the other, values and log-determinant."""
    step, x = make("additive step")
    y, actnorm_log_det = step.actnorm(x)
    y, conv_log_det = step.conv(y)
    y, _ = step.coupling(y)
    merged, log_det = step(x)
    torch.testing.assert_close(merged, y)
    torch.testing.assert_close(log_det, actnorm_log_det + conv_log_det)


@pytest.mark.parametrize("name", ["layer 1", "layer 2", "layer 4"])
def test_layer_is_its_steps(name: str) -> None:
    """The constant log-determinant is the sum of the steps' own and the closing 1x1's."""
    layer, x = make(name)
    y, _ = layer.squeeze(x)
    summed = pixels(y) * torch.linalg.slogdet(layer.closing_weight)[1]
    for step in layer.steps:
        y, log_det = step(y)
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


def test_actnorm_standardises_the_first_batch_only() -> None:
    """Mean 0 and sd 1 a channel after the first batch; a second one changes nothing."""
    x = photo_like(16, 3, 8)
    actnorm = ActNorm(3)
    y = actnorm.initialise(x)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-3, rtol=0)
    before = {name: tensor.clone() for name, tensor in actnorm.state_dict().items()}
    actnorm.initialise(5 * x + 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in actnorm.state_dict().items())


def test_coupling_net_starts_standardised_and_at_zero() -> None:
    """Both hidden layers leave the first batch with mean 0 and sd 1; the output is 0, so couplings start as nothing."""
    torch.manual_seed(0)
    net = CouplingNet(2, 16, 5)
    x = photo_like(8, 2, 8)
    net.initialise(x)
    hidden = net.first(x)
    for values in (hidden, net.second(hidden.relu())):
        torch.testing.assert_close(values.mean((0, 2, 3)), torch.zeros(16), atol=1e-4, rtol=0)
        torch.testing.assert_close(values.std((0, 2, 3), correction=0), torch.ones(16), atol=1e-2, rtol=0)
    assert net(x).shape == (8, 5, 8, 8)
    assert not net(x).any()


@pytest.mark.parametrize("noise", [0.01, 0.0011])  # the second is the noise of dequantised grey pictures
@pytest.mark.parametrize("squeeze", [1, 2, 4])
def test_layer_starts_as_the_identity(squeeze: int, noise: float) -> None:
    """At the paper's depth on badly scaled, correlated channels, on other data too: f(x) = x and log|det| = 0."""
    torch.manual_seed(0)
    layer = GlowLayer(3, 32, 8, squeeze)
    layer.initialise(photo_like(32, 3, 16, seed=1, noise=noise))
    assert all(step.actnorm.log_scale().abs().max() > 0.1 for step in layer.steps[:1])  # actnorm does act
    x = photo_like(8, 3, 16, seed=2)
    y, log_det = layer(x)
    assert (y - x).abs().max() < 1e-4
    assert (layer.inverse(x)[0] - x).abs().max() < 1e-4
    assert log_det.abs() / x[0].numel() < 1e-5


def test_layer_is_initialised_once() -> None:
    """A trained layer keeps its closing 1x1 and all else when it is asked to initialise again."""
    torch.manual_seed(0)
    layer = GlowLayer(3, 4, 8, 2)
    layer.initialise(photo_like(8, 3, 8))
    randomise(layer, scale=0.05)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    layer.initialise(photo_like(8, 3, 8, seed=5))
    changed = [name for name, tensor in layer.state_dict().items() if not torch.equal(tensor, before[name])]
    assert changed == []
