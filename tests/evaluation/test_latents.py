"""What z holds: closed forms where they are known, bounds on the decoder's information, and the step's file."""

import copy
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import yaml
from fid_tools import images_of, network_of, opened
from models_tools import GREY, data, fitted_model, plain_vae, seeded
from pytest import approx
from refusals import user_error
from run_tools import run_probe
from test_probes import SETTINGS
from torch.testing import assert_close

from vaeglow.evaluation.likelihood import joined
from vaeglow.evaluation.probes import latents
from vaeglow.evaluation.probes.latents import active_units, decoder_information, information_lower, mixtures
from vaeglow.models.bounds import bits_per_dim, gaussian_log_density
from vaeglow.models.vae import FlowPrior

COUNT = 400


def look(network, images: np.ndarray, batch_size: int = 100, kind: str = "vae", seed: int = 0) -> dict:
    settings = {"images": len(images), "batch_size": batch_size}
    content, _ = latents.measure(opened(network, images, kind, seed), {"test": None}, settings)
    return content


def test_units_are_active_where_the_posterior_mean_moves():
    scales = torch.tensor([0.0, 0.09, 0.11, 5.0])
    means = 7 + scales * torch.randn(20_000, 4, generator=seeded())
    assert active_units(means) == 2  # the standard deviation counts, from 0.1 up; the mean does not


def test_information_of_a_gaussian_channel():
    """z = m + noise, m ~ N(0, r^2 I), noise of variance 1: I = d/2 log(1 + r^2), estimated from below."""
    means = 2 * torch.randn(4000, 2, generator=seeded(1))
    z = means + torch.randn(4000, 2, generator=seeded(2))
    lower = information_lower(z, means, torch.zeros(4000, 2))
    exact = math.log(1 + 4)
    error = lower.std() / math.sqrt(len(lower))
    assert exact - 0.1 < lower.mean() < exact + 4 * error


def test_there_is_no_information_where_posteriors_are_one_and_log_n_where_they_never_meet():
    z = torch.randn(300, 3, generator=seeded())
    same = torch.zeros(300, 3)
    assert information_lower(z, same, same).abs().max() < 1e-9
    apart = 10 * torch.arange(300.0)[:, None].expand(300, 3)
    all_of_it = information_lower(apart + 0.1 * z, apart, same - 2)
    cap = torch.full((300,), math.log(300), dtype=torch.float64)
    assert_close(all_of_it, cap)


def test_the_matrix_products_are_the_sums_they_stand_for():
    z, means, log_scales = (torch.randn(700, 3, generator=seeded(i)).double() for i in range(3))  # several blocks
    every = torch.stack([gaussian_log_density(row.expand(700, 3), means, log_scales) for row in z])
    everyone = every.logsumexp(1) - math.log(700)
    assert_close(information_lower(z, means, log_scales), every.diagonal() - everyone)
    others = every.fill_diagonal_(-math.inf).logsumexp(1) - math.log(699)
    assert_close(mixtures(z, means, log_scales), (others, everyone))


@pytest.mark.parametrize("gain, batch_size", [(0.0, 100), (1.0, 77)])
def test_the_decoder_is_asked_at_draws_of_the_prior(gain, batch_size):
    """A decoder whose mean is z itself, or nothing of it: under N(0, I), though not under q, z decides so much."""
    vae = plain_vae(GREY, "diagonal", False).eval()

    def decode(z):
        mean = gain * z[:, :1, None, None].expand(-1, *vae.shape)
        return mean, torch.full_like(mean, -0.3)

    vae.decode = decode
    measured = look(vae, data(GREY).numpy(), batch_size)
    share = gain**2 / (gain**2 + math.exp(-0.6))
    assert measured["variance_explained"] == approx(share, abs=0.05 * gain + 1e-9)
    nats = 0.5 * math.log(2 * math.pi * math.e) - 0.3
    bits = nats / math.log(2) + math.log2(GREY["levels"])
    assert measured["entropy_x_bar_bits_per_dim"] == approx(bits)


def test_the_image_entropy_is_what_coding_the_models_own_images_costs():
    """E[-log p(x_hat|z)] over x_hat ~ p(x_hat|z), z ~ p(z): sampled, where the probe adds up logarithms."""
    model = copy.deepcopy(fitted_model("vae_glow", False))
    with torch.no_grad():
        model.layer.closing_weight.mul_(3.0)
    measured = look(model, data(GREY).numpy(), kind="vae_glow")
    with torch.no_grad():
        mean, log_scale = model.vae.decode(model.vae.prior_sample(4000, seeded(5)))
        noise = torch.randn(mean.shape, generator=seeded(6))
        x_hat = model.layer.inverse(mean + log_scale.exp() * noise)
        x_bar, log_det = model.layer(x_hat)
        density = gaussian_log_density(x_bar, mean, log_scale) + log_det
    sampled = bits_per_dim(density, model.dims, GREY["levels"]).mean()
    assert measured["entropy_image_bits_per_dim"] == approx(float(sampled), abs=0.03)
    assert abs(measured["layer_log_det_bits_per_dim"]) > 0.3  # or the layer would not matter here


