"""The VAE (3.1, 3.2): its networks, noise, bound and samples; and the second stage; exact: `test_probability.py`."""

import math
from typing import Any

import pytest
import torch
from models_tools import normal, photo_like, randomise, run_config, seeded
from run_tools import Run, assert_equal_runs, interrupt, losses, resolved
from test_model_kinds import config_of
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn import BatchNorm1d, BatchNorm2d, Conv2d, ConvTranspose2d, LeakyReLU, Linear
from torch.testing import assert_close

from vaeglow.models.base import build
from vaeglow.models.bounds import log_scale_floor
from vaeglow.models.nets import ARCHITECTURES, DownConv, InfoganDecoder, InfoganEncoder, UpConv
from vaeglow.models.vae import VAE, FlowPrior

VARIANTS = ["vae", "vae isotropic", "vae standard"]
FLOOR = math.log(1 / (256 * math.sqrt(12)))  # of the log sd: that of dequantisation noise


def make(name: str) -> Any:
    """A tiny model of 8x8 colour images in evaluation mode, nothing at its start."""
    return randomise(build(config_of(name))).eval()


def log_density(value: Tensor, gaussian: tuple[Tensor, Tensor]) -> Tensor:
    """Of a Gaussian, its mean and log sd, by torch.distributions: [N]."""
    mean, log_scale = gaussian
    return normal(value, mean, log_scale.exp())


