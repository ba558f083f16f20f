"""The VAE (sections 3.1 and 3.2): its networks, ResNet and Infogan, its decoder's noise, its bound, its samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models_tools import changed, normal, photo_like, randomise, run_config, seeded, snapshot
from run_tools import CONFIG, COUNTS, Run, interrupt, newest, same_tensors

from vaeglow.config import merge, resolve
from vaeglow.data.arrays import write_dataset
from vaeglow.models.bounds import log_scale_floor, total
from vaeglow.models.kinds import build
from vaeglow.models.nets import DownConv, InfoganDecoder, InfoganEncoder, UpConv
from vaeglow.models.prior import FlowPrior
from vaeglow.models.vae import VAE
from vaeglow.training.checkpoint import pack
from vaeglow.training.optimise import Guard, build_optimizer

VARIANTS: dict[str, dict[str, Any]] = {
    "diagonal, flow prior": {},
    "isotropic": {"network": {"decoder_noise": "isotropic"}},
    "standard prior": {"prior": {"kind": "standard"}},
}
INFOGAN = {"network": {"architecture": "infogan", "base_dim": 4, "fc_dim": 16}}


def make(name: str = "diagonal, flow prior") -> VAE:
    """A tiny VAE of 8x8 colour images in evaluation mode, away from its start."""
    return randomise(build(run_config("vae", vae=dict(VARIANTS[name])))).eval()


def sized(architecture: str, channels: int, size: int, noise: str = "diagonal", **network: int) -> VAE:
    """A VAE of other images, with a standard prior."""
    sizes = {"num_scale": 2, "base_dim": 4, "fc_dim": 16, "latent_dim": 5, "batch_norm_momentum": 0.1, **network}
    made = {"prior": FlowPrior(5, 0, 0), "architecture": architecture, "decoder_noise": noise, "initial_noise": 1.0}
    return VAE(channels, size, 256, **made, **sizes)


# ---------------------------------------------------------------------------------------------- networks


def test_down_conv_pads_like_tensorflow() -> None:
    """'same' with stride 2 on an even side: the window of output i begins at input 2i, nothing is padded before."""
    conv = DownConv(2, 3)
    x = torch.randn(1, 2, 6, 4, generator=seeded())
    y = conv(x)
    assert y.shape == (1, 3, 3, 2)
    expected = torch.zeros_like(y)
    for i in range(3):
        for j in range(2):
            window = x[0, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]  # shorter at the far edge: zeros there
            weight = conv.weight[..., : window.shape[1], : window.shape[2]]
            expected[0, :, i, j] = (weight * window).sum((1, 2, 3)) + conv.bias
    torch.testing.assert_close(y, expected)


def test_up_conv_is_the_transpose_of_down_conv() -> None:
    """<DownConv(x), y> = <x, UpConv(y)> with the same weights."""
    down, up = DownConv(2, 3), UpConv(3, 2)
    with torch.no_grad():
        up.weight.copy_(down.weight)
        up.bias.zero_()
        down.bias.zero_()
    x, y = torch.randn(1, 2, 8, 8, generator=seeded(0)), torch.randn(1, 3, 4, 4, generator=seeded(1))
    assert up(y).shape == x.shape
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


@pytest.mark.parametrize("noise", ["diagonal", "isotropic"])
@pytest.mark.parametrize(
    ("architecture", "channels", "size"),
    [("resnet", 3, 4), ("resnet", 1, 16), ("infogan", 1, 28), ("infogan", 3, 4), ("infogan", 1, 12)],
)
def test_shapes_and_ranges(architecture: str, channels: int, size: int, noise: str) -> None:
    """Mean in (0, 1), noise above its floor, one for all where it is isotropic, posterior's log sd within [-7, 2]."""
    vae = randomise(sized(architecture, channels, size, noise)).eval()
    y = photo_like(3, channels, size)
    mean, log_scale = vae.encode(y)
    assert mean.shape == log_scale.shape == (3, 5)
    assert -7 <= log_scale.min() <= log_scale.max() <= 2
    decoded, decoded_log_scale = vae.decode(mean)
    assert decoded.shape == decoded_log_scale.shape == (3, channels, size, size)
    assert 0 <= decoded.min() < decoded.max() <= 1  # a sigmoid of float32 reaches its ends
    assert decoded_log_scale.min() >= log_scale_floor(256) - 1e-6
    assert (len(decoded_log_scale.unique()) == 1) == (noise == "isotropic")
    assert vae.sample(2, 1.0, seeded()).shape == vae.reconstruct(y[:2]).shape == (2, channels, size, size)