def channel(gain: Sequence[float], scale: float, far_off: bool, width: float = 0.0) -> dict[str, torch.Tensor]:
    """Draws of x_bar = (gain z, 0) + N(0, scale^2) noise, z ~ N(0, I); the encoder is the posterior, or far off."""
    vae = plain_vae(GREY, "diagonal", False).eval()
    gains = torch.tensor(gain)
    precision = 1 + (gains / scale) ** 2

    def decode(z):
        mean = torch.nn.functional.pad(gains * z, (0, vae.dims - 2)).reshape(-1, *vae.shape)
        return mean, torch.full_like(mean, math.log(scale))

    def encode(y):
        x = y.flatten(1)[:, :2]
        if far_off:
            return torch.full_like(x, 3.0), torch.full_like(x, -2.0)
        return gains * x / scale**2 / precision, (-0.5 * precision.log()).expand_as(x)

    vae.decode = decode
    vae.encode = encode
    generator = seeded(5)
    widths = torch.full((2,), width)

    def batches():
        for _ in range(4):
            z = vae.prior_sample(COUNT // 4, generator)
            yield latents.draw_x_bar(vae, FlowPrior(0, 0, 0), vae.decode, z, widths, generator)

    with torch.no_grad():
        return joined(batches())


# Gain, scale, whether the encoder is far off, width; how far from the closed form the two estimates may be.
CHANNELS = yaml.safe_load("""
- [[1.0, 0.0], 0.5, false, 0.0, [-0.12, 0.12, -0.12, 0.12]]
- [[0.0, 0.0], 1.0, true, 0.0, [-1.0e-6, 1.0e-6, -1.0e-6, 1.0e-6]]  # deaf: the ELBO alone would say 50 nats
- [[1.0, 1.0], 0.1, true, -2.3, [-.inf, 0, 0, 1.4]]  # the known z helps where the encoder fails
""")


@pytest.mark.parametrize("gains, scale, far_off, width, bounds", CHANNELS)
def test_a_linear_decoder_shares_what_its_closed_form_says(gains, scale, far_off, width, bounds):
    """I = sum 1/2 log(1 + gain^2 / scale^2); estimates are so far from it."""
    exact = sum(0.5 * math.log(1 + (gain / scale) ** 2) for gain in gains)
    lower, upper = decoder_information(channel(gains, scale, far_off, width))
    assert bounds[0] <= lower - exact <= bounds[1]
    assert bounds[2] <= upper - exact <= bounds[3]


def test_decoders_that_never_meet_are_told_apart_up_to_the_cap_and_an_overflow_leaves_the_mixture():
    draws = channel((100.0, 100.0), 0.05, True)
    lower, upper = decoder_information(draws)
    assert lower == approx(math.log(COUNT), abs=0.2)
    assert upper > lower
    draws["bounds"][3] = math.nan
    assert all(math.isfinite(value) for value in decoder_information(draws))


def test_the_step_writes_what_the_probe_finds(latent_run, tmp_path):
    measured = run_probe("latents", latent_run, tmp_path / "latents.json", SETTINGS["latents"]).content
    network = network_of(latent_run)
    kind = latent_run.config["kind"]
    assert look(network, images_of(latent_run), 5, kind, latent_run.config["seed"]).items() <= measured.items()
    assert measured["information_lower_nats"] <= measured["information_cap_nats"] == math.log(12)
    assert measured["information_upper_nats"] == measured["kl_nats"]
    assert measured["kl_bits_per_dim"] == approx(measured["kl_nats"] / (192 * math.log(2)))
    difference = measured["entropy_x_bar_bits_per_dim"] - measured["entropy_image_bits_per_dim"]
    assert difference == approx(measured["layer_log_det_bits_per_dim"])
    assert (measured["layer_log_det_bits_per_dim"] == 0) == (kind == "vae")


MOVING = ("kl_nats", "variance_explained", "entropy_x_bar_bits_per_dim")


def test_the_layer_leaves_what_z_holds_alone(vae_run, vaeglow_run):
    images = images_of(vae_run)[:6]
    alone = look(network_of(vae_run), images, 4)
    under = look(network_of(vaeglow_run), images, 4, "vae_glow")
    assert all(alone[key] == under[key] for key in ("active_units", "information_lower_nats", *MOVING))


def test_each_batch_has_noise_of_its_own(vae_run):
    vae = network_of(vae_run)
    images = images_of(vae_run)[:6]
    once = look(vae, images, 6)
    twice = look(vae, np.concatenate([images, images]), 6)
    for key in MOVING:
        assert twice[key] != approx(once[key], rel=1e-6)


@torch.no_grad()
def test_broken_weights_are_an_error(vae_run):
    vae = network_of(vae_run)
    next(vae.encoder.parameters()).fill_(float("nan"))
    with user_error("not finite for 12 of 12 images"):
        look(vae, images_of(vae_run))
