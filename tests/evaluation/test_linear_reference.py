"""The linear reference against closed forms, against layers that try to beat it, and as a step."""

import math

import numpy as np
import pytest
import torch
from fid_tools import images_of, network_of
from models_tools import PAPER
from numpy import ndarray
from numpy.testing import assert_allclose
from pytest import approx
from refusals import user_error
from run_tools import COUNTS, Run, prepare, resolved, run_probe
from scipy.special import hyp2f1
from torch import nn

from vaeglow.data.loader import EVALUATION, dequantise, step_generator
from vaeglow.evaluation.probes import linear_reference as probe
from vaeglow.models.glow_layer import GlowLayer

NAMES = ["no_layer", "squeeze1", "squeeze2", "squeeze4", "whitening"]
VARIANCE = 0.003


def bits(variance: float) -> float:
    """Bits/dim of discrete images of 256 levels under a Gaussian of this variance."""
    return math.log2(256 * math.sqrt(2 * math.pi * math.e * variance))


def references_of(images: ndarray) -> dict[str, float]:
    moments = {q: probe.folded_moments(images, q) / len(images) for q in probe.SQUEEZES}
    return probe.linear_references(moments, 256)


def exactly(spectrum: ndarray, colours: ndarray) -> ndarray:
    """Images whose second moments on the torus are spectrum(w) [H, W] * colours [C, C]: all shifts of C kernels."""
    kernel = np.fft.ifft2(np.sqrt(spectrum), norm="ortho").real
    shifts = [np.roll(kernel, shift, (0, 1)) for shift in np.ndindex(kernel.shape)]
    root = np.linalg.cholesky(colours)
    mixed = np.einsum("ck,nhw->knchw", root, np.stack(shifts))
    return mixed.reshape(-1, len(colours), *kernel.shape) * math.sqrt(len(colours))


def ar1(rho: float, side: int) -> ndarray:
    """The spectrum of an AR(1) process of variance 1: (1 - rho^2) / |1 - rho exp(-iw)|^2."""
    frequency = np.arange(side) / side
    response = 1 - rho * np.exp(-2j * np.pi * frequency)
    return (1 - rho**2) / np.abs(response) ** 2


def separable(down: float, across: float, side: int) -> ndarray:
    """The spectrum of a field that is an AR(1) process along either axis."""
    return np.outer(ar1(down, side), ar1(across, side))


def test_nothing_helps_white_noise():
    measured = references_of(exactly(np.full((8, 12), VARIANCE), np.eye(3)))
    assert measured == approx(dict.fromkeys(NAMES, bits(VARIANCE)))
    drawn = np.random.default_rng(0).normal(scale=math.sqrt(VARIANCE), size=(4000, 3, 8, 8))
    bias = probe.estimation_bias(3, 4000)
    for name, value in references_of(drawn).items():  # the sample's own fit, as far below the truth as it says
        assert value - bits(VARIANCE) == approx(bias[name], abs=0.0015)
    assert bias["squeeze4"] == approx(-48 / (4 * 4000 * math.log(2)))


@pytest.mark.parametrize("rho", [(0.6, -0.4), (0.3, 0.0)])
def test_a_separable_ar1_field_is_the_product_of_its_hypergeometric_axes_and_colours_are_balanced(rho):
    colours = np.array([[4.0, 1.0, 0.5], [1.0, 2.0, 0.3], [0.5, 0.3, 0.5]])
    measured = references_of(VARIANCE**0.5 * exactly(separable(*rho, 32), colours))
    down, across = rho
    balanced = np.linalg.det(colours) ** (1 / 3)
    innovation = balanced * (1 - down**2) * (1 - across**2)
    variances = {"no_layer": np.trace(colours) / 3, "whitening": innovation}
    for q in (1, 2, 4):
        axes = [hyp2f1(1 / q, 1 / q, 1, r ** (2 * q)) for r in rho]
        variances[f"squeeze{q}"] = innovation * math.prod(axes)
    expected = {name: bits(VARIANCE * variance) for name, variance in variances.items()}
    assert measured == approx(expected, abs=1e-5)


def test_shifts_scale_and_constant_unimodular_colour_maps():
    random = np.random.default_rng(0)
    stationary = exactly(separable(0.6, 0.3, 8), np.eye(3))
    images = stationary * (1 + random.random((1, 3, 8, 8)))
    plain = references_of(images)
    assert references_of(np.roll(images, (4, -8), (2, 3))) == approx(plain)
    assert references_of(images / 2) == approx({name: value - 1 for name, value in plain.items()})
    colour = random.normal(size=(3, 3))
    colour /= np.cbrt(np.linalg.det(colour))
    mapped = references_of(np.einsum("ij,njhw->nihw", colour, images))
    assert mapped | {"no_layer": 0} == approx(plain | {"no_layer": 0})  # a layer undoes it


def test_what_the_torus_adds_only_raises_a_reference():
    """A window of an endless field: its ends do not meet, so power leaks from strong to weak frequencies."""
    rho = 0.9
    side = 16
    innovation = (1 - rho**2) ** 2
    lag = np.arange(side)
    covariance = rho ** np.abs(np.subtract.outer(lag, lag))
    root = np.linalg.cholesky(np.kron(covariance, covariance))  # a field cut out, not periodic
    measured = references_of(root.T.reshape(-1, 1, side, side) * side)
    endless = {q: bits(innovation * hyp2f1(1 / q, 1 / q, 1, rho ** (2 * q)) ** 2) for q in (1, 2, 4)}
    assert measured["squeeze1"] == approx(endless[1])
    assert measured["squeeze2"] > endless[2]
    assert measured["squeeze4"] > endless[4]
    assert measured["whitening"] > bits(innovation)


