"""`vaeglow.load(path)` and what a model in hand can do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from run_tools import CHANNELS, ROOT, SIZE, blobs

import vaeglow
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.likelihood import EVALUATION
from vaeglow.evaluation.probes.interpolation import INTERPOLATION
from vaeglow.models.bounds import normal_like, quantise

SHAPE = (CHANNELS, SIZE, SIZE)


@pytest.fixture(scope="session")
def vae(vae_run):
    return vaeglow.load(vae_run.model, device="cpu")


@pytest.fixture(scope="session")
def vaeglow_model(vaeglow_run):
    return vaeglow.load(str(vaeglow_run.model), device="cpu")


@pytest.fixture(scope="session")
def glow(glow_run):
    return vaeglow.load(glow_run.model, device="cpu")


@pytest.fixture(scope="session", params=["vae", "vaeglow_model", "glow"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session", params=["vae", "vaeglow_model"])
def latent_model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(blobs(12, 9))


def test_load_tells_what_it_is(any_run):
    model = vaeglow.load(any_run.model)
    assert model.config == any_run.config
    assert model.about["data"]["name"] == "blobs"
    assert not model.network.training


# ---------------------------------------------------------------------------------------------- sample


def test_samples_are_images_and_a_function_of_the_seed(model):
    first = model.sample(16, temperature=0.5, seed=0)
    assert first.shape == (16, *SHAPE) and first.dtype == torch.uint8 and first.device.type == "cpu"
    assert torch.equal(first, model.sample(16, temperature=0.5, seed=0))
    assert not torch.equal(first, model.sample(16, temperature=0.5, seed=1))
    assert len(first.flatten(1).unique(dim=0)) == 16
    assert len(first.unique()) > 20  # not clipped to black and white


def test_the_first_samples_do_not_depend_on_the_count(model):
    many = model.sample(103, temperature=1.0, seed=3)
    assert torch.equal(model.sample(5, temperature=1.0, seed=3), many[:5])
    assert len(many) == 103 and len(many.flatten(1).unique(dim=0)) == 103


def test_sampling_does_not_depend_on_the_global_generator(model):
    torch.manual_seed(1)
    first = model.sample(3, temperature=1.0, seed=0)
    state = torch.get_rng_state()
    assert torch.equal(first, model.sample(3, temperature=1.0, seed=0))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("count", [0, -1])
def test_no_samples_are_refused(count, model):
    with pytest.raises(UserError, match=f"{count} samples"):
        model.sample(count, temperature=1.0, seed=0)


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_a_temperature_that_is_none(temperature, model):
    with pytest.raises(UserError, match="temperature"):
        model.sample(1, temperature=temperature, seed=0)


# ---------------------------------------------------------------------------------------- bits per dim


def test_bits_per_dim_is_a_number_an_image(model, images):
    bits = model.bits_per_dim(images)
    assert bits.shape == (12,) and bits.is_floating_point() and bits.device.type == "cpu"
    assert torch.isfinite(bits).all() and (bits > 0).all() and (bits < 12).all()
    assert torch.equal(bits, model.bits_per_dim(images, importance_samples=1, seed=0))
    assert torch.equal(bits, model.bits_per_dim(images.numpy()))
    assert not torch.equal(bits, model.bits_per_dim(images, seed=1))


def test_noise_images_cost_more_than_images_like_the_data(model, images):
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, images.shape, dtype=np.uint8))
    assert model.bits_per_dim(noise).mean() > model.bits_per_dim(images).mean()


def test_the_importance_bound_tightens(model, images):
    """Within three standard errors: without a latent the noise u alone is left, and it gains very little."""
    one, five, fifty = (
        torch.stack([model.bits_per_dim(images, samples, seed) for seed in range(8)]).flatten()
        for samples in (1, 5, 50)
    )
    for gain in (one - five, five - fifty):
        assert gain.mean() > -3 * gain.std() / len(gain) ** 0.5 - 1e-9
    if model.network.bound == "<=":
        assert one.mean() > five.mean() > fifty.mean()


@pytest.mark.parametrize("samples", [0, -10, 15, 101])
def test_an_illegal_number_of_importance_samples(samples, model, images):
    with pytest.raises(UserError, match=f"not {samples}"):
        model.bits_per_dim(images, importance_samples=samples)


def test_images_are_left_alone(model, images):
    before = images.clone()
    model.bits_per_dim(images)
    model.reconstruct(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("method", ["bits_per_dim", "reconstruct"])
def test_wrong_images_are_refused_in_one_line(method, model, images):
    for wrong, message in [
        (images.float() / 255, "must be uint8, not torch.float32"),
        (images.long(), "must be uint8"),
        (images.numpy() / 255, "must be uint8"),
        (images[0], r"shape \[N, 3, 8, 8\], not \[3, 8, 8\]"),
        (images[:0], r"not \[0, 3, 8, 8\]"),
        (images[:, :1], r"not \[12, 1, 8, 8\]"),
        (images.permute(0, 2, 3, 1), r"not \[12, 8, 8, 3\]"),
        (images[..., :4], r"not \[12, 3, 8, 4\]"),
    ]:
        with pytest.raises(UserError, match=message):
            getattr(model, method)(wrong)


def test_pixel_values_beyond_the_levels(vae, images, monkeypatch):
    monkeypatch.setattr(vae.network, "levels", 4)
    with pytest.raises(UserError, match="out of range: the model knows 4 levels"):
        vae.bits_per_dim(images)
    assert torch.isfinite(vae.bits_per_dim(images // 64)).all()


# ----------------------------------------------------------------------------------------- reconstruct


def test_glow_gives_the_images_back(glow, images):
    assert torch.equal(glow.reconstruct(images), images)


def test_reconstructions_are_of_the_posterior_mean(latent_model, images):
    found = latent_model.reconstruct(images, seed=4)
    assert found.shape == images.shape and found.dtype == torch.uint8
    network = latent_model.network
    vae = getattr(network, "vae", network)
    y = dequantise(images, 256, step_generator(4, EVALUATION, 0))
    with torch.no_grad():
        mean = vae.decode(vae.encode(y)[0])[0]  # g_mu(E[z|y])
        expected = mean if vae is network else network.layer.inverse(mean)[0]
    assert torch.equal(found, quantise(expected, 256))


def test_a_vaeglow_reconstruction_maps_forward_to_the_decoder_mean(vaeglow_model, images):
    network = vaeglow_model.network
    y = (images.float() + 0.5) / 256
    with torch.no_grad():
        x_bar = network.layer(network.reconstruct(y))[0]
        torch.testing.assert_close(x_bar, network.vae.reconstruct(y), rtol=0, atol=1e-4)
        assert (network.reconstruct(y) - network.vae.reconstruct(y)).abs().max() > 1e-3  # f is not the identity


# ----------------------------------------------------------------------------------------- interpolate


def test_interpolation_joins_the_renders_of_two_latents(latent_model):
    images = latent_model.interpolate(pairs=4, steps=5, seed=0)
    assert images.shape == (4, 5, *SHAPE) and images.dtype == torch.uint8
    network = latent_model.network
    prior = getattr(network, "vae", network).prior
    eps = normal_like(torch.empty(2, 4, 1, prior.dims), step_generator(0, INTERPOLATION, 0))[:, :, 0]
    with torch.no_grad():
        for weight, shown in [(0.0, images[:, 0]), (0.5, images[:, 2]), (1.0, images[:, -1])]:
            z = prior.inverse(eps[0] * (1 - weight) + eps[1] * weight)[0]
            difference = shown.int() - quantise(network.render(z), 256).int()
            assert difference.abs().max() <= 1  # batches of another size round differently
    assert not torch.equal(images[:, 0], images[:, -1])
    assert not torch.equal(images[0], images[1])
    assert torch.equal(images, latent_model.interpolate(pairs=4, steps=5, seed=0))
    assert not torch.equal(images, latent_model.interpolate(pairs=4, steps=5, seed=1))


def test_both_spaces_join_the_same_ends_by_other_ways(latent_model):
    straight = latent_model.interpolate(pairs=3, steps=5, seed=0)
    round_ = latent_model.interpolate(pairs=3, steps=5, seed=0, space="latent")
    for end in (0, -1):
        assert (straight[:, end].int() - round_[:, end].int()).abs().max() <= 1
    assert not torch.equal(straight[:, 2], round_[:, 2])
    with pytest.raises(UserError, match="no space 'pixels' to interpolate in: take prior or latent"):
        latent_model.interpolate(pairs=1, steps=2, seed=0, space="pixels")


def test_interpolation_takes_more_than_a_batch(vae):
    assert vae.interpolate(pairs=11, steps=10, seed=0).shape == (11, 10, *SHAPE)


def test_glow_cannot_interpolate(glow):
    with pytest.raises(UserError, match="glow is a glow: interpolate needs a model with one VAE latent"):
        glow.interpolate(pairs=1, steps=2, seed=0)


@pytest.mark.parametrize(("pairs", "steps"), [(0, 5), (2, 1), (-1, 2)])
def test_interpolations_of_nothing(pairs, steps, vae):
    with pytest.raises(UserError, match=f"not {pairs} and {steps}"):
        vae.interpolate(pairs=pairs, steps=steps, seed=0)


# ------------------------------------------------------------------------------------- device, imports


def test_cuda_without_a_gpu(vae_run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"torch sees no GPU: use auto or cpu"):
        vaeglow.load(vae_run.model, device="cuda")
    with pytest.raises(UserError, match="unknown device 'gpu'"):
        vaeglow.load(vae_run.model, device="gpu")
    assert vaeglow.load(vae_run.model, device="auto").device.type == "cpu"


def test_a_missing_file(tmp_path):
    with pytest.raises(vaeglow.UserError, match="train the model first"):
        vaeglow.load(tmp_path / "model.safetensors", device="cpu")


def test_light_modules_load_no_torch():
    own = ["config.check", "config.plan", "files", "provenance", "results", "steps.cli", "verify"]
    own += [f"reporting.{name}" for name in ("drawn", "figures", "forms", "tables")]
    modules = ", ".join(["vaeglow", *(f"vaeglow.{name}" for name in own)])
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
