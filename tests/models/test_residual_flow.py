"""The Residual Flow: Lipschitz constants, log-determinant and its gradient against autograd, inverse, probability."""

import math
from collections.abc import Callable

import pytest
import torch
from models_tools import GREY, all_images, data, log_abs_det, normal, optimise, photo_like, randomise, seeded
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from vaeglow.data.loader import dequantise
from vaeglow.models import residual_flow
from vaeglow.models.bounds import total
from vaeglow.models.residual_flow import LipschitzConv, LipSwish, ResidualFlow


def moved_flow(channels: int = 1, size: int = 4) -> ResidualFlow:
    """Two levels, away from the start, its convolutions at their largest norms."""
    flow = randomise(
        ResidualFlow(
            channels,
            size,
            256,
            scales=2,
            depth=2,
            width=8,
        ),
        scale=0.3,
    )
    flow.initialise(photo_like(64, channels, size, noise=0.1))
    return flow.eval()


def norm(function: Callable[[Tensor], Tensor], channels: int, size: int) -> float:
    """Of a linear function, as a matrix on whole images."""
    images = torch.zeros(1, channels, size, size)
    jacobian = torch.autograd.functional.jacobian(function, images)
    return torch.linalg.matrix_norm(jacobian.reshape(-1, images.numel()), 2).item()


def test_every_convolution_is_a_contraction():
    """Its norm is .98 where the raw one is larger; a smaller one is left alone."""
    conv = LipschitzConv(2, 3, 3, 5)
    for scale in (3.0, 0.1):
        torch.nn.init.normal_(conv.weight, std=scale)
        conv.iterate(200)
        raw = norm(lambda x: F.conv2d(x, conv.weight, padding=1), 2, 5)
        assert norm(conv.eval(), 2, 5) == pytest.approx(min(raw, 0.98), rel=1e-3)


def test_every_convolution_of_a_flow_is_a_contraction_before_the_first_step():
    for part in moved_flow().modules():
        if isinstance(part, LipschitzConv):
            assert norm(part, part.in_channels, part.u.shape[-1]) < 1


@pytest.mark.parametrize("raw", [-3.0, 0.5, 4.0])
def test_the_activation_is_a_contraction(raw):
    activation = LipSwish()
    activation.raw.data.fill_(raw)
    x = torch.linspace(-60, 60, 100_001, requires_grad=True)
    (slope,) = torch.autograd.grad(activation(x).sum(), x)
    assert 0.99 < slope.abs().max() <= 1


def flat_encoding(flow: ResidualFlow, y: Tensor) -> Tensor:
    return flow.encode(y).flatten(1)


def test_the_log_likelihood_has_no_bias(monkeypatch):
    """Against autograd's Jacobian, in training (few exact terms) and evaluation, within its standard error."""
    flow = moved_flow().double()
    y = photo_like(2, 1, 4, seed=1, noise=0.1).double()
    log_det = torch.stack([log_abs_det(lambda v: flat_encoding(flow, v), image[None]) for image in y])
    expected = normal(flat_encoding(flow, y), 0.0, 1.0) + log_det
    repeated = y.repeat(40, 1, 1, 1)
    monkeypatch.setattr(residual_flow, "STEP_ITERATIONS", 0)
    for training in (False, True):
        flow.train(training)
        means = []
        for seed in range(50):
            with torch.no_grad():
                estimates = total(flow.log_likelihood(repeated, seeded(seed)))
            means.append(estimates.view(40, 2).mean(0))
        means = torch.stack(means)
        error = means.std(0) / math.sqrt(50)
        assert ((means.mean(0) - expected).abs() < 4 * error).all()
        assert error.max() < 0.14


def test_the_gradient_has_no_bias(monkeypatch):
    """Of the log-determinant by weights and an input, against that of autograd's log-determinant."""
    flow = moved_flow().double().train()
    y = photo_like(1, 1, 4, seed=1, noise=0.1).double().requires_grad_()
    variables = [flow.blocks[1].g[1].weight, flow.blocks[2].g[3].weight, flow.blocks[0].actnorm.logs, y]

    def gradient(value: Tensor) -> Tensor:
        gradients = torch.autograd.grad(value, variables)
        return torch.cat([part.flatten() for part in gradients])

    monkeypatch.setattr(residual_flow, "STEP_ITERATIONS", 0)
    jacobian = torch.autograd.functional.jacobian(lambda v: flat_encoding(flow, v), y, create_graph=True)
    expected = gradient(torch.linalg.slogdet(jacobian.reshape(16, 16))[1])
    repeated = y.expand(50, 1, 4, 4)
    estimates = []
    for seed in range(60):
        terms = flow.log_likelihood(repeated, seeded(seed))
        estimates.append(gradient(terms["log_det"].mean()))
    estimates = torch.stack(estimates)
    errors = estimates.std(0) / math.sqrt(60)
    off = ((estimates.mean(0) - expected) / errors)[errors > 1e-12]
    assert off.square().mean().sqrt() < 1.5
    assert off.abs().max() < 6


@torch.no_grad()
def test_decode_inverts_encode_and_counts_what_does_not_converge(monkeypatch):
    """Large values converge, too, as far as float32 can: above 10 rounding moves them by more than 1e-5."""
    flow = moved_flow(3, 8)
    edge = math.log(0.95 / 0.05)  # the margin of the source
    assert flow.logit(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([-edge, edge])
    y = photo_like(4, 3, 8, seed=1)
    assert (flow.reconstruct(y) - y).abs().max() < 1e-4
    whole, half = (flow.encode(flow.sample(4, temperature, seeded(3))) for temperature in (1.0, 0.5))
    assert_close(half, 0.5 * whole, atol=1e-3, rtol=1e-3)
    assert flow.decode(200 * torch.randn(4, *flow.top, generator=seeded(3))).isfinite().all()
    monkeypatch.setattr(residual_flow, "MOST_ITERATIONS", 2)
    marked = flow.decode(whole)
    assert marked.isnan().flatten(1).sum(1).tolist() == [1] * 4  # one value each: the rest is the last iterate


def test_probabilities_sum_to_one():
    """Of all grey 2x2 images with 4 levels, after training; by autograd's Jacobian at Sobol points of each cell."""
    torch.manual_seed(1)
    flow = ResidualFlow(**GREY, scales=2, depth=3, width=16)
    flow.initialise(dequantise(data(GREY), 4, seeded(2)))
    optimise(flow, data(GREY), steps=60)
    flow.double()
    sobol = torch.quasirandom.SobolEngine(4, scramble=True, seed=0)
    u = sobol.draw(16, dtype=torch.float64).view(-1, 1, 2, 2)
    y = ((all_images(**GREY)[:, None] + u) / 4).flatten(0, 1)

    def transform(v: Tensor) -> Tensor:
        return flow.encode(v[None]).flatten()

    jacobian = torch.vmap(torch.func.jacrev(transform))(y).reshape(-1, 4, 4)
    with torch.no_grad():
        log_p = normal(flow.encode(y), 0.0, 1.0) + torch.linalg.slogdet(jacobian)[1]
    assert 0.99 < log_p.exp().mean().item() <= 1.01
