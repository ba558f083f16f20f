"""The divergence of p(x_bar|z) from p(x_bar): bounds where it is known, and no say for f's scale."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from models_tools import GREY, plain_vae, seeded

from vaeglow.evaluation.decoder_information import DecoderInformation, mixtures
from vaeglow.models.bounds import gaussian_log_density

COUNT = 400


def width(vae):
    return torch.zeros(vae.prior.dims)


def gathered(monkeypatch, vae, decode, encode, batches: int = 4) -> DecoderInformation:
    """Draws of a VAE whose two halves are made up."""
    monkeypatch.setattr(vae, "decode", decode)
    monkeypatch.setattr(vae, "encode", encode)
    shared, generator = DecoderInformation(vae, None), seeded(5)
    for _ in range(batches):
        z = vae.prior_sample(COUNT // batches, generator)
        shared.update(z, *decode(z), width(vae), generator)
    return shared


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_linear_decoder_shares_what_its_closed_form_says(monkeypatch, scale):
    """x_bar = z_1 on one pixel + N(0, scale^2) noise, z ~ N(0, 1): I = 1/2 log(1 + 1/scale^2), a Gaussian posterior."""
    vae = plain_vae(GREY, "diagonal", False).eval()

    def decode(z):
        mean = torch.zeros(len(z), *vae.shape)
        mean[:, 0, 0, 0] = z[:, 0]
        return mean, torch.full_like(mean, math.log(scale))

    def encode(y):
        shrink = 1 / (1 + scale**2)
        mean, log_scale = torch.zeros(len(y), vae.prior.dims), torch.zeros(len(y), vae.prior.dims)
        mean[:, 0], log_scale[:, 0] = shrink * y[:, 0, 0, 0], 0.5 * math.log(shrink * scale**2)
        return mean, log_scale

    lower, upper = gathered(monkeypatch, vae, decode, encode).bounds()
    exact = 0.5 * math.log(1 + 1 / scale**2)
    assert lower == pytest.approx(exact, abs=0.12) and upper == pytest.approx(exact, abs=0.12)


def test_a_deaf_decoder_shares_nothing_whatever_the_kl_costs(monkeypatch):
    vae = plain_vae(GREY, "diagonal", False).eval()

    def decode(z):
        return torch.zeros(len(z), *vae.shape), torch.zeros(len(z), *vae.shape)

    def encode(y):  # a posterior far from the prior: the ELBO alone would say 50 nats
        return torch.full((len(y), vae.prior.dims), 3.0), torch.full((len(y), vae.prior.dims), -2.0)

    lower, upper = gathered(monkeypatch, vae, decode, encode).bounds()
    assert abs(lower) < 1e-6 and abs(upper) < 1e-6


def test_an_encoder_that_knows_nothing_does_not_loosen_the_bound_much(monkeypatch):
    """Every latent on pixels of its own, sd .1: I = d/2 log(1 + 100); the encoder is far off, the known z is not."""
    vae = plain_vae(GREY, "diagonal", False).eval()
    dims = vae.prior.dims

    def decode(z):
        mean = torch.zeros(len(z), vae.dims)
        mean[:, :dims] = z
        mean = mean.reshape(-1, *vae.shape)
        return mean, torch.full_like(mean, math.log(0.1))

    def encode(y):
        return torch.full((len(y), dims), 3.0), torch.zeros(len(y), dims)

    monkeypatch.setattr(sys.modules[__name__], "width", lambda vae: torch.full((dims,), math.log(0.1)))
    lower, upper = gathered(monkeypatch, vae, decode, encode).bounds()
    exact = dims / 2 * math.log(101)
    assert lower <= exact < upper < exact + 0.7 * dims


def test_decoders_that_never_meet_are_told_apart_up_to_the_cap(monkeypatch):
    vae = plain_vae(GREY, "diagonal", False).eval()

    def decode(z):
        mean = 100 * z[:, :1, None, None].expand(-1, *vae.shape)
        return mean, torch.full_like(mean, -3.0)

    lower, upper = gathered(monkeypatch, vae, decode, vae.encode).bounds()
    assert lower == pytest.approx(math.log(COUNT), abs=0.2) and upper > lower


def test_an_overflow_of_the_layer_leaves_the_mixture(monkeypatch):
    vae = plain_vae(GREY, "diagonal", True).eval()
    shared, generator = DecoderInformation(vae, None), seeded(2)
    with torch.no_grad():
        z = vae.prior_sample(40, generator)
        shared.update(z, *vae.decode(z), width(vae), generator)
    shared.elbos[0][3] = math.nan
    assert all(math.isfinite(value) for value in shared.bounds())


def test_mixtures_are_the_sums_they_stand_for():
    values, means, log_scales = (torch.randn(230, 3, generator=seeded(i)).double() for i in range(3))
    every = torch.stack([gaussian_log_density(row.expand(230, 3), means, log_scales) for row in values])
    without = every.clone().fill_diagonal_(-math.inf)
    others, everyone = mixtures(values, means, log_scales)
    torch.testing.assert_close(everyone, torch.logsumexp(every, 1) - math.log(230))
    torch.testing.assert_close(others, torch.logsumexp(without, 1) - math.log(229))


def test_scaling_x_bar_changes_nothing():
    values, means, log_scales = (torch.randn(50, 4, generator=seeded(i)).double() for i in range(3))
    scale = torch.tensor([0.1, 1.0, 3.0, 20.0]).double()
    found = mixtures(values, means, log_scales)
    scaled = mixtures(values * scale, means * scale, log_scales + scale.log())
    for one, other in zip(found, scaled, strict=True):
        torch.testing.assert_close(one - scale.log().sum(), other)  # as log p(x_bar|z) does: the difference stays
