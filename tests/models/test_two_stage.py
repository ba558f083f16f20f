"""The second-stage VAE: its bound by hand, its frozen first stage, its training; exact: `test_probability.py`."""

import math
from pathlib import Path

import pytest
import torch
from models_tools import normal, photo_like, randomise, run_config, seeded
from run_tools import CONFIG, Run, interrupt, newest, resolved, same_tensors
from torch.distributions import Normal, kl_divergence

from vaeglow.config import merge, resolve
from vaeglow.errors import UserError
from vaeglow.models.base import build
from vaeglow.models.bounds import total
from vaeglow.models.vae import VAE
from vaeglow.models.vae_two_stage import TwoStageVAE


def make() -> TwoStageVAE:
    """A tiny model of 8x8 colour images in evaluation mode, nothing at its start."""
    return randomise(build(run_config("vae_two_stage"))).eval()


def test_terms_by_hand() -> None:
    """For the same z and t, by torch.distributions; the net is [linear, ReLU] x depth, its input concatenated."""
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
    divergence = kl_divergence(Normal(t_mean, t_scale), Normal(0.0, 1.0)).sum(1)
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


def test_sampling_scales_pixel_noise_only_and_its_base_has_a_standard_prior() -> None:
    config = merge(CONFIG, {"models": {"vae_two_stage": {"base": "vae"}}})
    with pytest.raises(UserError, match=r"base 'vae' has prior.kind flow; .*name a VAE with that"):
        resolve(config, "tiny", "blobs", "vae_two_stage", 0)
    model = make()
    z = model.second.sample(6, seeded(3))
    cold, half, whole = (model.sample(6, temperature, seeded(3)) for temperature in (0.0, 0.5, 1.0))
    assert torch.equal(cold, model.vae.decode(z)[0])
    torch.testing.assert_close(whole - cold, 2 * (half - cold), atol=1e-5, rtol=1e-4)


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
    assert (one["negative_kl"] != two["negative_kl"]).all()  # z and t are sampled again
    assert torch.equal(one["negative_kl"], model.log_likelihood(y, seeded(2))["negative_kl"])
    loss, _ = model.loss(kept, seeded(2))
    expected = -(total(one) - 192 * math.log(256)) / (192 * math.log(2))
    torch.testing.assert_close(loss, expected.mean())


def test_an_epoch_costs_no_pass_of_stage_one_which_stays_as_it_is_and_resumes_exactly(
    standard_run: Run, two_stage_run: Run, tmp_path: Path, monkeypatch
) -> None:
    """Each image is encoded once, however many epochs, and once more at the end; resumed equals undisturbed."""
    run = interrupt(Run(tmp_path / "run", two_stage_run.config, two_stage_run.data, two_stage_run.base), 6).train()
    assert same_tensors(newest(run), newest(two_stage_run)) and run.rows() == two_stage_run.rows()
    kept = {name.removeprefix("vae."): t for name, t in run.weights().items() if name.startswith("vae.")}
    assert same_tensors(kept, standard_run.weights())
    encoded, plain = [], VAE.encode
    monkeypatch.setattr(VAE, "encode", lambda self, y: encoded.append(len(y)) or plain(self, y))
    Run(tmp_path, resolved("vae_two_stage", epochs=5), two_stage_run.data, two_stage_run.base).train()
    assert encoded == [16] * (4 + 4)


@pytest.mark.parametrize("preset", ["demo", "cpu", "short", "paper"])
def test_equal_total_epochs(preset: str) -> None:
    """As many epochs for both stages together as for the VAE with the flow prior, on the same architecture."""
    dataset = "cifar10" if preset in ("short", "paper") else "photos32"
    flow, second = (run_config(model, preset, dataset) for model in ("vae_isotropic", "vae_two_stage"))
    first, runs = second["base"], [run["training"] for run in (flow, second["base"], second)]
    assert runs[0]["epochs"] == runs[1]["epochs"] + runs[2]["epochs"]
    assert flow["network"] == first["network"]
    assert len({run["schedule"] == "linear" or run["epochs"] / run["schedule"]["halve_every"] for run in runs}) == 1
    others = {"epochs": 0, "schedule": 0, "learning_rate": 0}  # the last may differ: config says why
    assert runs[0] | others == runs[2] | others
