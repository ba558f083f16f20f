"""`Model.encode`, `decode` and `sharpen`."""

import pytest
import torch
from refusals import user_error
from run_tools import CHANNELS, SIZE

import vaeglow
from vaeglow.data.loader import SAMPLING, step_generator
from vaeglow.models.bounds import quantise

SHAPE = (CHANNELS, SIZE, SIZE)
BATCH = 100  # all samples are drawn in batches of so many


@pytest.fixture(params=["vae", "vaeglow", "vaeglow_beyond"])
def model(request) -> vaeglow.Model:
    return vaeglow.load(request.getfixturevalue(f"{request.param}_run").model, device="cpu")


@pytest.fixture
def layered(vaeglow_run) -> vaeglow.Model:
    return vaeglow.load(vaeglow_run.model, device="cpu")


def prior_draws(model: vaeglow.Model, seed: int) -> torch.Tensor:
    """The latents of the model's samples."""
    vae = getattr(model.network, "vae", model.network)
    with torch.no_grad():
        return vae.prior_sample(BATCH, step_generator(seed, SAMPLING, 0))


def test_a_code_is_a_gaussian_of_each_image(model, images):
    mean, sd = model.encode(images)
    assert mean.shape == sd.shape == (12, 4)  # latent_dim
    assert mean.dtype == sd.dtype == torch.float32
    assert (sd > 0).all()
    assert not mean.requires_grad
    other, _ = model.encode(images.numpy(), seed=1)
    assert not torch.equal(other, mean)


def test_the_mean_code_decodes_to_the_reconstruction(model, images):
    many = images.repeat(10, 1, 1, 1)  # more than a batch
    mean, _ = model.encode(many, seed=3)
    decoded = model.decode(mean, temperature=0)
    assert torch.equal(decoded, model.reconstruct(many, seed=3))
    assert torch.equal(decoded, model.decode(mean.numpy(), 0, seed=1))
    backwards = mean.numpy()[::-1].copy()[::-1]  # torch takes no negative strides
    assert torch.equal(decoded, model.decode(backwards, 0, seed=1))


def test_latents_of_the_prior_decode_to_samples(model):
    z = prior_draws(model, 5)
    mean = model.decode(z, temperature=0.0)
    assert torch.equal(mean, model.sample(BATCH, 0.0, seed=5))
    noisy = model.decode(z, 0.5, seed=1)
    assert noisy.shape == (BATCH, *SHAPE)
    assert noisy.dtype == torch.uint8
    assert torch.equal(noisy, model.decode(z, 0.5, seed=1))
    assert not torch.equal(noisy, model.decode(z, 0.5, seed=2))
    moved = []
    for temperature in (0.1, 0.5, 1.0):
        change = model.decode(z, temperature) - mean.float()
        moved.append(change.square().mean())
    assert 0 < moved[0] < moved[1] < moved[2]


def test_the_layer_sharpens_the_decoders_mean_to_the_sample(layered):
    with torch.no_grad():
        means = layered.network.vae.decode(prior_draws(layered, 5))[0]
    sample = layered.sample(BATCH, 0.0, seed=5)
    assert torch.equal(layered.sharpen(means, temperature=0), sample)
    array = means.double().numpy()
    assert torch.equal(layered.sharpen(array, 0), sample)
    rounded = quantise(means, 256)
    change = layered.sharpen(rounded, 0).int() - sample.int()
    assert change.abs().max() <= 4


def test_sharpening_is_of_images_and_a_function_of_the_seed(layered, images):
    first = layered.sharpen(images, temperature=0.5, seed=1)
    assert first.shape == images.shape
    assert first.dtype == torch.uint8
    again = layered.sharpen(images.numpy(), 0.5, seed=1)
    assert torch.equal(first, again)
    other = layered.sharpen(images, 0.5, seed=2)
    assert not torch.equal(first, other)
    middle = (images + 0.5) / 256
    with torch.no_grad():
        expected = layered.network.layer.inverse(middle)
    assert torch.equal(layered.sharpen(images, 0), quantise(expected, 256))


def test_images_that_overflow_give_a_warning(layered, images, monkeypatch):
    inverse = layered.network.layer.inverse
    endless = torch.tensor([torch.inf] + [1.0] * (len(images) - 1)).reshape(-1, 1, 1, 1)
    monkeypatch.setattr(layered.network.layer, "inverse", lambda x: inverse(x) * endless)
    with pytest.warns(UserWarning, match=f"1 of {len(images)} samples overflowed and were clipped"):
        layered.sharpen(images)
    with pytest.warns(UserWarning, match="1 of 12 samples overflowed"):
        layered.decode(torch.zeros(12, 4))


def test_what_is_refused(layered, images, vae_run, glow_run):
    glow, vae = (vaeglow.load(run.model, "cpu") for run in (glow_run, vae_run))
    z = torch.zeros(2, 4)
    for says, ask in {
        "glow is a glow: encode needs a model with one VAE latent": lambda: glow.encode(images),
        "glow is a glow: decode needs": lambda: glow.decode(z),
        "vae is a vae: sharpen needs a vae_glow": lambda: vae.sharpen(images),
        r"latents must be finite numbers \[N, 4\]": lambda: vae.decode(torch.zeros(2, 5)),
        "latents must be finite": lambda: vae.decode(z + torch.nan),
        "latents must be": lambda: vae.decode("z"),
        "must be finite numbers": lambda: vae.decode(z[:0]),
        "temperature -1 is not": lambda: vae.decode(z, -1),
        r"images must be finite numbers \[N, 3, 8, 8\]": lambda: layered.sharpen(images[:, :1] / 255),
        r"floats must lie in \[0, 1\]": lambda: layered.sharpen(images.float()),
        "must be uint8, not str": lambda: layered.sharpen("x.png"),
        "temperature nan is not": lambda: layered.sharpen(images, float("nan")),
    }.items():
        with user_error(says):
            ask()
