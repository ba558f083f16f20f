"""Every bijection: round trips, log-determinants against autograd's Jacobian, identity start, prior.

Whole Glows and actnorms: `test_glow.py`; the layer against its parts computed one by one: `tests/test_benchmarks.py`.
"""

import math

import pytest
import torch
import yaml
from models_tools import PAPER, log_abs_det, normal, photo_like, randomise, seeded
from torch.testing import assert_close

from vaeglow.models.flows import Coupling
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.vae import FlowPrior, VectorCoupling

MADE = {
    "layer": GlowLayer,
    "vector": VectorCoupling,
    "prior": FlowPrior,
}
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
        start = torch.randn(16, *shape, generator=seeded(2))
        flow.initialise(start * 0.5 + 1.0)
    scale = 0.02 if "levels" in name else 0.08
    flow = randomise(flow, scale=scale).double()
    x = torch.randn(3, *shape, generator=seeded(1)).double()
    y, log_det = flow(x)
    assert (flow.inverse(y) - x).abs().max() < 1e-9
    assert (y - x).abs().max() > 0.01
    expected = [log_abs_det(lambda v: flow(v)[0], image[None]) for image in x]
    assert_close(log_det.expand(3), torch.stack(expected))


@pytest.mark.parametrize("kind", ["additive", "affine", "bounded"])
def test_a_coupling_by_hand(kind):
    """x2 + net(x1) or (x2 + shift) s; s: sigmoid(raw + 2), or sigmoid(4 tanh(raw / 4) + 2) / sigmoid(2)."""
    coupling = randomise(Coupling(3, 8, kind))
    x = torch.randn(2, 3, 4, 4, generator=seeded())
    kept, changed = x.split([1, 2], 1)
    shift = coupling.net(kept)
    scale = torch.ones_like(changed)
    if kind != "additive":
        shift, raw = shift.chunk(2, 1)
        scale = torch.sigmoid(raw + 2)
    if kind == "bounded":
        bounded = 4 * torch.tanh(raw / 4)
        scale = torch.sigmoid(bounded + 2) * (1 + math.exp(-2))
    y, log_det = coupling(x)
    assert_close(y, torch.cat([kept, (changed + shift) * scale], 1))
    assert_close(log_det.expand(2), scale.log().sum((1, 2, 3)))


def test_another_kind_of_coupling_is_an_error():
    with pytest.raises(KeyError, match="affin"):
        Coupling(3, 8, "affin")


@pytest.mark.parametrize("options", [PAPER, {"affine_steps": 2, "scales": 2}], ids=["paper", "beyond"])
@pytest.mark.parametrize("squeeze", [1, 2, 4])
@torch.no_grad()
def test_layer_starts_as_the_identity(squeeze, options):
    """At the paper's depth on badly scaled, correlated channels, on other data too: f(x) = x and log|det| = 0.

    Away from its start the paper's inverse is still within 1e-4 in float32.
    """
    layer = GlowLayer(3, 32, 8, squeeze, **options)
    layer.initialise(photo_like(32, 3, 16, seed=1, noise=0.0011))  # as of dequantised grey pictures
    x = photo_like(8, 3, 16, seed=2)
    y, log_det = layer(x)
    assert (y - x).abs().max() < 1e-4
    assert (layer.inverse(x) - x).abs().max() < 1e-4
    assert log_det.abs().max() < 768e-5
    y, _ = randomise(layer, scale=0.01)(x)
    if options is PAPER:  # affine couplings with random weights blow such noise up
        assert (layer.inverse(y) - x).abs().max() < 1e-4


def test_flow_prior_starts_as_the_standard_normal_and_is_it_without_layers():
    z = torch.randn(4, 6, generator=seeded())
    for layers in (0, 4):
        assert_close(FlowPrior(6, layers, 8).log_prob(z), normal(z, 0.0, 1.0))


@pytest.mark.parametrize("dims", [6, 7])
def test_every_entry_of_the_latent_is_changed(dims):
    """Halves alternate: two layers change every entry of z once; four mix all of them."""
    z = torch.randn(1, dims, generator=seeded())
    for layers, most in ((2, 1), (4, dims - 1)):
        prior = randomise(FlowPrior(dims, layers, 16), scale=0.2)
        jacobian = torch.autograd.functional.jacobian(prior, z)[0]
        inputs = jacobian.reshape(dims, dims).count_nonzero(1)  # how many entries of z each of eps depends on
        assert inputs.min() > most


def test_scales_of_affine_couplings_are_bounded():
    """However large their nets' outputs: one layer of the prior scales by no more than e^2, one of f can't overflow."""
    prior = randomise(VectorCoupling(4, 8, 0), scale=30.0)
    outputs = 100 * torch.randn(50, 2, 4, 4, generator=seeded())
    _, log_scale = prior.shift_and_log_scale(outputs[..., 0, 0])
    assert 1.9 < log_scale.abs().max() <= 2
    _, log_scale = Coupling(2, 8, "bounded").shift_and_log_scale(outputs)
    assert -2.01 < log_scale.min() < -1.9
    assert 0.1 < log_scale.max() < 0.13
