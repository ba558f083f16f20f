"""Probes: what all share; interpolation between random latents; maps of the decoder's noise."""

import math

import numpy as np
import pytest
import torch
import yaml
from fid_tools import images_of, network_of, opened
from models_tools import GREY, data, plain_vae, seeded
from numpy.testing import assert_allclose
from pytest import approx
from refusals import user_error
from run_tools import COUNTS, prepare, run_probe
from scipy.stats import spearmanr
from torch.testing import assert_close

import vaeglow
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.evaluation.probes import noise_maps
from vaeglow.evaluation.probes.interpolation import INTERPOLATION, detail, distances, latent_paths, slerp
from vaeglow.evaluation.probes.noise_maps import NOISE_MAPS, border_contrasts, rank_correlations
from vaeglow.evaluation.trained import vae_and_layer
from vaeglow.models.bounds import quantise
from vaeglow.noise import normal_like

CPU = torch.device("cpu")
WEIGHT = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
SETTINGS = yaml.safe_load("""
latents: {images: 12, batch_size: 5}
noise_maps: {shown: 3, images: 7, batch_size: 7}
interpolation: {space: prior, pairs: 1, steps: 2, shown: 1}
layer_action: {images: 9, draws: 2, temperature: 0.5, shown: 3}
linear_reference: {images: 200, batch_size: 64}
""")


REFUSED = yaml.safe_load("""
- [latents, glow_run, "glow is a glow: the probe latents needs a model with one VAE latent"]
- [noise_maps, glow_run, "glow is a glow: the probe noise_maps needs"]
- [interpolation, glow_run, "glow is a glow: the probe interpolation needs"]
- [linear_reference, vae_run, "what is taken of the test split has 12 images, probes.linear_reference needs 192"]
""")


@pytest.mark.parametrize("name, run, message", REFUSED)
def test_models_and_numbers_that_will_not_do(name, run, message, request, tmp_path):
    with user_error(message):
        run_probe(name, request.getfixturevalue(run), tmp_path / "x.npz", SETTINGS[name])
    assert not list(tmp_path.iterdir())


def test_other_data_and_other_kinds_are_refused(vae_run, tmp_path):
    other = prepare(tmp_path / "other", seed=9, **COUNTS)
    with user_error("was trained on other data than"):
        run_probe("latents", vae_run, tmp_path / "x.json", SETTINGS["latents"], test=other / "test.npy")
    with user_error("two is a vae_two_stage: interpolate needs a model with one VAE"):
        vae_and_layer(None, {"model": "two", "kind": "vae_two_stage"}, "interpolate")


def test_slerp_keeps_the_angle_even_and_the_length_between_the_ends():
    start, end = torch.randn(2, 40, 1, 6, generator=seeded()).double()
    path = slerp(start, end, WEIGHT)  # [40, 9, 6]
    assert_close(path[:, [0, -1]], torch.cat([start, end], 1))
    lengths = path.norm(dim=-1)
    assert_close(lengths, torch.lerp(lengths[:, :1], lengths[:, -1:], WEIGHT[:, 0]))
    cosines = torch.cosine_similarity(path[:, 1:], path[:, :-1], dim=-1)
    assert_close(cosines, cosines[:, :1].expand_as(cosines))


@pytest.mark.parametrize("end", [3, -1])
def test_slerp_of_vectors_that_single_out_no_circle(end):
    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert_close(slerp(start, end * start, WEIGHT), start * (1 + (end - 1) * WEIGHT))


@torch.no_grad()
def test_the_way_is_straight_in_the_space_it_is_named_after(vae_run):
    vae = network_of(vae_run)
    z = latent_paths(vae, 5, 4, "prior", 0, CPU)
    eps = vae.prior(z.flatten(0, 1))[0].unflatten(0, (5, 4))
    steps = eps.diff(dim=1)
    assert_close(steps, steps[:, :1].expand(5, 3, -1), rtol=1e-3, atol=1e-4)
    lengths = latent_paths(vae, 5, 4, "latent", 0, CPU).norm(dim=-1)  # of a great circle, see `slerp`
    changes = lengths.diff(dim=1)
    assert_close(changes, changes[:, :1].expand(5, 3), rtol=1e-3, atol=1e-4)


def test_distances_are_root_mean_squares_in_grey_levels():
    images = np.zeros((1, 3, 1, 2, 2), np.uint8)
    images[0, 1:] = 10
    images[0, 2, 0, 0, 0] = 30
    end = math.sqrt((30**2 + 3 * 10**2) / 4)
    assert distances(images) == {"step_distances": [[10, 10]], "end_distances": approx([end])}


