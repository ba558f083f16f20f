"""Every bijection: round trips, log-determinants against autograd's Jacobian, identity start, actnorm, prior.

Whole Glows: `test_glow.py`; the layer against its parts computed one by one: `tests/test_benchmarks.py`.
"""

import math

import pytest
import torch
import yaml
from models_tools import PAPER, changed, log_abs_det, normal, photo_like, randomise, seeded, snapshot
from torch import Tensor
from torch.testing import assert_close

from vaeglow.models.flows import Coupling, CouplingNet
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.glow_steps import GlowStep
from vaeglow.models.vae import FlowPrior, VectorCoupling

MADE = {"layer": GlowLayer, "vector": VectorCoupling, "prior": FlowPrior}
# Arguments (of a layer channels, depth, width, squeeze, affine steps and levels), and the shape of one input.
FLOWS = yaml.safe_load("""
layer 1: [[3, 3, 8, 1, 0, 1], [3, 2, 2]]
layer 2: [[3, 3, 8, 2, 0, 1], [3, 4, 4]]
layer 2 grey: [[1, 3, 8, 2, 0, 1], [1, 4, 4]]
layer 4: [[1, 3, 8, 4, 0, 1], [1, 4, 8]]
layer affine: [[3, 3, 8, 2, 2, 1], [3, 4, 4]]
layer of 3 levels: [[3, 2, 8, 1, 9, 3], [3, 8, 8]]
vector: [[6, 8, 2], [6]]
vector odd flipped: [[5, 8, 1], [5]]
prior: [[5, 4, 8], [5]]
""")


@pytest.mark.parametrize("name", FLOWS)
def test_round_trip_and_log_det(name):
    """Both ways, image by image in one batch; the flow does something."""
    arguments, shape = FLOWS[name]
    flow = MADE[name.split()[0]](*arguments)
    if isinstance(flow, GlowLayer):
        flow.initialise(torch.randn(16, *shape, generator=seeded(2)) * 0.5 + 1.0)
    flow = randomise(flow, scale=0.02 if "levels" in name else 0.08).double()
    x = (torch.randn(3, *shape, generator=seeded(1)) * 0.7 + 0.2).double()
    y, log_det = flow(x)
    assert (flow.inverse(y) - x).abs().max() < 1e-9
    assert (y - x).abs().max() > 0.01
    assert (log_det.ndim == 0) == name.startswith(("layer 1", "layer 2", "layer 4"))
    for i, found in enumerate(log_det.expand(3)):
        assert_close(found, log_abs_det(lambda v: flow(v)[0], x[i : i + 1]))


