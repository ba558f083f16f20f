"""Draws with and without the Glow layer: f carries each image onto its other one; where it acts; power spectra."""

import numpy as np
import pytest
import torch
from fid_tools import images_of, network_of, opened
from numpy.testing import assert_allclose
from pytest import approx
from refusals import user_error
from run_tools import initialised, run_probe
from scipy.ndimage import gaussian_filter
from test_probes import SETTINGS

from benchmarks.work import photographs
from vaeglow.data.arrays import evenly_spaced
from vaeglow.data.loader import step_generator
from vaeglow.evaluation.probes import layer_action
from vaeglow.evaluation.probes.layer_action import controls, log_error, probe_action, rms, similarity, spectrum
from vaeglow.models.bounds import quantise
from vaeglow.noise import normal_like
from vaeglow.results import read_result

NAMES = ("vae", "vae_noisy", "layer_mean", "layer")


@pytest.fixture
def model(vaeglow_run):
    return network_of(vaeglow_run)


def draw(model, count: int, draws: int, temperature: float, seed: int = 0) -> dict[str, np.ndarray]:
    run = opened(model, None, "vae_glow", seed)
    arrays, _ = layer_action.draw(run, count, draws, temperature)
    return arrays


@torch.no_grad()
def test_the_layer_is_applied_to_the_same_latents_and_noise(model):
    arrays = draw(model, 6, 3, 0.5)
    assert arrays["layer"].shape == (6, 3, 3, 8, 8)
    generator = step_generator(0, layer_action.LAYER_DRAWS, 0)
    mean, log_scale = model.vae.decode(model.vae.prior_sample(100, generator))
    first = mean + 0.5 * log_scale.exp() * normal_like(mean, generator)
    arrays["layer"] = arrays["layer"][:, 0]
    wanted = (mean, first, model.layer.inverse(mean), model.layer.inverse(first))
    for name, images in zip(NAMES, wanted, strict=True):
        assert np.array_equal(arrays[name], quantise(images, 256)[:6].numpy()), name
    assert not np.array_equal(arrays["layer"], arrays["vae_noisy"])  # f is not the identity


def test_the_first_images_depend_on_neither_count_and_temperature_is_of_the_noise_alone(model):
    many = draw(model, 103, 4, 0.7)
    few = draw(model, 5, 2, 0.7)
    assert len(np.unique(many["vae"].reshape(103, -1), axis=0)) == 103
    many["layer"] = many["layer"][:, :2]
    assert all(np.array_equal(images, many[name][:5]) for name, images in few.items())
    assert not np.array_equal(few["vae"], draw(model, 5, 2, 0.7, seed=1)["vae"])
    cold = draw(model, 5, 2, 0.0)
    assert np.array_equal(cold["vae"], few["vae"])
    assert np.array_equal(cold["vae"], cold["vae_noisy"])
    assert np.array_equal(cold["layer"][:, 1], cold["layer_mean"])
    assert not np.array_equal(few["layer"][:, 0], few["layer"][:, 1])


def test_overflow_is_counted_and_too_much_of_it_refused(monkeypatch):
    model = initialised("vaeglow")
    plain = model.layer.inverse
    run = opened(model, None, "vae_glow")

    def overflow(count):
        def inverse(y):
            x = plain(y).clone()
            x[:count, 0, 0, 0] = float("inf")
            return x

        monkeypatch.setattr(model.layer, "inverse", inverse)

    overflow(10)
    assert layer_action.draw(run, 100, 1, 0.5)[1] == 10
    overflow(60)
    with user_error("60 of 100 latents give images that are not finite"):
        layer_action.draw(run, 100, 1, 0.5)


def drawn(layer: np.ndarray, vae: np.ndarray, draws: int = 2) -> dict[str, np.ndarray]:
    """Draws of a layer that makes `layer` of `vae`, whatever the noise."""
    return {
        "vae": vae,
        "vae_noisy": vae,
        "layer_mean": layer,
        "layer": np.repeat(layer[:, None], draws, 1),
    }


def test_a_layer_that_does_nothing_leaves_the_spectrum_as_it_is():
    images = photographs(12)
    measured = probe_action(drawn(images, images, 3), images, 256)
    assert measured["pixel_distance"] == measured["draw_pixel_distance"] == 0
    assert measured["between_pixel_distance"] > 1
    assert measured["content_kept"] == 1
    assert measured["similarity"] == measured["similarity_noise"] == measured["similarity_other"] == approx(1)
    assert max(measured["spectrum_error"].values()) < 1e-9
    assert list(measured["sharpness"].values()) == approx([measured["sharpness"]["data"]] * 5)
    assert measured["images"] == measured["data_images"] == 12