def linear_layer(squeeze: int, seed: int) -> GlowLayer:
    """Our Glow layer with circular convolutions as its coupling nets: linear, invariant to shifts by `squeeze`."""
    torch.manual_seed(seed)
    layer = GlowLayer(3, 4, 4, squeeze, **PAPER)
    for glow_step in layer.steps:
        kept, changed = glow_step.coupling.sizes
        net = nn.Conv2d(kept, changed, 3, padding=1, padding_mode="circular")
        nn.init.normal_(net.weight, std=0.2)
        nn.init.normal_(glow_step.actnorm.logs, std=0.1)
        glow_step.coupling.net = net
    nn.init.normal_(layer.closing_weight, std=0.4)
    return layer.double()


def cost(layer: GlowLayer, images: torch.Tensor) -> torch.Tensor:
    """Bits/dim of `images` after the layer under a Gaussian of one variance: what its loss would be at best."""
    output, log_det = layer(images)
    centred = output - layer(torch.zeros_like(images[:1]))[0]
    variance = centred.square().mean()
    nats = 0.5 * torch.log(2 * math.pi * math.e * variance) - log_det / images[0].numel()
    return 8 + nats / math.log(2)


@pytest.mark.parametrize("squeeze", [1, 2])
def test_no_linear_layer_of_ours_beats_the_reference_and_a_trained_one_comes_near(squeeze):
    colours = np.array([[1.0, 0.8, 0.6], [0.8, 1.0, 0.7], [0.6, 0.7, 1.0]])
    fields = exactly(VARIANCE * separable(0.7, 0.7, 8), colours)
    phase = np.exp(0.2j * np.sin(2 * np.pi * np.arange(8) / 8))[:, None]  # an odd phase: one channel lags a little
    fields[:, 1] = np.fft.ifft2(np.fft.fft2(fields[:, 1]) * phase).real
    images = torch.from_numpy(fields)
    references = references_of(fields)
    reference = references[f"squeeze{squeeze}"]
    for seed in range(10):
        assert cost(linear_layer(squeeze, seed), images).item() >= reference
    layer = linear_layer(squeeze, 0)
    nn.init.eye_(layer.closing_weight)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.02)
    costs = []
    for _ in range(100):
        loss = cost(layer, images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        costs.append(loss.item())
    assert min(costs) >= reference
    assert costs[-1] - reference < 0.1 * (references["no_layer"] - reference)
    if squeeze == 1:
        assert costs[-1] > references["squeeze2"] + 0.2  # what the missing squeeze costs it


def test_components_leave_what_is_orthogonal_to_them():
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(48, 3)))[0].T
    latents = random.normal(size=(300, 3)) * [4, 2, 1]
    noise = random.normal(size=(300, 48))
    values = 128 + 20 * latents @ basis + noise
    images = values.round().clip(0, 255).astype(np.uint8).reshape(-1, 3, 4, 4)
    mean, components = probe.principal_components(images, 3, 256, 0)
    residual = probe.component_residual((images + 0.5) / 256, mean, components)
    assert_allclose(residual.reshape(300, -1) @ components.T, 0, atol=1e-6)
    assert_allclose(np.abs(components @ basis.T), np.eye(3), atol=0.1)


def test_bad_input_is_one_line():
    flat = np.random.default_rng(0).normal(size=(300, 3, 8, 8))
    flat[:, 2] = flat[:, 0]
    with user_error("no power in some direction"):
        references_of(flat)
    with user_error(r"lower the VAE's network\.latent_dim"):
        probe.principal_components(np.zeros((5, 3, 4, 4), np.uint8), 5, 256, 0)


def test_the_step_measures_both_residuals(tmp_path):
    """Of all images, where as many as asked for there are not."""
    run = Run(tmp_path / "vae", resolved("vae"), prepare(tmp_path / "blobs", test=220)).train()
    settings = {"images": 10_000, "batch_size": 220}
    measured = run_probe("linear_reference", run, tmp_path / "linear_reference.json", settings).content
    network = network_of(run)
    generator = step_generator(run.config["seed"], EVALUATION, 0)  # the likelihood's
    y = dequantise(torch.from_numpy(images_of(run)), 256, generator)
    with torch.no_grad():
        mean, log_scale = network.decode(network.posterior_sample(y, generator)[0])
    square = (y - mean).double().square().mean()
    assert measured["sources"]["vae"]["no_layer"] == approx(bits(float(square)), rel=1e-6)
    log_density = torch.distributions.Normal(mean, log_scale.exp()).log_prob(y).double().mean()
    assert measured["vae_own_noise"] == approx(8 - float(log_density) / math.log(2), rel=1e-6)
    # The components of the training images, as many as the VAE has latents:
    assert measured["latents"] == 4
    train = (np.load(run.data / "train.npy").reshape(COUNTS["train"], -1) + 0.5) / 256
    _, _, directions = np.linalg.svd(train - train.mean(0))
    components = directions[:4]
    centred = y.double().numpy().reshape(220, -1) - train.mean(0)
    left = centred - centred @ components.T @ components
    assert measured["sources"]["pca"]["no_layer"] == approx(bits(np.square(left).mean()), abs=1e-4)
    assert measured["images"] == 220
    assert list(measured["estimation_bias"]) == NAMES
    for source in ("vae", "pca"):
        values = [measured["sources"][source][name] for name in NAMES]
        assert values == sorted(values, reverse=True)
        assert all(map(math.isfinite, values))
