"""`vaeglow.load(path)` and what a model in hand can do."""

import sys
from typing import Any

import pytest
import torch
from run_tools import CHANNELS, SIZE, blobs
from waiting import call

import vaeglow
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.likelihood import EVALUATION
from vaeglow.models.bounds import quantise

SHAPE = (CHANNELS, SIZE, SIZE)


@pytest.fixture(scope="session")
def loaded(vae_run, vaeglow_run, glow_run) -> dict[str, Any]:
    runs = {"vae": vae_run, "vaeglow": vaeglow_run, "glow": glow_run}
    return {name: vaeglow.load(str(run.model), device="cpu") for name, run in runs.items()}


@pytest.fixture(params=["vae", "vaeglow", "glow"])
def model(request, loaded):
    return loaded[request.param]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(blobs(12, 9))


def test_samples_are_images_and_a_function_of_the_seed(model):
    first = model.sample(16, temperature=0.5, seed=0)
    assert first.shape == (16, *SHAPE) and first.dtype == torch.uint8 and first.device.type == "cpu"
    assert torch.equal(first, model.sample(16, temperature=0.5, seed=0))
    assert not torch.equal(first, model.sample(16, temperature=0.5, seed=1))
    assert len(first.flatten(1).unique(dim=0)) == 16
    assert len(first.unique()) > 20  # not clipped to black and white


def test_bits_per_dim_is_a_number_an_image(model, images):
    bits = model.bits_per_dim(images)
    assert bits.shape == (12,) and bits.is_floating_point() and bits.device.type == "cpu"
    assert torch.isfinite(bits).all() and (bits > 0).all() and (bits < 12).all()
    assert torch.equal(bits, model.bits_per_dim(images, importance_samples=1, seed=0))
    assert torch.equal(bits, model.bits_per_dim(images.numpy()))
    assert not torch.equal(bits, model.bits_per_dim(images, seed=1))


@pytest.mark.parametrize("method", ["bits_per_dim", "reconstruct"])
def test_wrong_images_are_refused_in_one_line(method, model, images):
    for wrong, message in [
        (images.float() / 255, "must be uint8, not torch.float32"),
        (images.numpy() / 255, "must be uint8"),
        (images[0], r"shape \[N, 3, 8, 8\], not \[3, 8, 8\]"),
        (images[:0], r"not \[0, 3, 8, 8\]"),
        (images[:, :1], r"not \[12, 1, 8, 8\]"),
        (images.permute(0, 2, 3, 1), r"not \[12, 8, 8, 3\]"),
    ]:
        with pytest.raises(UserError, match=message):
            getattr(model, method)(wrong)


def test_pixel_values_beyond_the_levels(loaded, images, monkeypatch):
    vae = loaded["vae"]
    monkeypatch.setattr(vae.network, "levels", 4)
    with pytest.raises(UserError, match="out of range: the model knows 4 levels"):
        vae.bits_per_dim(images)
    assert torch.isfinite(vae.bits_per_dim(images // 64)).all()


def test_glow_gives_the_images_back(loaded, images):
    assert torch.equal(loaded["glow"].reconstruct(images), images)


@pytest.mark.parametrize("name", ["vae", "vaeglow"])
def test_reconstructions_are_of_the_posterior_mean(name, loaded, images):
    found, network = loaded[name].reconstruct(images, seed=4), loaded[name].network
    assert found.shape == images.shape and found.dtype == torch.uint8
    vae = getattr(network, "vae", network)
    y = dequantise(images, 256, step_generator(4, EVALUATION, 0))
    with torch.no_grad():
        mean = vae.decode(vae.encode(y)[0])[0]  # g_mu(E[z|y])
        expected = mean if vae is network else network.layer.inverse(mean)[0]
    assert torch.equal(found, quantise(expected, 256))


def test_what_cannot_be_sampled_or_interpolated(loaded, images):
    glow, vae = loaded["glow"], loaded["vae"]
    for says, ask in {
        "glow is a glow: interpolate needs a model with one VAE latent": lambda: glow.interpolate(1, 2),
        "not 0 and 5": lambda: vae.interpolate(0, 5),
        "not 2 and 1": lambda: vae.interpolate(2, 1),
        "no space 'pixels' to interpolate in: take prior or latent": lambda: vae.interpolate(1, 2, space="pixels"),
        "0 samples": lambda: glow.sample(0),
        "temperature": lambda: vae.sample(1, temperature=float("nan")),
        "not 15": lambda: vae.bits_per_dim(images, importance_samples=15),
    }.items():
        with pytest.raises(UserError, match=says):
            ask()


def test_cuda_without_a_gpu(vae_run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"torch sees no GPU: use auto or cpu"):
        vaeglow.load(vae_run.model, device="cuda")
    with pytest.raises(UserError, match="unknown device 'gpu'"):
        vaeglow.load(vae_run.model, device="gpu")
    assert vaeglow.load(vae_run.model, device="auto").device.type == "cpu"


def test_modules_load_only_what_they_need():
    light = ["config.check", "config.plan", "files", "results", "steps.cli", "front_door", "time_left", "verify"]
    light += [f"reporting.{name}" for name in ("claims", "figures", "tables")]
    working = ["training.run", "training.timing", "evaluation.trained", "weights"]
    heavy = {"pandas", "scipy", "torchvision", "matplotlib", "sklearn", "skimage", "pytorch_fid"}
    planning = ["config.check", "config.plan", "reporting.claims", "front_door", "time_left"]
    for own, unneeded in ((light, {"torch"}), (working, heavy), (planning, {"torch", *heavy})):
        modules = ", ".join(["vaeglow", *(f"vaeglow.{name}" for name in own)])
        code = f"import sys, {modules}; print({unneeded!r} & {{*sys.modules}})"
        done = call([sys.executable, "-c", code])
        assert done.stdout == "set()\n", done.stderr