def test_a_layer_that_sharpens_brings_the_spectrum_to_the_datas():
    real = photographs(12, seed=1)
    blurred = gaussian_filter(real, (0, 0, 1.5, 1.5))
    measured = probe_action(drawn(real, blurred), photographs(40), 256)
    sharpness, errors, per_image = (measured[key] for key in ("sharpness", "spectrum_error", "per_image"))
    assert sharpness["vae"] < 0.3 * sharpness["layer"]
    assert errors["layer"] < 0.5 < errors["vae"]
    assert np.mean(per_image["spectrum_error_layer"]) < np.mean(per_image["spectrum_error_vae"])
    assert measured["spectrum"]["frequency"] == approx([k / 32 for k in range(1, 17)])


def test_distances_are_root_mean_squares_in_grey_levels():
    vae = photographs(12) // 2
    layer = vae + 10
    draws = drawn(layer, vae, 3)
    draws["layer"][:, 1] = 4
    draws["layer"][:, 2] = 253
    measured = probe_action(draws, vae, 256)["per_image"]
    assert measured["pixel_distance"] == approx([10] * 12)
    others = np.array([rms(image, vae) for image in vae])
    assert measured["between_pixel_distance"] == approx(others.sum(1) / 11)
    between_draws = (rms(layer, 4) + rms(layer, 253) + 249) / 3  # no wrap-around of bytes
    assert measured["draw_pixel_distance"] == approx(between_draws)


def test_content_is_kept_where_the_nearest_vae_image_is_its_own():
    images = photographs(12)
    swapped = images[[1, 0, *range(2, 12)]]  # two latents change places
    measured = probe_action(drawn(swapped, images), images, 256)
    assert measured["per_image"]["content_kept"] == [0, 0] + [1] * 10
    assert measured["content_kept"] == approx(10 / 12)


def test_controls_move_an_image_as_far_as_the_layer_does_by_nothing_of_its_own():
    vae = 100 + photographs(4) // 8  # nothing is clipped
    change = np.array([20, 8, -5, -3])[:, None, None, None]
    layer = (vae + change).astype(np.uint8)
    measured = controls(vae, layer, 256)
    for images in measured.values():
        assert rms(images, vae) == approx([20, 8, 5, 3], rel=0.05)
    moved = measured["other"].astype(int) - vae
    assert [np.ptp(image) for image in moved] == [0] * 4
    assert [image.mean() > 0 for image in moved] == [False, True, True, False]  # of the one before
    assert similarity(vae, vae, 256) == approx([1] * 4)


def noise(count: int, side: int) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(count, 1, side, side))
    return 128 + 20 * values


@pytest.mark.parametrize("side", [8, 33])
def test_white_noise_has_its_variance_at_every_frequency(side):
    power, sharpness = spectrum(noise(400, side))
    assert power.shape == (400, side // 2)
    assert_allclose(power.mean(0)[1:], 400, rtol=0.1)  # beside the mean that was taken out
    share = 1 - np.pi / 16  # of the frequency square outside a circle of half its radius
    assert sharpness == approx(share, abs=0.06 if side == 8 else 0.03)


@pytest.mark.parametrize("cycles", [3, 10, 13])
def test_a_wave_peaks_at_its_frequency(cycles):
    angle = 2 * np.pi * cycles * np.arange(32) / 32
    image = np.tile(100 + 50 * np.sin(angle), (32, 1))
    for turned in (image, image.T):
        (power,), sharpness = spectrum(turned[None, None])
        assert power.argmax() + 1 == cycles
        assert sharpness == approx(float(cycles > 8), abs=0.001)


def test_brightness_and_a_jump_between_opposite_borders_are_no_detail():
    power, sharpness = spectrum(np.full((2, 3, 8, 8), 77, np.uint8))
    assert power.max() < 1e-20
    assert sharpness == 0
    slope = np.tile(np.linspace(0, 255, 32), (32, 1))
    assert spectrum(slope[None, None])[1] < 1e-3


def test_the_spectrum_is_of_luminance():
    channel = noise(1, 8)
    black = np.zeros_like(channel)
    green = np.concatenate([black, channel, black], 1)
    assert_allclose(spectrum(green)[0], 0.587**2 * spectrum(channel)[0])


def test_a_spectrums_error_of_one_is_ten_times_the_power():
    reference = np.array([1e6, 1e5, 1e4])
    nothing = np.zeros(3)
    errors = log_error(np.stack([reference, 10 * reference, reference / 10]), reference)
    assert_allclose(errors, [0, 1, 1], atol=1e-4)
    assert log_error(nothing, np.full(3, 9 * layer_action.ROUNDING)) == approx(1)


def test_the_step_writes_numbers_and_the_images_shown(model, vaeglow_run, tmp_path):
    measured = run_probe("layer_action", vaeglow_run, tmp_path / "layer_action.json", SETTINGS["layer_action"]).content
    images = read_result(tmp_path / "layer_action.npz", None, model="vaeglow", temperature=0.5).arrays
    draws = draw(model, 9, 2, 0.5, vaeglow_run.config["seed"])
    assert images.keys() == {"vae", "layer"}
    assert all(np.array_equal(shown, draws[name][:3]) for name, shown in images.items())
    test = evenly_spaced(images_of(vaeglow_run), 9)
    assert probe_action(draws, test, 256).items() <= measured.items()
    assert measured["exploded_samples"] == 0