def test_a_cross_fade_loses_half_of_unrelated_details_at_its_middle():
    random = np.random.default_rng(0)
    start, end = random.integers(0, 256, (2, 40, 1, 16, 16)).astype(float)
    middle = np.rint((start + end) / 2)
    fade = detail(np.stack([start, middle, end], 1))
    kept = detail(np.stack([start, end, end], 1))
    variance = 2 * 2 * (256**2 - 1) / 12  # of the difference of two pixels, two ways
    assert_allclose(fade["detail_kept"], 0, atol=1e-9)
    assert np.mean(fade["detail_lost"]) == approx(variance / 2, rel=0.05)
    assert np.mean(kept["detail_kept"]) == approx(variance / 2, rel=0.05)


@pytest.mark.parametrize("space", ["prior", "latent"])
def test_interpolation_writes_the_images_of_the_api(space, latent_run, tmp_path):
    asked = {"space": space, "pairs": 3, "steps": 5}
    measured = run_probe("interpolation", latent_run, tmp_path / "x.npz", asked | {"shown": 2})
    model = vaeglow.load(latent_run.model, "cpu")
    seed = latent_run.config["seed"]
    images = model.interpolate(**asked, seed=seed).numpy()
    assert np.array_equal(measured.arrays["images"], images[:2])
    assert (distances(images) | detail(images)).items() <= measured.content.items()
    eps = normal_like(torch.empty(2, 3, 1, 4), step_generator(seed, INTERPOLATION, 0))
    vae, layer = vae_and_layer(model.network, model.config, "the test")
    for end in (0, -1):  # rendered by themselves
        with torch.no_grad():
            mean, _ = vae.decode(vae.prior.inverse(eps[end].flatten(0, 1)))
            direct = quantise(mean if layer is None else layer.inverse(mean), 256).numpy()
        assert np.abs(images[:, end].astype(int) - direct).max() <= 1  # batches of another size round differently


def test_equal_values_have_no_correlation_of_ranks():
    scale = np.random.default_rng(0).random((2, 4, 4))
    error = scale.copy()
    scale[0] = 7
    error[1] = 0
    assert rank_correlations(scale, error) == approx([0, 0])


def test_borders_are_where_black_meets_content_and_background_is_black_all_round():
    images = np.zeros((3, 2, 6, 6), np.uint8)
    images[0, 1, :, 4:] = 9  # in one channel
    images[1] = 200  # no background; the third image has no border
    scale = np.ones((3, 6, 6), np.float32)
    scale[0, :, 3:5] = np.e**2
    scale[0, :, 5] = 1e9  # inside the content is neither
    assert border_contrasts(images, scale) == approx([2])


def test_noise_maps_are_the_decoders_own(latent_run, tmp_path):
    result = run_probe("noise_maps", latent_run, tmp_path / "noise_maps.npz", SETTINGS["noise_maps"])
    network = network_of(latent_run)
    vae, layer = vae_and_layer(network, latent_run.config, "the test")
    x = torch.from_numpy(images_of(latent_run)[:7])
    y = dequantise(x, 256, step_generator(latent_run.config["seed"], NOISE_MAPS, 0))
    with torch.no_grad():
        mean, log_scale = vae.decode(vae.encode(y)[0])
        target = y if layer is None else layer(y)[0]
    scale = log_scale.exp().square().mean(1).sqrt().flatten(1)
    error = (target - mean).square().mean(1).sqrt().flatten(1)
    arrays = result.arrays
    assert np.array_equal(arrays["images"], x[:3].numpy())
    assert np.array_equal(arrays["mean"], quantise(mean, 256)[:3].numpy())
    assert_allclose(arrays["scale"].reshape(3, -1), 256 * scale[:3], rtol=1e-5)
    expected = [spearmanr(*pair).statistic for pair in zip(scale, error, strict=True)]
    assert result.content["error_correlations"] == approx(expected)
    assert result.content["error_correlation"] == approx(np.mean(expected))


def test_isotropic_noise_has_one_scale_and_no_correlation():
    vae = plain_vae(GREY, "isotropic", True).eval()
    run = opened(vae, data(GREY)[:6].numpy())
    content, arrays = noise_maps.measure(
        run,
        {"test": None},
        {
            "shown": 6,
            "images": 6,
            "batch_size": 4,
        },
    )
    assert content["error_correlations"] is None
    assert content["border_contrasts"] is None
    assert np.ptp(arrays["scale"]) < 1e-6
