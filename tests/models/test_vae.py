"""The VAE (sections 3.1 and 3.2): its networks, ResNet and Infogan, its decoder's noise, its bound, its samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from models_tools import changed, normal, photo_like, randomise, run_config, seeded, snapshot
from run_tools import CONFIG, Run, interrupt, newest, prepare, same_tensors

from vaeglow.config import merge, resolve
from vaeglow.models.bounds import log_scale_floor, total
from vaeglow.models.kinds import build
from vaeglow.models.nets import DownConv, UpConv
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


def sized(architecture: str, channels: int, size: int, noise: str = "diagonal") -> VAE:
    """The same of other images, with a standard prior."""
    widths = {"num_scale": 2, "base_dim": 4, "fc_dim": 16, "latent_dim": 5, "batch_norm_momentum": 0.1}
    network = {"architecture": architecture, "decoder_noise": noise, "initial_noise": 1.0, **widths}
    return randomise(VAE(channels, size, 256, FlowPrior(5, 0, 0), network)).eval()


# ---------------------------------------------------------------------------------------------- networks


def test_convolutions_of_stride_2_are_tensorflows() -> None:
    """'same': nothing is padded before, one zero after; UpConv is the transpose, <DownConv(x), y> = <x, UpConv(y)>."""
    down, up = DownConv(2, 3), UpConv(3, 2)
    x, y = torch.randn(1, 2, 8, 6, generator=seeded(0)), torch.randn(1, 3, 4, 3, generator=seeded(1))
    padded = torch.zeros(1, 2, 9, 7)
    padded[..., :8, :6] = x
    windows = padded.unfold(2, 3, 2).unfold(3, 3, 2)  # that of output i begins at input 2i
    expected = torch.einsum("nchwij,ocij->nohw", windows, down.weight) + down.bias.view(-1, 1, 1)
    torch.testing.assert_close(down(x), expected)
    up.load_state_dict({"weight": down.weight, "bias": torch.zeros(2)})
    assert up(y).shape == x.shape
    torch.testing.assert_close(((expected - down.bias.view(-1, 1, 1)) * y).sum(), (x * up(y)).sum())


@pytest.mark.parametrize("noise", ["diagonal", "isotropic"])
@pytest.mark.parametrize(
    ("architecture", "channels", "size"),
    [("resnet", 3, 4), ("resnet", 1, 16), ("infogan", 1, 28), ("infogan", 3, 4), ("infogan", 1, 12)],
)
def test_shapes_and_ranges(architecture: str, channels: int, size: int, noise: str) -> None:
    """Mean in (0, 1), noise above its floor, one for all where it is isotropic, posterior's log sd within [-7, 2]."""
    vae = sized(architecture, channels, size, noise)
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
    vae = sized("infogan", 3, 16).train()
    layers = [part for part in vae.encoder.modules() if isinstance(part, torch.nn.Linear | torch.nn.Conv2d)]
    assert len(layers) == 4
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original.mul_(30)
        for _ in range(60):  # the power iteration goes on with every pass in training mode
            vae.encoder(torch.rand(4, 3, 16, 16, generator=seeded()))
    vae.eval()
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item()
        assert largest == pytest.approx(1, abs=0.02)
    assert not any("parametrizations" in name for name, _ in vae.decoder.named_parameters())


def test_evaluation_depends_on_no_other_image_of_the_batch() -> None:
    """Batch and spectral norms rest in evaluation, and move in training."""
    vae = sized("infogan", 1, 28)
    before, y = snapshot(vae), photo_like(3, 1, 28)
    torch.testing.assert_close(vae.encode(y[:1])[0], vae.encode(y)[0][:1])
    assert changed(vae, before) == set()
    vae.train().encode(y)
    assert {"encoder.heads.parametrizations.weight.0._u", "encoder.trunk.3.running_mean"} <= changed(vae, before)


# ------------------------------------------------------------------------------------------ bound, samples


def test_standard_deviations_are_bounded_softly() -> None:
    """The decoder's log sd by that of dequantisation noise, the posterior's to [-7, 2]; else near the raw value."""
    floor = log_scale_floor(256)
    assert math.isclose(floor, math.log(1 / (256 * math.sqrt(12))))
    diagonal, isotropic, y = make(), make("isotropic"), photo_like(4, 3, 8)
    head, last = diagonal.encoder.raw_log_scale, diagonal.decoder.last
    for raw, posterior, decoder in ((-1e4, -7, floor), (-2.5, -2.5, -2.5), (-1.5, -1.5, -1.5), (1e4, 2, 1e4)):
        with torch.no_grad():
            for weight, bias in ((head.weight, head.bias), (last.weight[3:], last.bias[3:])):
                weight.zero_()
                bias.fill_(raw)
            isotropic.raw_log_scale.fill_(raw)
        z, found = diagonal.encode(y)
        assert -7 <= found.min() <= found.max() <= 2
        torch.testing.assert_close(found, torch.full_like(found, posterior), atol=0.02, rtol=0)
        for vae in (diagonal, isotropic):
            found = vae.decode(z)[1]
            assert found.min() >= floor - 1e-6
            torch.testing.assert_close(found, torch.full_like(found, decoder), atol=0.02, rtol=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_bound_by_hand(name: str) -> None:
    """The terms of eq. 1 for the same z, by torch.distributions."""
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
    torch.testing.assert_close(vae.prior(z)[0], torch.randn(6, 5, generator=seeded(3)), atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------------------------ Infogan in training


@pytest.fixture(scope="module")
def infogan_config() -> dict[str, Any]:
    """A tiny run on images of 28x28."""
    config = merge(CONFIG, {"models": {"vae": INFOGAN}, "datasets": {"blobs": {"size": 28}}})
    return resolve(config, "tiny", "blobs", "vae", 0)


def test_infogan_learns_and_resumes_exactly(infogan_config: dict[str, Any], tmp_path: Path) -> None:
    """Stopped in an epoch and resumed equals undisturbed: the power iteration's vectors are part of the state."""
    folder = prepare(tmp_path / "blobs", size=28)
    whole = Run(tmp_path / "whole", infogan_config, folder).train()
    first, last = (float(row["bits_per_dim"]) for row in whole.rows())
    assert last < first
    stopped = interrupt(Run(tmp_path / "stopped", infogan_config, folder), 3).train()
    assert same_tensors(newest(stopped), newest(whole))
    assert stopped.rows() == whole.rows()


def test_a_bad_step_leaves_norms_as_they_were(infogan_config: dict[str, Any]) -> None:
    """Statistics of both kinds of batch norm and the spectral norms' vectors are put back."""
    model = build(infogan_config).train()
    optimizer = build_optimizer(model.trainable(), infogan_config["training"])
    guard = Guard(model, optimizer, {"gradient_clip": 100.0}, torch.device("cpu"))
    y = photo_like(4, 3, 28)
    for factor in (1.0, float("nan")):
        before = {name: tensor.clone() for name, tensor in pack(model, optimizer).items()}
        guard.before_forward()
        loss = factor * model.loss(y, seeded())[0]
        loss.backward()
        guard.step(loss, loss)
        assert same_tensors(before, pack(model, optimizer)) == (factor != 1)
