"""The second-stage VAE: its bound against exact densities, its frozen first stage, its training without it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from models_tools import normal, photo_like, randomise, run_config, seeded
from run_tools import CONFIG, Run, interrupt, newest, resolved, same_tensors

from vaeglow.config import merge, resolve
from vaeglow.errors import UserError
from vaeglow.models.bounds import total
from vaeglow.models.kinds import build
from vaeglow.models.vae import VAE
from vaeglow.models.vae_two_stage import SecondStage, TwoStageVAE


def make() -> TwoStageVAE:
    """A tiny model of 8x8 colour images in evaluation mode, nothing at its start."""
    return randomise(build(run_config("vae_two_stage"))).eval()


# ------------------------------------------------------------------------------------------- its bound

GAMMA = 0.6


@torch.no_grad()
def linear() -> tuple[SecondStage, torch.distributions.MultivariateNormal]:
    """A second stage without hidden units' part, p(z) = N(b, W W' + gamma^2 I), and that p(z).

    W has orthogonal columns, so that the true posterior of t is diagonal and q(t|z) can be exact.
    """
    second = SecondStage(3, 8, 2)
    columns = torch.linalg.qr(torch.randn(3, 3, generator=seeded()))[0] * torch.tensor([1.5, 0.8, 0.3])
    offset = torch.tensor([0.5, -1.0, 0.2])
    precision = 1 + columns.pow(2).sum(0) / GAMMA**2
    for layer in (second.decoded, second.mean, second.raw_log_scale):
        layer.weight.zero_()
    second.decoded.weight[:, :3] = columns  # beside the skip: the input comes first
    second.decoded.bias.copy_(offset)
    second.log_gamma.fill_(math.log(GAMMA))
    second.mean.weight[:, :3] = columns.T / GAMMA**2 / precision[:, None]
    second.mean.bias.copy_(-second.mean.weight[:, :3] @ offset)
    wanted = -0.5 * precision.log()
    second.raw_log_scale.bias.copy_(-2.5 + 4.5 * torch.atanh((wanted + 2.5) / 4.5))  # undoes the soft bound
    covariance = columns @ columns.T + GAMMA**2 * torch.eye(3)
    return second, torch.distributions.MultivariateNormal(offset, covariance)


def test_exact_posterior_gives_the_exact_density() -> None:
    """Every draw of t weighs p(z) itself; the closed-form KL makes the bound exact in the mean."""
    second, marginal = linear()
    z = marginal.sample((6,))
    exact = marginal.log_prob(z)
    torch.testing.assert_close(second.log_weight(z, seeded()), exact, atol=1e-4, rtol=1e-4)
    many = z.repeat(20_000, 1)
    bounds = second.elbo(many, seeded(1)).reshape(-1, 6)
    error = bounds.std(0) / math.sqrt(len(bounds))
    assert ((bounds.mean(0) - exact).abs() < 5 * error + 1e-3).all()


def test_bound_is_below_the_exact_density_and_more_draws_come_nearer() -> None:
    """With a posterior that is off: below in the mean; importance weights tighten to it, unbiased for p(z)."""
    second, marginal = linear()
    with torch.no_grad():
        second.mean.bias.add_(0.4)
        second.raw_log_scale.bias.add_(0.3)
    z = marginal.sample((50,))
    exact = marginal.log_prob(z)
    bound = second.elbo(z.repeat(2000, 1), seeded(1)).reshape(2000, 50).mean(0)
    one = second.log_weight(z.repeat(2000, 1), seeded(2)).reshape(2000, 50)
    torch.testing.assert_close(bound.mean(), one.mean(), atol=0.02, rtol=0)  # the same bound, with less noise
    gaps = []
    for draws in (1, 10, 100, 1000):
        grouped = one.reshape(-1, draws, 50)
        gaps.append((exact - (grouped.logsumexp(1) - math.log(draws)).mean(0)).mean().item())
    assert gaps[0] > gaps[1] > gaps[2] > gaps[3] > -0.02
    assert gaps[0] > 0.1 and gaps[3] < 0.02
    assert (exact - bound > -0.05).all()
    torch.testing.assert_close((one - exact).exp().mean(), torch.tensor(1.0), atol=0.02, rtol=0)


def test_samples_follow_the_density_gamma_included() -> None:
    second, marginal = linear()
    z = second.sample(40_000, seeded())
    torch.testing.assert_close(z.mean(0), marginal.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(z.T.cov(), marginal.covariance_matrix, atol=0.06, rtol=0)


def test_terms_by_hand() -> None:
    """At the very z and t drawn, by torch.distributions; the net is [linear, ReLU] x depth with its input beside it."""
    model = make()
    y = photo_like(4, 3, 8)
    generator = seeded(7)
    mean, log_scale = model.vae.encode(y)
    z = mean + log_scale.exp() * torch.randn(mean.shape, generator=generator)
    hidden = z
    for layer in model.second.encoder.layers:
        hidden = torch.relu(hidden @ layer.weight.T + layer.bias)
    assert len(model.second.encoder.layers) == len(model.second.decoder.layers) == 3
    both = torch.cat([z, hidden], 1)
    t_mean = both @ model.second.mean.weight.T + model.second.mean.bias
    t_scale = model.second.encode(z)[1].exp()
    t = t_mean + t_scale * torch.randn(mean.shape, generator=generator)
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Normal(t_mean, t_scale), torch.distributions.Normal(0.0, 1.0)
    ).sum(1)
    elbo = normal(z, model.second.decode(t)[0], model.second.log_gamma.exp()) - divergence
    decoded, decoded_log_scale = model.vae.decode(z)
    terms = model.log_likelihood(y, seeded(7))
    torch.testing.assert_close(terms["reconstruction"], normal(y, decoded, decoded_log_scale.exp()))
    torch.testing.assert_close(terms["negative_kl"], elbo - normal(z, mean, log_scale.exp()))
    weight = normal(z, model.second.decode(t)[0], model.second.log_gamma.exp()) + normal(t, 0.0, 1.0)
    weight = weight - normal(t, t_mean, t_scale) + terms["reconstruction"] - normal(z, mean, log_scale.exp())
    weights = model.log_weights(y, 3, seeded(7))
    torch.testing.assert_close(weights[:, 0], weight)
    assert weights.shape == (4, 3) and (weights.std(1) > 0).all()


def test_sampling_scales_pixel_noise_only() -> None:
    model = make()
    z = model.second.sample(6, seeded(3))
    cold, half, whole = (model.sample(6, temperature, seeded(3)) for temperature in (0.0, 0.5, 1.0))
    assert torch.equal(cold, model.vae.render(z))
    torch.testing.assert_close(whole - cold, 2 * (half - cold), atol=1e-5, rtol=1e-4)
    y = photo_like(3, 3, 8)
    assert torch.equal(model.reconstruct(y), model.vae.reconstruct(y))


# ---------------------------------------------------------------------------------------- its training


def test_kept_inputs_give_the_same_bound() -> None:
    """From (mean, log sd, reconstruction) kept once: in the mean the bound from the images themselves."""
    model = make()
    y = photo_like(4, 3, 8)
    kept = model.inputs(y, seeded(1))
    assert kept.shape == (4, 2 * 5 + 1) and not kept.requires_grad
    assert torch.equal(kept[:, :5], model.vae.encode(y)[0])
    z = kept[:, :5] + kept[:, 5:10].exp() * torch.randn(4, 5, generator=seeded(1))
    decoded, log_scale = model.vae.decode(z)
    torch.testing.assert_close(kept[:, 10], normal(y, decoded, log_scale.exp()))
    one, two = (model.training_terms(kept, seeded(seed)) for seed in (2, 3))
    assert torch.equal(one["reconstruction"], two["reconstruction"])
    assert (one["negative_kl"] != two["negative_kl"]).all()  # z and t are drawn afresh
    assert torch.equal(one["negative_kl"], model.log_likelihood(y, seeded(2))["negative_kl"])
    loss, _ = model.loss(kept, seeded(2))
    expected = -(total(one) - 192 * math.log(256)) / (192 * math.log(2))
    torch.testing.assert_close(loss, expected.mean())


def test_stage_one_stays_bit_identical_and_all_of_stage_two_moves(standard_run: Run, two_stage_run: Run) -> None:
    weights = two_stage_run.weights()
    kept = {name.removeprefix("vae."): tensor for name, tensor in weights.items() if name.startswith("vae.")}
    assert same_tensors(kept, standard_run.weights())
    for name, parameter in build(two_stage_run.config).second.named_parameters():
        assert not torch.equal(parameter, weights[f"second.{name}"]), name


def test_an_epoch_costs_no_pass_of_stage_one(two_stage_run: Run, tmp_path: Path, monkeypatch) -> None:
    """Each image is encoded once, however many epochs, and once more at the end."""
    encoded, plain = [], VAE.encode
    monkeypatch.setattr(VAE, "encode", lambda self, y: encoded.append(len(y)) or plain(self, y))
    Run(tmp_path, resolved("vae_two_stage", epochs=5), two_stage_run.data, two_stage_run.base).train()
    assert encoded == [16] * (4 + 4)


def test_stopped_and_resumed_equals_undisturbed(two_stage_run: Run, tmp_path: Path) -> None:
    run = interrupt(Run(tmp_path, two_stage_run.config, two_stage_run.data, two_stage_run.base), 6).train()
    assert same_tensors(newest(run), newest(two_stage_run))
    assert run.rows() == two_stage_run.rows()


# ---------------------------------------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": "vae"}, r"base 'vae' has prior.kind flow; .*name a VAE with that"),
        ({"base": "vaeglow"}, r"base 'vaeglow' is a vae_glow, not a vae"),
        ({"base": "vae_two_stage"}, r"base 'vae_two_stage' is a vae_two_stage, not a vae"),
        ({"training": {"kl_weight": 0.5}}, r"kl_weight is 0.5, but a vae_two_stage trains the KL alone"),
    ],
)
def test_what_it_cannot_stand_on(change: dict, message: str) -> None:
    config = merge(CONFIG, {"models": {"vae_two_stage": change}})
    with pytest.raises(UserError, match=message):
        resolve(config, "tiny", "blobs", "vae_two_stage", 0)


@pytest.mark.parametrize(
    ("preset", "dataset"),
    [
        *(("demo", "photos32"), ("demo", "digits32"), ("cpu", "photos32"), ("cpu", "fashion_mnist")),
        *(("short", "cifar10"), ("paper", "cifar10")),
    ],
)
def test_equal_total_epochs(preset: str, dataset: str) -> None:
    """As many epochs for both stages together as for the VAE with the flow prior, on the same architecture."""
    flow, two_stage = (run_config(model, preset, dataset) for model in ("vae_isotropic", "vae_two_stage"))
    assert flow["training"]["epochs"] == two_stage["training"]["epochs"] + two_stage["base"]["training"]["epochs"]
    assert flow["network"] == two_stage["base"]["network"]
    schedules = [run["training"] for run in (flow, two_stage["base"], two_stage)]
    halvings = {s["schedule"] == "linear" or s["epochs"] / s["schedule"]["halve_every"] for s in schedules}
    assert len(halvings) == 1
    others = {"epochs": 0, "schedule": 0, "learning_rate": 0}  # the last may differ: config says why
    assert flow["training"] | others == two_stage["training"] | others
