"""PixelCNN and PixelIQN: masks that never look ahead, a probability that sums to 1, quantiles, the cached sampler."""

import itertools
import math

import pytest
import torch
from models_tools import all_images, data, optimise, randomise, seeded
from refusals import user_error
from test_probability import SAMPLES, follow
from torch.testing import assert_close

from vaeglow.data.loader import dequantise
from vaeglow.models.bounds import quantise, total
from vaeglow.models.pixelcnn import PixelCNN, PixelModel, PixelNet, causal_head
from vaeglow.models.pixeliqn import PixelIQN, QuantileHead, quantile_loss

TWO = {
    "channels": 2,
    "size": 2,
    "levels": 2,
}


def pixels(kind: str, channels: int, size: int, levels: int, width: int = 12) -> PixelModel:
    """A small model, away from its start."""
    torch.manual_seed(1)
    shape = {
        "channels": channels,
        "size": size,
        "levels": levels,
    }
    net = PixelNet(channels, 2, width, 3)
    if kind == "pixelcnn":
        head = causal_head(channels, width, width, channels * levels)
        return randomise(
            PixelCNN(
                **shape,
                net=net,
                head=head,
            )
        )
    return randomise(
        PixelIQN(
            0.002,
            **shape,
            net=net,
            head=QuantileHead(channels, width, 16, 16),
        )
    )


@pytest.mark.parametrize("channels, kernel", [(1, 3), (3, 3), (2, 5)])
def test_no_feature_looks_ahead_and_none_before_is_missed(channels, kernel):
    """The gradient of a pixel's features: 0 at that pixel's channel and after, not 0 at what the kernels reach."""
    net = randomise(PixelNet(channels, 3, 4 * channels, kernel))
    x = torch.randn(1, channels, 7, 7, generator=seeded(), requires_grad=True)
    features = net(x)
    place = torch.arange(49 * channels).view(7, 7, channels).permute(2, 0, 1)  # in the order of the factors
    places = [(0, 0), (3, 3), (0, 6), (6, 0), (6, 6)]
    for channel, (i, j) in itertools.product(range(channels), places):
        own = features[0, 4 * channel : 4 * channel + 4, i, j]
        (gradient,) = torch.autograd.grad(own.sum(), x, retain_graph=True, allow_unused=True)
        seen = gradient[0] != 0
        before = place < place[channel, i, j]
        assert not seen[~before].any()
        near = (slice(None), slice(max(0, i - 1), i + 1), slice(max(0, j - 1), j + 2))
        assert torch.equal(seen[near], before[near])


@pytest.mark.parametrize("kind", ["pixelcnn", "pixeliqn"])
@torch.no_grad()
def test_the_cached_features_are_the_network_s(kind):
    """Pixel by pixel, as the image fills; each channel's once the channels before it are there."""
    model = pixels(kind, 3, 6, 8)
    x = torch.rand(4, 3, 6, 6, generator=seeded()) * 2 - 1
    whole = model.net(x)
    filled = torch.full_like(x, -1)
    for i, j, features in model.net.scan(filled):
        for channel in range(3):
            part = slice(4 * channel, 4 * channel + 4)
            assert_close(features()[:, part], whole[:, part, i, j])
            filled[:, channel, i, j] = x[:, channel, i, j]


def test_probabilities_sum_to_one_and_samples_follow_them():
    """Enumerated; whatever the dequantisation noise; counts by a chi-squared test."""
    model = pixels("pixelcnn", **TWO)
    optimise(model, data(TWO), steps=150)
    images = all_images(**TWO)
    with torch.no_grad():
        first, second = (total(model.log_likelihood(dequantise(images, 2, seeded(seed)))) for seed in (0, 1))
        drawn = model.sample(SAMPLES, 1.0, seeded(3))
    assert torch.equal(first, second)
    p = first.double().exp() / 2**8
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    follow(quantise(drawn, 2), 2, p)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_the_quantile_loss_has_the_quantile_as_its_minimum(tau):
    """Of exponential values, found by search."""
    values = torch.distributions.Exponential(1.0).icdf((torch.arange(4000) + 0.5) / 4000)
    guesses = torch.linspace(0, 4, 801)
    losses = [quantile_loss(values, guess, torch.tensor(tau), 0.002).mean() for guess in guesses]
    best = guesses[torch.stack(losses).argmin()].item()
    assert best == pytest.approx(-math.log(1 - tau), abs=0.01)


def test_the_quantile_loss_is_a_parabola_near_zero():
    u = torch.tensor([-0.3, -0.1, 0.1, 0.3])
    expected = torch.tensor([0.15, 0.01875, 0.00625, 0.05])
    assert_close(quantile_loss(u, torch.zeros(4), torch.tensor(0.25), 0.2), expected)


def test_pixeliqn_learns_a_distribution():
    """Of grey images that are uniform in [64, 192) but for a right half that is as bright as the left."""
    left = torch.randint(64, 192, (2000, 1, 2, 1), generator=seeded(1), dtype=torch.uint8)
    model = pixels("pixeliqn", 1, 2, 256, width=16)
    optimise(model, left.expand(-1, 1, 2, 2), steps=400)
    with torch.no_grad():
        drawn = model.sample(500, 1.0, seeded(2))
    first, second = drawn.unbind(3)
    quantiles = torch.quantile(first, torch.tensor([0.1, 0.5, 0.9]))
    assert_close(quantiles, torch.tensor([0.3, 0.5, 0.7]), atol=0.05, rtol=0)
    assert (first - second).abs().mean() < 0.03


def test_what_they_have_not_is_an_error_of_one_line():
    model = pixels("pixeliqn", 3, 8, 256)
    y = torch.rand(2, 3, 8, 8)
    with user_error(r"temperature 0\.5: a Pixel\w+ has none, request 1"):
        model.sample(2, 0.5, seeded())
    with user_error("has no latent"):
        model.reconstruct(y)
    with user_error("a PixelIQN has no likelihood"):
        model.log_weights(y, 2)