def test_the_infogan_encoders_layers_have_spectral_norm_one() -> None:
    """All four, heads included, whatever the size of the raw weights; the decoder's weights are free."""
    encoder = InfoganEncoder(3, 16, 8, 16, 5, 0.1)
    layers = [part for part in encoder.modules() if isinstance(part, torch.nn.Linear | torch.nn.Conv2d)]
    assert len(layers) == 4
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original.mul_(30)
        for _ in range(60):  # the power iteration goes on with every pass in training mode
            encoder(torch.rand(4, 3, 16, 16, generator=seeded()))
    encoder.eval()
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item()
        assert largest == pytest.approx(1, abs=0.02)
    names = [name for name, _ in InfoganDecoder(3, 16, 8, 16, 5, 0.1).named_parameters()]
    assert not any("parametrizations" in name for name in names)


def test_evaluation_depends_on_no_other_image_of_the_batch() -> None:
    """Batch and spectral norms rest in evaluation, and move in training."""
    vae = randomise(sized("infogan", 1, 28)).eval()
    before, y = snapshot(vae), photo_like(3, 1, 28)
    torch.testing.assert_close(vae.encode(y[:1])[0], vae.encode(y)[0][:1])
    assert changed(vae, before) == set()
    vae.train().encode(y)
    assert {"encoder.heads.parametrizations.weight.0._u", "encoder.trunk.3.running_mean"} <= changed(vae, before)


# ------------------------------------------------------------------------------------------ bound, samples


def test_decoder_noise_has_a_floor() -> None:
    """log s never below the sd of dequantisation noise, and free to grow above it."""
    floor = log_scale_floor(256)
    assert math.isclose(floor, math.log(1 / (256 * math.sqrt(12)))) and math.isclose(floor, -6.788, abs_tol=1e-3)
    assert math.isclose(log_scale_floor(4) - floor, math.log(64))
    vae = make()
    z = torch.randn(4, 5, generator=seeded())
    for raw, low, high in ((-1e4, floor, floor), (-3.0, -3.5, -2.5), (2.0, 1.5, 2.5)):
        with torch.no_grad():
            vae.decoder.last.weight[3:].zero_()
            vae.decoder.last.bias[3:].fill_(raw)
        mean, log_scale = vae.decode(z)
        assert (log_scale >= floor - 1e-6).all()
        assert low - 1e-5 <= log_scale.min() <= log_scale.max() <= high + 1e-5
        assert 0 < mean.min() < mean.max() < 1


def test_posterior_sd_is_bounded() -> None:
    """log sd in [-7, 2] however large the head's output, and close to that output in between."""
    vae = make()
    head = vae.encoder.raw_log_scale
    for raw, expected in ((-1e4, -7.0), (1e4, 2.0), (-2.5, -2.5), (-1.5, -1.5)):
        with torch.no_grad():
            head.weight.zero_()
            head.bias.fill_(raw)
        log_scale = vae.encode(photo_like(4, 3, 8))[1]
        assert -7 <= log_scale.min() <= log_scale.max() <= 2
        torch.testing.assert_close(log_scale, torch.full_like(log_scale, expected), atol=0.02, rtol=0)


