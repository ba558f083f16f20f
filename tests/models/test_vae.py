"""The VAE (sections 3.1 and 3.2): its ResNet, its decoder's noise, its bound, its samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from models_tools import idle_parameters, one_thread, photo_like, randomise, run_config, seeded  # noqa: F401
from torch import Tensor

from vaeglow.device import image_layout
from vaeglow.models.bounds import log_scale_floor, total
from vaeglow.models.build import build
from vaeglow.models.prior import StandardNormalPrior
from vaeglow.models.resnet import DownConv, UpConv
from vaeglow.models.vae import VAE
from vaeglow.weights import load_model, save_model

VARIANTS: dict[str, dict[str, Any]] = {
    "diagonal, flow prior": {},
    "isotropic": {"network": {"decoder_noise": "isotropic"}},
    "standard prior": {"prior": {"kind": "standard"}},
}


def make(name: str = "diagonal, flow prior", moved: bool = True) -> VAE:
    """A tiny VAE of 8x8 colour images in evaluation mode."""
    change = dict(VARIANTS[name])
    vae = build(run_config("vae", vae=change))
    return (randomise(vae) if moved else vae).eval()


def normal(value: Tensor, mean: Tensor | float, scale: Tensor | float) -> Tensor:
    return torch.distributions.Normal(mean, scale).log_prob(value).flatten(1).sum(1)


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


@pytest.mark.parametrize(("size", "num_scale"), [(4, 1), (8, 3), (16, 2)])
def test_shapes(size: int, num_scale: int) -> None:
    """The decoder reaches the image's side whatever the encoder's number of scales."""
    network = {"num_scale": num_scale, "base_dim": 4, "fc_dim": 8, "latent_dim": 5, "batch_norm_momentum": 0.1}
    prior = StandardNormalPrior(5)
    vae = VAE(
        3, size, 256, prior=prior, architecture="resnet", initial_noise=1.0, decoder_noise="diagonal", **network
    ).eval()
    y = photo_like(2, 3, size)
    assert [value.shape for value in vae.encode(y)] == [(2, 5)] * 2
    assert [value.shape for value in vae.decode(torch.zeros(2, 5))] == [(2, 3, size, size)] * 2
    assert vae.sample(2, 1.0).shape == vae.reconstruct(y).shape == (2, 3, size, size)
    assert [module.stride for module in vae.encoder.modules() if isinstance(module, DownConv)] == [(2, 2)] * (
        num_scale - 1
    )


def test_decoder_noise_has_a_floor() -> None:
    """log s never below the sd of dequantisation noise, and free to grow above it."""
    floor = log_scale_floor(256)
    assert math.isclose(floor, math.log(1 / (256 * math.sqrt(12))))
    assert math.isclose(floor, -6.788, abs_tol=1e-3)
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
    y = photo_like(4, 3, 8)
    head = vae.encoder.raw_log_scale
    for raw, expected in ((-1e4, -7.0), (1e4, 2.0), (-2.5, -2.5), (-1.5, -1.5)):
        with torch.no_grad():
            head.weight.zero_()
            head.bias.fill_(raw)
        log_scale = vae.encode(y)[1]
        assert -7 <= log_scale.min() <= log_scale.max() <= 2
        torch.testing.assert_close(log_scale, torch.full_like(log_scale, expected), atol=0.02, rtol=0)


def test_isotropic_and_diagonal_noise() -> None:
    """One learned standard deviation for all, or one for each pixel, channel and latent."""
    z = torch.randn(4, 5, generator=seeded())
    isotropic, diagonal = make("isotropic"), make()
    assert isotropic.raw_log_scale.shape == ()
    assert len(isotropic.decode(z)[1].unique()) == 1
    assert isotropic.decoder.last.out_channels == 3
    assert diagonal.decoder.last.out_channels == 6
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
    negative_kl = normal(eps, 0.0, 1.0) + log_det - normal(z, mean, log_scale.exp())
    torch.testing.assert_close(terms["negative_kl"], negative_kl)
    torch.testing.assert_close(vae.log_weights(y, 1, seeded(7))[:, 0], total(terms))
    several = vae.log_weights(y, 3, seeded(7))
    assert several.shape == (4, 3)
    torch.testing.assert_close(several[:, 0], total(terms))
    assert (several.std(1) > 0).all()  # each column a fresh z


def test_bound_is_exact_where_the_posterior_is() -> None:
    """A linear-Gaussian VAE with its true posterior: every draw of z gives log p(y) itself (Tipping & Bishop 1999)."""
    vae = make("standard prior")
    dims, scale = vae.dims, 0.3
    loadings = torch.linalg.qr(torch.randn(dims, 5, dtype=torch.float64, generator=seeded()))[0].mul(
        torch.tensor([2.0, 1.0, 0.5, 0.3, 0.1], dtype=torch.float64)
    )
    offset = torch.rand(dims, dtype=torch.float64, generator=seeded(1))
    precision = 1 + loadings.pow(2).sum(0) / scale**2  # diagonal, as the loadings are orthogonal
    vae.decode = lambda z: (  # type: ignore[method-assign]
        (z @ loadings.T + offset).reshape(-1, *vae.shape),
        torch.full((len(z), *vae.shape), math.log(scale), dtype=torch.float64),
    )
    vae.encode = lambda y: (  # type: ignore[method-assign]
        (y.flatten(1) - offset) @ loadings / scale**2 / precision,
        (-0.5 * precision.log()).expand(len(y), -1),
    )
    y = photo_like(6, 3, 8).double()
    marginal = torch.distributions.MultivariateNormal(
        offset, loadings @ loadings.T + scale**2 * torch.eye(dims, dtype=torch.float64)
    )
    exact = marginal.log_prob(y.flatten(1))
    torch.testing.assert_close(total(vae.log_likelihood(y, seeded(2))), exact)
    torch.testing.assert_close(vae.log_weights(y, 4, seeded(3)), exact[:, None].expand(6, 4))


@pytest.mark.parametrize("name", VARIANTS)
def test_sampling(name: str) -> None:
    """Temperature 0 is the decoder mean, others scale the noise around it, the latent stays at 1."""
    vae = make(name)
    z = vae.prior_sample(6, seeded(3))
    mean, log_scale = vae.decode(z)
    cold = vae.sample(6, 0.0, seeded(3))
    assert torch.equal(cold, mean)
    assert torch.equal(cold, vae.render(z))
    half, whole = vae.sample(6, 0.5, seeded(3)), vae.sample(6, 1.0, seeded(3))
    torch.testing.assert_close(whole - mean, 2 * (half - mean), atol=1e-5, rtol=1e-4)
    noise = (whole - mean) / log_scale.exp()
    assert abs(noise.mean()) < 0.1
    assert abs(noise.std() - 1) < 0.1
    assert torch.equal(whole, vae.sample(6, 1.0, seeded(3)))
    assert not torch.equal(cold, vae.sample(6, 0.0, seeded(4)))
    torch.testing.assert_close(vae.prior(z)[0], torch.randn(6, 5, generator=seeded(3)), atol=1e-4, rtol=1e-4)


def test_reconstruction_is_the_mean_at_the_mean() -> None:
    vae = make()
    y = photo_like(3, 3, 8)
    assert torch.equal(vae.reconstruct(y), vae.decode(vae.encode(y)[0])[0])


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name: str) -> None:
    """None is unused: each has a gradient once the zero-initialised layers have moved."""
    vae = make(name, moved=False)
    assert idle_parameters(vae, photo_like(16, 3, 8, noise=0.05)) == set()


@pytest.mark.parametrize("name", VARIANTS)
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    """Weights, batch norm statistics and permutations travel in one file."""
    vae = make(name).to(memory_format=image_layout("cpu"))
    path = tmp_path / "model.safetensors"
    save_model(path, vae, run_config("vae", vae=VARIANTS[name]), {})
    loaded, _ = load_model(path, "cpu")
    y = photo_like(4, 3, 8)
    assert torch.equal(total(loaded.log_likelihood(y, seeded())), total(vae.log_likelihood(y, seeded())))
    assert not loaded.training


def test_weights_are_a_function_of_the_seed() -> None:
    """Two builds agree, another seed differs, and the global random state is left alone."""
    config = run_config("vae")
    torch.manual_seed(5)
    one = build(config).state_dict()
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    two, other = build(config).state_dict(), build({**config, "seed": 1}).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["decoder.dense.weight"], other["decoder.dense.weight"])