def drawn(gaussian: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
    mean, log_scale = gaussian
    return mean + log_scale.exp() * torch.randn(mean.shape, generator=generator)


def sized(architecture: str, noise: str, channels: int, size: int) -> VAE:
    """An untrained VAE of other images, with a standard prior."""
    network = run_config("vae")["network"]
    network |= {
        "architecture": architecture,
        "decoder_noise": noise,
        "initial_noise": 0.15,
    }
    return VAE(channels, size, 256, FlowPrior(5, 0, 0), network)


def test_convolutions_of_stride_2_are_tensorflows():
    """'same': nothing is padded before, one zero after; UpConv is the transpose."""
    down = DownConv(2, 3)
    up = UpConv(3, 2)
    x = torch.randn(1, 2, 8, 6, generator=seeded(0)).requires_grad_()
    y = torch.randn(1, 3, 4, 3, generator=seeded(1))
    padded = torch.nn.functional.pad(x, (0, 1, 0, 1))
    windows = padded.unfold(2, 3, 2).unfold(3, 3, 2)  # that of output i begins at input 2i
    expected = torch.einsum("nchwij,ocij->nohw", windows, down.weight) + down.bias.view(-1, 1, 1)
    assert_close(down(x), expected)
    up.load_state_dict({"weight": down.weight, "bias": torch.zeros(2)})
    (transposed,) = torch.autograd.grad(expected, x, y)
    assert_close(up(y), transposed)


def test_the_infogan_encoders_layers_have_spectral_norm_one():
    """All four, heads included, whatever the size of the raw weights."""
    vae = sized("infogan", "diagonal", 3, 16).train()
    layers = [part for part in vae.encoder.modules() if hasattr(part, "parametrizations")]
    assert len(layers) == 4
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original.mul_(30)
        for _ in range(60):  # the power iteration goes on with every pass in training mode
            vae.encoder(torch.rand(4, 3, 16, 16, generator=seeded()))
    vae.eval()
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
        assert largest == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("networks", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_the_layers_are_as_the_sources_have_them(networks):
    """Slopes, batch norms' momentum, the spread of fresh weights: uniform after Glorot, or normal of sd .02."""
    sizes = {"base_dim": 16, "num_scale": 2, "fc_dim": 64, "latent_dim": 8}
    for network in networks:
        made = network(channels=3, size=8, batch_norm_momentum=0.3, **sizes)
        layers = [layer for layer in made.modules() if not hasattr(layer, "parametrizations")]
        norms = [layer for layer in layers if isinstance(layer, BatchNorm1d | BatchNorm2d)]
        assert {norm.momentum for norm in norms} == {0.3}
        slopes = [layer.negative_slope for layer in layers if isinstance(layer, LeakyReLU)]
        assert slopes == (3 * [0.2] if network is InfoganEncoder else [])
        for layer in layers:
            if isinstance(layer, Linear | Conv2d | ConvTranspose2d):
                weight = layer.weight
                fans = (weight.shape[0] + weight.shape[1]) * weight[0, 0].numel()
                expected = 0.02 if network is InfoganDecoder else math.sqrt(2 / fans)
                error = 4 * expected / math.sqrt(2 * weight.numel())
                assert weight.std().item() == pytest.approx(expected, abs=error)
                assert not layer.bias.any()


@pytest.mark.parametrize("raw, posterior, decoder", [(-1e4, -7, FLOOR), (-2.5, -2.5, -2.5), (1e4, 2, 1e4)])
@torch.no_grad()
def test_standard_deviations_are_bounded_softly(raw, posterior, decoder):
    """The decoder's log sd by that of dequantisation noise, the posterior's to [-7, 2]; else near the raw value."""
    assert math.isclose(log_scale_floor(256), FLOOR)
    diagonal = make("vae")
    isotropic = make("vae isotropic")
    isotropic.raw_log_scale.fill_(raw)
    for layer, first in ((diagonal.encoder.raw_log_scale, 0), (diagonal.decoder.last, 3)):
        layer.weight[first:] = 0
        layer.bias[first:] = raw
    z, log_scale = diagonal.encode(photo_like(4, 3, 8))
    assert_close(log_scale, torch.full_like(log_scale, posterior), atol=0.02, rtol=0)
    for vae in (diagonal, isotropic):
        _, log_scale = vae.decode(z)
        assert log_scale.min() >= FLOOR - 1e-6
        assert_close(log_scale, torch.full_like(log_scale, decoder), atol=0.02, rtol=0)


@pytest.mark.parametrize("noise", ["diagonal", "isotropic", "fixed"])
@pytest.mark.parametrize(
    "architecture, channels, size",
    [
        ("resnet", 3, 4),
        ("resnet", 1, 16),
        ("infogan", 3, 12),
        ("infogan", 1, 28),
    ],
)
def test_every_noise_starts_alike(architecture, channels, size, noise):
    """At `initial_noise` everywhere (3.1), for a fair comparison; `fixed` noise gets no gradient."""
    vae = sized(architecture, noise, channels, size)
    mean, log_scale = vae.decode(torch.randn(64, 5, generator=seeded(0)))
    assert mean.shape == log_scale.shape == (64, channels, size, size)
    assert 0 < mean.min() <= mean.max() < 1
    assert_close(log_scale, torch.full_like(log_scale, math.log(0.15)), atol=0.01, rtol=0)  # soft floor
    loss, _ = vae.loss(photo_like(4, channels, size), seeded(1))
    loss.backward()
    learned = {name for name, parameter in vae.named_parameters() if parameter.grad is not None}
    assert ("raw_log_scale" in learned) == (noise == "isotropic")


def test_training_under_the_standard_normal_takes_the_divergence_in_closed_form():
    """As torch.distributions has it, whatever z; in evaluation, and under a flow, one sample of it, unbiased."""
    vae = make("vae standard")
    flow = make("vae")
    y = photo_like(3, 3, 8)
    mean, log_scale = vae.encode(y)
    exact = kl_divergence(Normal(mean, log_scale.exp()), Normal(0.0, 1.0)).sum(1)

    def sampled(model: VAE, seed: int) -> Tensor:
        _, negative_kl = model.posterior_sample(y, seeded(seed))
        return -negative_kl

    divergences = torch.stack([sampled(vae, seed) for seed in range(400)])
    error = divergences.std(0) / 20
    assert ((divergences.mean(0) - exact).abs() < 5 * error).all()
    for model in (vae, flow):
        model.training = True  # the batch norms stay as they are
    assert_close(sampled(vae, 1), exact)
    assert (sampled(flow, 1) != sampled(flow, 2)).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_bound_by_hand(name):
    """The terms of eq. 1 for the same z, by torch.distributions."""
    vae = make(name)
    y = photo_like(4, 3, 8)
    posterior = vae.encode(y)
    z = drawn(posterior, seeded(7))
    eps, log_det = vae.prior(z)
    log_prior = normal(eps, 0.0, 1.0) + log_det
    terms = vae.log_likelihood(y, seeded(7))
    assert_close(terms["reconstruction"], log_density(y, vae.decode(z)))
    assert_close(terms["negative_kl"], log_prior - log_density(z, posterior))


@pytest.mark.parametrize("name", [*VARIANTS, "vae_two_stage"])
def test_sampling(name):
    """Temperature 0 is the decoder mean, others scale the noise around it, the latent stays at 1."""
    model = make(name)
    if name == "vae_two_stage":
        vae = model.vae
        z = model.second.sample(6, seeded(3))
    else:
        vae = model
        z = vae.prior_sample(6, seeded(3))
        assert_close(vae.prior(z)[0], torch.randn(6, 5, generator=seeded(3)), atol=1e-4, rtol=1e-4)
    mean, log_scale = vae.decode(z)
    cold, half, whole = (model.sample(6, temperature, seeded(3)) for temperature in (0.0, 0.5, 1.0))
    assert torch.equal(cold, mean)
    assert_close(whole - mean, 2 * (half - mean), atol=1e-5, rtol=1e-4)
    noise = (whole - mean) / log_scale.exp()
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.1


def test_infogan_learns_and_resumes_exactly(tmp_path, blobs_dir):
    """The power iteration's vectors are part of the state; a bad step: `test_trainer.py`."""
    config = resolved("infogan")
    whole = Run(tmp_path / "whole", config, blobs_dir).train()
    first, last = losses(whole.rows())
    assert last < first
    assert_equal_runs(interrupt(Run(tmp_path / "stopped", config, blobs_dir), 3).train(), whole)


def test_terms_by_hand():
    """For the same z and t, by torch.distributions; the net is [linear, ReLU] x depth, its input concatenated."""
    model = make("vae_two_stage")
    second = model.second
    y = photo_like(4, 3, 8)
    generator = seeded(7)
    posterior = model.vae.encode(y)
    z = drawn(posterior, generator)
    hidden = z
    for layer in second.encoder.layers:
        hidden = torch.relu(layer(hidden))
    t_mean = second.mean(torch.cat([z, hidden], 1))
    _, t_log_scale = second.encode(z)
    t_posterior = (t_mean, t_log_scale)
    t = drawn(t_posterior, generator)
    z_mean, _ = second.decode(t)
    log_z = normal(z, z_mean, second.log_gamma.exp())
    divergence = kl_divergence(Normal(t_mean, t_log_scale.exp()), Normal(0.0, 1.0)).sum(1)
    reconstruction = log_density(y, model.vae.decode(z))
    terms = model.log_likelihood(y, seeded(7))
    assert_close(terms["reconstruction"], reconstruction)
    assert_close(terms["negative_kl"], log_z - divergence - log_density(z, posterior))
    log_joint = normal(t, 0.0, 1.0) + log_z + reconstruction
    weights = model.log_weights(y, 3, seeded(7))
    assert_close(weights[:, 0], log_joint - log_density(t, t_posterior) - log_density(z, posterior))


def test_kept_inputs_give_the_same_bound():
    """From (mean, log sd, reconstruction) kept once: in the mean the bound from the images themselves."""
    model = make("vae_two_stage")
    y = photo_like(4, 3, 8)
    kept = model.inputs(y, seeded(1))
    posterior = model.vae.encode(y)
    reconstruction = log_density(y, model.vae.decode(drawn(posterior, seeded(1))))
    assert_close(kept, torch.cat([*posterior, reconstruction[:, None]], 1))
    first, second = (model.training_terms(kept, seeded(seed)) for seed in (2, 3))
    assert torch.equal(first["reconstruction"], kept[:, -1])
    assert torch.equal(first["negative_kl"], model.log_likelihood(y, seeded(2))["negative_kl"])
    assert (first["negative_kl"] != second["negative_kl"]).all()  # z and t are sampled again


def test_an_epoch_costs_no_pass_of_stage_one_and_resumes_exactly(standard_run, two_stage_run, tmp_path, monkeypatch):
    """Each image is encoded once, however many epochs, and once more at the end; resumed equals undisturbed."""
    data = two_stage_run.data
    run = interrupt(Run(tmp_path / "run", two_stage_run.config, data, standard_run), 6).train()
    assert_equal_runs(run, two_stage_run)
    encoded = []
    plain = VAE.encode

    def encode(self: VAE, y: Tensor) -> tuple[Tensor, Tensor]:
        encoded.append(len(y))
        return plain(self, y)

    monkeypatch.setattr(VAE, "encode", encode)
    Run(tmp_path, resolved("vae_two_stage", epochs=5), data, standard_run).train()
    assert encoded == [16] * (4 + 4)


@pytest.mark.parametrize("preset", ["demo", "cpu", "short", "paper"])
def test_the_two_rows_of_table_1_differ_in_the_prior_alone(preset):
    """Both VAEs have the same architecture and training; the second stage comes on top."""
    dataset = "cifar10" if preset in ("short", "paper") else "photos32"
    flow = run_config("vae_isotropic", preset, dataset)
    first = run_config("vae_two_stage", preset, dataset)["base"]
    assert flow["network"] == first["network"]
    assert flow["training"] == first["training"]
    assert first["prior"]["kind"] == "standard"
    assert flow["prior"]["kind"] == "flow"