def test_isotropic_and_diagonal_noise() -> None:
    """One learned standard deviation for all, or one for each pixel, channel and latent."""
    z = torch.randn(4, 5, generator=seeded())
    isotropic, diagonal = make("isotropic"), make()
    assert isotropic.raw_log_scale.shape == ()
    assert (isotropic.decoder.last.out_channels, diagonal.decoder.last.out_channels) == (3, 6)
    log_scale = diagonal.decode(z)[1]
    assert len(log_scale.unique()) > 0.9 * log_scale.numel()
    with torch.no_grad():  # a standard deviation, not a variance: gamma of Dai & Wipf
        isotropic.raw_log_scale.fill_(0.7)
    torch.testing.assert_close(isotropic.decode(z)[1].exp().mean(), torch.tensor(math.exp(0.7)), atol=5e-3, rtol=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_bound_by_hand(name: str) -> None:
    """The terms of eq. 1 at the very z drawn, by torch.distributions."""
    vae = make(name)
    y = photo_like(4, 3, 8)
    mean, log_scale = vae.encode(y)
    z = mean + log_scale.exp() * torch.randn(mean.shape, generator=seeded(7))
    decoded, decoded_log_scale = vae.decode(z)
    terms = vae.log_likelihood(y, seeded(7))
    torch.testing.assert_close(terms["reconstruction"], normal(y, decoded, decoded_log_scale.exp()))
    eps, log_det = vae.prior(z)
    torch.testing.assert_close(terms["negative_kl"], normal(eps, 0.0, 1.0) + log_det - normal(z, mean, log_scale.exp()))
    several = vae.log_weights(y, 3, seeded(7))
    assert several.shape == (4, 3)
    torch.testing.assert_close(several[:, 0], total(terms))
    assert (several.std(1) > 0).all()  # each column a fresh z


@pytest.mark.parametrize("name", VARIANTS)
def test_sampling(name: str) -> None:
    """Temperature 0 is the decoder mean, others scale the noise around it, the latent stays at 1."""
    vae = make(name)
    z = vae.prior_sample(6, seeded(3))
    mean, log_scale = vae.decode(z)
    cold, half, whole = (vae.sample(6, temperature, seeded(3)) for temperature in (0.0, 0.5, 1.0))
    assert torch.equal(cold, mean) and torch.equal(cold, vae.render(z))
    torch.testing.assert_close(whole - mean, 2 * (half - mean), atol=1e-5, rtol=1e-4)
    noise = (whole - mean) / log_scale.exp()
    assert abs(noise.mean()) < 0.1 and abs(noise.std() - 1) < 0.1
    assert torch.equal(whole, vae.sample(6, 1.0, seeded(3)))
    assert not torch.equal(cold, vae.sample(6, 0.0, seeded(4)))
    torch.testing.assert_close(vae.prior(z)[0], torch.randn(6, 5, generator=seeded(3)), atol=1e-4, rtol=1e-4)
    y = photo_like(3, 3, 8)
    assert torch.equal(vae.reconstruct(y), vae.decode(vae.encode(y)[0])[0])


# ------------------------------------------------------------------------------------ Infogan in training


@pytest.fixture(scope="module")
def grey_config() -> dict[str, Any]:
    """A tiny run on grey 28x28 images."""
    config = merge(CONFIG, {"models": {"vae": INFOGAN}})
    config["datasets"]["blobs"] |= {"channels": 1, "size": 28}
    return resolve(config, "tiny", "blobs", "vae", 0)


def test_infogan_learns_and_resumes_exactly(grey_config: dict[str, Any], tmp_path: Path) -> None:
    """Stopped in an epoch and resumed equals undisturbed: the power iteration's vectors are part of the state."""
    folder, random = tmp_path / "blobs", np.random.default_rng(0)
    splits = {k: random.integers(0, 256, (n, 1, 7, 7), np.uint8).repeat(4, 2).repeat(4, 3) for k, n in COUNTS.items()}
    info = {"name": "blobs", "kind": "folder", "channels": 1, "size": 28, "levels": 256}
    write_dataset(folder, splits, info | {"mean": [0.5], "std": [0.2], "source": {}})
    whole = Run(tmp_path / "whole", grey_config, folder).train()
    first, last = (float(row["bits_per_dim"]) for row in whole.rows())
    assert last < first
    stopped = interrupt(Run(tmp_path / "stopped", grey_config, folder), 3).train()
    assert same_tensors(newest(stopped), newest(whole))
    assert stopped.rows() == whole.rows()


def test_a_bad_step_leaves_norms_as_they_were(grey_config: dict[str, Any]) -> None:
    """Statistics of both kinds of batch norm and the spectral norms' vectors are put back."""
    model = build(grey_config).train()
    optimizer = build_optimizer(model.trainable(), grey_config["training"])
    guard = Guard(model, optimizer, 100.0, torch.device("cpu"))
    y = photo_like(4, 1, 28)
    for factor in (1.0, float("nan")):
        before = {name: tensor.clone() for name, tensor in pack(model, optimizer).items()}
        guard.before_forward()
        loss = factor * model.loss(y, seeded())[0]
        loss.backward()
        guard.step(loss)
        assert same_tensors(before, pack(model, optimizer)) == (factor != 1)