@pytest.mark.parametrize("kind", ["additive", "affine", "bounded"])
@pytest.mark.parametrize("channels", [3, 12])
def test_a_step_by_hand(channels, kind):
    """Actnorm, 1x1, x2 + net(x1) or (x2 + shift) s; s: sigmoid(raw + 2), sigmoid(4 tanh(raw / 4) + 2) / sigmoid(2)."""
    x = torch.randn(2, channels, 4, 4, dtype=torch.float64, generator=seeded())
    step = randomise(GlowStep(channels, 8, kind)).double()
    normed = (x + step.actnorm.bias[:, None, None]) * (3 * step.actnorm.logs).exp()[:, None, None]
    mixed = torch.einsum("ij,njhw->nihw", step.conv.weight, normed)
    kept, changed = mixed.tensor_split([channels // 2], 1)
    shift = step.coupling.net(kept)
    scale = torch.ones_like(changed)
    if kind != "additive":
        shift, raw = shift.chunk(2, 1)
        scale = torch.sigmoid(raw + 2)
    if kind == "bounded":
        scale = torch.sigmoid(4 * torch.tanh(raw / 4) + 2) * (1 + math.exp(-2))
    y, log_det = step(x)
    assert_close(y, torch.cat([kept, (changed + shift) * scale], 1))
    assert_close(log_det.expand(2), scale.log().sum((1, 2, 3)))
    matrix, _ = step.channel_map()
    assert_close(step.inverse(y, torch.linalg.inv(matrix)), x)


def standardised(values: Tensor, tolerance: float = 1e-4) -> None:
    """Every channel has mean 0 and sd 1."""
    mean = values.mean((0, 2, 3))
    deviation = values.std((0, 2, 3), correction=0)
    assert_close(mean, torch.zeros_like(mean), atol=tolerance, rtol=0)
    assert_close(deviation, torch.ones_like(mean), atol=1e-2, rtol=0)


def normed(step: GlowStep, x: Tensor) -> Tensor:
    """The outputs of a step's actnorm."""
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(step.conv.weight), step.mix(x))


def test_actnorms_standardise_the_first_batch_only():
    """Those of a coupling net, whose output starts at 0, so couplings start as nothing; of a step: `test_glow.py`."""
    x = photo_like(16, 3, 8)
    net = CouplingNet(3, 16, 5)
    net.initialise(x)
    hidden = net.first(x)
    standardised(hidden)
    standardised(net.second(hidden.relu()))
    assert net(x).shape == (16, 5, 8, 8)
    assert not net(x).any()
    before = snapshot(net)
    net.initialise(5 * x + 3)
    assert changed(net, before) == set()


@pytest.mark.parametrize("noise", [0.01, 0.0011])  # the second is the noise of dequantised grey pictures
@pytest.mark.parametrize("options", [PAPER, {"affine_steps": 2, "scales": 2}], ids=["paper", "beyond"])
@pytest.mark.parametrize("squeeze", [1, 2, 4])
def test_layer_starts_as_the_identity(squeeze, noise, options):
    """At the paper's depth on badly scaled, correlated channels, on other data too: f(x) = x and log|det| = 0.

    Away from its start the paper's inverse is still within 1e-4 in float32.
    """
    layer = GlowLayer(3, 32, 8, squeeze, **options)
    layer.initialise(photo_like(32, 3, 16, seed=1, noise=noise))
    assert layer.steps[0].actnorm.log_scale().abs().max() > 0.1  # actnorm does act
    x = photo_like(8, 3, 16, seed=2)
    y, log_det = layer(x)
    assert (y - x).abs().max() < 1e-4
    assert (layer.inverse(x) - x).abs().max() < 1e-4
    assert log_det.abs().max() / x[0].numel() < 1e-5
    y, _ = randomise(layer, scale=0.01)(x)
    assert (y - x).abs().max() > 0.01
    if options is PAPER:  # affine couplings with random weights blow such noise up
        assert (layer.inverse(y) - x).abs().max() < 1e-4


def test_flow_prior_starts_as_the_standard_normal_and_is_it_without_layers():
    z = torch.randn(4, 6, generator=seeded())
    for layers in (0, 4):
        assert_close(FlowPrior(6, layers, 8).log_prob(z), normal(z, 0.0, 1.0))


@pytest.mark.parametrize("dims", [6, 7])
def test_every_entry_of_the_latent_is_changed(dims):
    """Halves alternate: two layers change every entry of z once; four mix all of them."""
    z = torch.randn(1, dims, dtype=torch.float64, generator=seeded())
    for layers in (2, 4):
        prior = randomise(FlowPrior(dims, layers, 16), scale=0.2).double()
        jacobian = torch.autograd.functional.jacobian(lambda v, h=prior: h(v)[0], z).reshape(dims, dims)
        inputs = (jacobian.abs() > 1e-9).sum(1)  # how many entries of z each of eps depends on
        assert (inputs > 1).all()
    assert (inputs == dims).all()


def test_scales_of_affine_couplings_are_bounded():
    """However large their nets' outputs: one layer of the prior scales by no more than e^2, one of f can't overflow."""
    prior = randomise(VectorCoupling(4, 8, 0), scale=30.0)
    _, log_scale = prior.shift_and_log_scale(100 * torch.randn(50, 2, generator=seeded()))
    assert 1.9 < log_scale.abs().max() <= 2
    coupling = Coupling(2, 8, "bounded")
    _, log_scale = coupling.shift_and_log_scale(100 * torch.randn(50, 2, 4, 4, generator=seeded()))
    assert -2.01 < log_scale.min() < -1.9
    assert 0.1 < log_scale.max() < 0.13
