"""What z holds: closed forms where they are known, and what latents.json says of trained runs."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
from models_tools import GREY, data, fitted_model, plain_vae, seeded
from run_tools import flags, prepare

from vaeglow.data.loader import dequantise
from vaeglow.errors import UserError
from vaeglow.evaluation.latents import DecoderMoments, active_units, information_lower, probe_latents
from vaeglow.evaluation.probe import vae_and_layer
from vaeglow.models.bounds import gaussian_log_density, log_scale_floor
from vaeglow.models.store import load_model
from vaeglow.steps import latents as latents_step

CPU = torch.device("cpu")


@pytest.fixture(params=["vae", "vaeglow"])
def latent_run(request):
    return request.getfixturevalue(f"{request.param}_run")


def run_step(run, output, images: int = 12) -> dict:
    about = {"images": images, "batch_size": 5, "device": "cpu"}
    latents_step.main(flags(model=run.model, data_dir=run.data, **about, output=output))
    return json.loads(output.read_text())


def test_units_are_active_where_the_posterior_mean_moves():
    means = torch.tensor([0.0, 0.09, 0.11, 5.0]) * torch.randn(20_000, 4, generator=seeded())
    assert active_units(means + 7) == 2  # the standard deviation counts, from 0.1 up; the mean does not


def test_information_of_a_gaussian_channel():
    """z = m + noise, m ~ N(0, r^2 I), noise of variance 1: I = d/2 log(1 + r^2), estimated from below."""
    means = 2 * torch.randn(4000, 2, generator=seeded(1))
    z = means + torch.randn(4000, 2, generator=seeded(2))
    lower = information_lower(z, means, torch.zeros(4000, 2))
    exact = math.log(1 + 4)
    assert exact - 0.1 < lower.mean() < exact + 4 * lower.std() / math.sqrt(len(lower))


def test_information_is_zero_where_all_posteriors_are_one_and_log_n_where_they_never_meet():
    z = torch.randn(300, 3, generator=seeded())
    none = information_lower(z, torch.zeros(300, 3), torch.zeros(300, 3))
    assert none.abs().max() < 1e-9
    apart = 10 * torch.arange(300.0)[:, None].expand(300, 3)
    all_of_it = information_lower(apart + 0.1 * z, apart, torch.full((300, 3), -2.0))
    torch.testing.assert_close(all_of_it, torch.full((300,), math.log(300), dtype=torch.float64))


def test_the_matrix_products_are_the_sums_they_stand_for():
    z, means = torch.randn(2, 700, 3, generator=seeded(3)).double()  # more than one block of rows
    log_scales = torch.randn(700, 3, generator=seeded(4)).double()
    every = torch.stack([gaussian_log_density(row.expand(700, 3), means, log_scales) for row in z])
    plain = every.diagonal() - torch.logsumexp(every, 1) + math.log(700)
    torch.testing.assert_close(information_lower(z, means, log_scales), plain)


def test_moments_over_batches_are_those_of_all():
    mean, log_scale = torch.rand(50, 2, 3, 3, generator=seeded()), torch.randn(50, 2, 3, 3, generator=seeded(1)) - 2
    moments = DecoderMoments()
    for start, stop in [(0, 20), (20, 21), (21, 50)]:
        moments.update(mean[start:stop], log_scale[start:stop])
    decided, noise = mean.var(0).sum(), (2 * log_scale).exp().sum() / 50
    assert moments.variance_explained() == pytest.approx(float(decided / (decided + noise)), rel=1e-5)
    gaussian = torch.distributions.Normal(mean, log_scale.exp())
    assert moments.entropy(18) == pytest.approx(float(gaussian.entropy().flatten(1).sum(1).mean()), rel=1e-6)


def test_a_decoder_that_ignores_z_explains_nothing():
    vae = plain_vae(GREY, "isotropic", False).eval()
    images = data(GREY)[:40].numpy()
    before = probe_latents(vae, None, images, 40, 0, CPU)
    with torch.no_grad():
        floor = log_scale_floor(GREY["levels"])
        vae.raw_log_scale.fill_(floor + math.log(math.expm1(math.log(0.1) - floor)))  # s is 0.1
        vae.decoder.dense.weight.zero_()
        deaf = probe_latents(vae, None, images, 40, 0, CPU)
    assert deaf["variance_explained"] < 1e-9 < before["variance_explained"]
    by_hand = math.log2(0.1 * math.sqrt(2 * math.pi * math.e)) + math.log2(GREY["levels"])
    assert deaf["entropy_x_bar_bits_per_dim"] == pytest.approx(by_hand)
    assert deaf["layer_log_det_bits_per_dim"] == 0


def test_the_decoder_is_asked_at_draws_of_the_prior(monkeypatch):
    """A decoder whose mean is z itself and whose s is 1: under N(0, I), though not under q, z decides half of x_bar."""
    vae = plain_vae(GREY, "diagonal", False).eval()

    def decode(z):
        mean = z[:, :1, None, None].expand(-1, *vae.shape)
        return mean, torch.zeros_like(mean)

    monkeypatch.setattr(vae, "decode", decode)
    found = probe_latents(vae, None, data(GREY).numpy(), 100, 0, CPU)
    assert found["variance_explained"] == pytest.approx(0.5, abs=0.05)


def test_each_batch_has_noise_of_its_own(vae_run):
    vae, _ = load_model(vae_run.model, CPU)
    images = np.load(vae_run.data / "test.npy")[:6]
    doubled = np.concatenate([images, images])
    once, again, twice = (probe_latents(vae, None, x, 6, 0, CPU) for x in (images, images, doubled))
    assert once == again
    for key in ("kl_nats", "variance_explained", "entropy_x_bar_bits_per_dim"):
        assert abs(twice[key] - once[key]) > 1e-6


def test_the_image_entropy_is_what_coding_the_models_own_images_costs():
    """E[-log p(x_hat|z)] over x_hat ~ p(x_hat|z), z ~ p(z): sampled, where the probe adds up logarithms."""
    model = copy.deepcopy(fitted_model("vae_glow", False))
    with torch.no_grad():
        model.layer.closing_weight.mul_(3.0)
    found = probe_latents(model.vae, model.layer, data(GREY).numpy(), 100, 0, CPU)
    with torch.no_grad():
        z = model.vae.prior_sample(4000, seeded(5))
        mean, log_scale = model.vae.decode(z)
        x_hat = model.layer.inverse(mean + log_scale.exp() * torch.randn(mean.shape, generator=seeded(6)))[0]
        x_bar, log_det = model.layer(x_hat)
        costs = -(gaussian_log_density(x_bar, mean, log_scale) + log_det) / (model.dims * math.log(2))
    sampled = costs.mean() + math.log2(GREY["levels"])
    assert found["entropy_image_bits_per_dim"] == pytest.approx(float(sampled), abs=0.03)
    assert abs(found["layer_log_det_bits_per_dim"]) > 0.3  # or the layer would not matter here


def test_the_step_writes_what_the_probe_finds(latent_run, tmp_path):
    found = run_step(latent_run, tmp_path / "latents.json")
    network, about = load_model(latent_run.model, CPU)
    vae, layer = vae_and_layer(network, about["config"], "this test")
    images = np.load(latent_run.data / "test.npy")
    assert found == {**found, **probe_latents(vae, layer, images, 5, latent_run.config["seed"], CPU)}
    assert found["images"] == 12 and found["latent_dim"] == 4 and 0 <= found["active_units"] <= 4
    assert found["information_lower_nats"] <= found["information_cap_nats"] == math.log(12)
    assert found["information_upper_nats"] == found["kl_nats"]
    assert found["kl_bits_per_dim"] == pytest.approx(found["kl_nats"] / (192 * math.log(2)))
    assert 0 <= found["variance_explained"] <= 1
    difference = found["entropy_x_bar_bits_per_dim"] - found["entropy_image_bits_per_dim"]
    assert difference == pytest.approx(found["layer_log_det_bits_per_dim"])
    assert (found["layer_log_det_bits_per_dim"] == 0) == (latent_run.config["kind"] == "vae")
    for key in ("config_sha256", "data_sha256", "weights_sha256"):
        assert found[key] == latent_run.summary()[key]
    assert {key: found[key] for key in ("preset", "dataset", "model")} == {
        key: latent_run.config[key] for key in ("preset", "dataset", "model")
    }


HELD = ("active_units", "kl_nats", "information_lower_nats", "variance_explained", "entropy_x_bar_bits_per_dim")


def test_the_layer_leaves_what_z_holds_alone(vae_run, vaeglow_run, tmp_path):
    alone, under = (run_step(run, tmp_path / "latents.json", 7) for run in (vae_run, vaeglow_run))
    for key in HELD:
        assert alone[key] == under[key]
    assert alone["images"] == 7


def test_more_noise_in_the_images_is_not_more_information(vae_run):
    vae, _ = load_model(vae_run.model, CPU)
    y = dequantise(torch.from_numpy(np.load(vae_run.data / "test.npy")), 256, seeded())
    with torch.no_grad():
        means, log_scales = vae.encode(y)
    loud = [
        information_lower(means + s.exp() * torch.randn(s.shape, generator=seeded(1)), means, s).mean()
        for s in (log_scales, log_scales + 1, log_scales + 3)
    ]
    assert loud[0] > loud[1] > loud[2]


def test_what_cannot_be_probed(glow_run, vae_run, tmp_path):
    common = {"batch_size": 5, "device": "cpu", "output": tmp_path / "latents.json"}
    other = prepare(tmp_path / "other", seed=70)
    for run, folder, images, message in [
        (glow_run, glow_run.data, 12, "glow is a glow: the step latents needs a model with one VAE latent"),
        (vae_run, other, 12, "was trained on other data"),
        (vae_run, vae_run.data, 1, "latents of 1 images: 2 or more"),
        (vae_run, vae_run.data, -3, "latents of 0 images: 2 or more"),
    ]:
        with pytest.raises(UserError, match=message):
            latents_step.main(flags(model=run.model, data_dir=folder, images=images, **common))
    assert not (tmp_path / "latents.json").exists()
    vae, _ = load_model(vae_run.model, CPU)
    with torch.no_grad():
        next(vae.encoder.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="not finite for 12 of 12 images"):
        probe_latents(vae, None, np.load(vae_run.data / "test.npy"), 5, 0, CPU)


def test_a_second_stage_vae_is_refused_in_words(vae_run):
    network, about = load_model(vae_run.model, CPU)
    config = {**about["config"], "model": "vae_two_stage", "kind": "vae_two_stage"}
    with pytest.raises(UserError, match="vae_two_stage is a vae_two_stage: interpolate needs a model with one VAE"):
        vae_and_layer(network, config, "interpolate")
