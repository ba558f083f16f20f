"""Draws with and without the Glow layer: f carries each image onto its other one; where it acts; power spectra."""

import numpy as np
import pytest
import torch
from fid_tools import opened
from run_tools import blobs, initialised, run_probe
from scipy.ndimage import gaussian_filter

from benchmarks.work import photographs
from vaeglow.data.loader import step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.probes import layer_action
from vaeglow.evaluation.probes.layer_action import controls, log_error, probe_action, rms, similarity, spectrum
from vaeglow.models.bounds import normal_like, quantise
from vaeglow.results import read_result
from vaeglow.weights import load_model

CPU = torch.device("cpu")
NAMES = ("vae", "vae_noisy", "layer_mean", "layer")


@pytest.fixture
def model(vaeglow_run):
    return load_model(vaeglow_run.model, CPU)[0]


def draw(model, count: int, draws: int, temperature: float, seed: int = 0) -> dict[str, np.ndarray]:
    return layer_action.draw(opened(model, None, "vae_glow", seed), count, draws, temperature)[0]


def test_the_layer_is_applied_to_the_same_latents_and_noise(model):
    arrays = draw(model, 6, 3, 0.5)
    shapes = {name: (6, 3, 8, 8) for name in NAMES} | {"layer": (6, 3, 3, 8, 8)}
    assert {name: images.shape for name, images in arrays.items()} == shapes
    assert {images.dtype for images in arrays.values()} == {np.dtype(np.uint8)}
    generator = step_generator(0, layer_action.LAYER_DRAWS, 0)
    with torch.no_grad():
        mean, log_scale = model.vae.decode(model.vae.prior_sample(100, generator))
        first = mean + 0.5 * log_scale.exp() * normal_like(mean, generator)
        layer, layer_mean = model.layer.inverse(first), model.layer.inverse(mean)
        torch.testing.assert_close(model.layer(layer)[0], first, rtol=0, atol=1e-4)
        assert (layer - first).abs().max() > 1e-3  # f is not the identity
    for name, images in {"vae": mean, "vae_noisy": first, "layer_mean": layer_mean, "layer": layer}.items():
        shown = arrays[name] if name != "layer" else arrays[name][:, 0]
        assert np.array_equal(shown, quantise(images, 256)[:6].numpy()), name


def test_the_first_images_depend_on_neither_count_and_temperature_is_of_the_noise_alone(model):
    many, few = draw(model, 103, 4, 0.7), draw(model, 5, 2, 0.7)
    assert len(many["vae"]) == 103 and len(np.unique(many["vae"].reshape(103, -1), axis=0)) == 103
    for name, images in few.items():
        assert np.array_equal(images, many[name][:5, :2] if name == "layer" else many[name][:5])
    assert not np.array_equal(few["vae"], draw(model, 5, 2, 0.7, seed=1)["vae"])
    cold, warm = (draw(model, 30, 2, t) for t in (0.0, 1.0))
    for name in ("vae", "layer_mean"):
        assert np.array_equal(cold[name], warm[name])
    assert np.array_equal(cold["vae"], cold["vae_noisy"]) and np.array_equal(cold["layer"][:, 1], cold["layer_mean"])
    assert not np.array_equal(warm["layer"][:, 0], warm["layer"][:, 1])


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_overflow_is_counted_and_too_much_of_it_refused(share, monkeypatch):
    model = initialised("vaeglow")
    plain = model.layer.inverse

    def inverse(y):
        x = plain(y).clone()
        x[: int(share * len(x)), 0, 0, 0] = float("inf")
        return x

    monkeypatch.setattr(model.layer, "inverse", inverse)
    run = opened(model, None, "vae_glow")
    if share < 0.5:
        assert layer_action.draw(run, 100, 1, 0.5)[1] == 10
        return
    with pytest.raises(UserError, match="60 of 100 latents give images that are not finite"):
        layer_action.draw(run, 100, 1, 0.5)


def drawn(layer: np.ndarray, vae: np.ndarray, draws: int = 2) -> dict[str, np.ndarray]:
    """Draws of a layer that makes `layer` of `vae`, whatever the noise."""
    layers = np.repeat(layer[:, None], draws, 1)
    return {"vae": vae, "vae_noisy": vae, "layer_mean": layer, "layer": layers}


def test_a_layer_that_does_nothing_and_one_that_sharpens():
    """The one leaves the spectrum as it is, the other brings it to the data's."""
    images = photographs(12)
    found = probe_action(drawn(images, images, 3), images, 256)
    assert found["pixel_distance"] == found["draw_pixel_distance"] == 0 and found["between_pixel_distance"] > 1
    assert found["content_kept"] == 1
    assert found["similarity"] == found["similarity_noise"] == found["similarity_other"] == pytest.approx(1)
    assert max(found["spectrum_error"].values()) < 1e-9
    assert list(found["sharpness"].values()) == pytest.approx([found["sharpness"]["data"]] * 5)
    assert found["images"] == found["data_images"] == 12
    real = photographs(12, seed=1)
    found = probe_action(drawn(real, gaussian_filter(real, (0, 0, 1.5, 1.5))), photographs(40), 256)
    assert found["sharpness"]["vae"] < 0.3 * found["sharpness"]["layer"]
    assert found["spectrum_error"]["layer"] < 0.5 < found["spectrum_error"]["vae"]
    per_image = found["per_image"]
    assert np.mean(per_image["spectrum_error_layer"]) < np.mean(per_image["spectrum_error_vae"])
    high = {name: found["spectrum"][name][-1] for name in ("vae", "layer", "data")}
    assert high["vae"] < high["layer"] and high["vae"] < high["data"]
    assert found["spectrum"]["frequency"] == pytest.approx([k / 32 for k in range(1, 17)])


def test_distances_are_root_mean_squares_in_grey_levels():
    vae = photographs(12) // 2
    draws = drawn(vae + 10, vae, 3)
    draws["layer"][:, 1:] = np.array([4, 253])[:, None, None, None]
    found = probe_action(draws, vae, 256)["per_image"]
    assert found["pixel_distance"] == pytest.approx([10] * 12)
    others = [np.mean([rms(vae[i], vae[j]) for j in range(12) if j != i]) for i in range(12)]
    assert found["between_pixel_distance"] == pytest.approx(others)
    first = rms(vae + 10, 4), rms(vae + 10, 253)  # no wrap-around of bytes
    assert found["draw_pixel_distance"] == pytest.approx((249 + first[0] + first[1]) / 3)


def test_content_is_kept_where_the_nearest_vae_image_is_its_own():
    images = photographs(12)
    swapped = images[[1, 0, *range(2, 12)]]  # two latents change places
    found = probe_action(drawn(swapped, images), images, 256)
    assert found["per_image"]["content_kept"] == [0, 0] + [1] * 10 and found["content_kept"] == pytest.approx(10 / 12)
    assert np.argmin(found["per_image"]["similarity"]) in (0, 1)


def test_controls_move_an_image_as_far_as_the_layer_does_by_nothing_of_its_own():
    vae = 100 + photographs(4) // 8  # nothing is clipped
    layer = vae + np.array([20, 8, 251, 253], np.uint8)[:, None, None, None]  # the last two are darker: -5, -3
    found = controls(vae, layer, 256)
    for images in found.values():
        assert rms(images, vae) == pytest.approx([20, 8, 5, 3], rel=0.05)
    assert [np.ptp(found["other"][i].astype(int) - vae[i]) for i in range(4)] == [0] * 4
    assert [int(found["other"][i].mean() > vae[i].mean()) for i in range(4)] == [0, 1, 1, 0]  # of the one before
    assert (similarity(found["noise"], vae, 256) < similarity(layer, vae, 256)).all()
    assert similarity(vae, vae, 256) == pytest.approx([1] * 4)


def noise(count: int, side: int, channels: int = 1, deviation: float = 20) -> np.ndarray:
    return 128 + deviation * np.random.default_rng(0).normal(size=(count, channels, side, side))


@pytest.mark.parametrize("side", [8, 32, 33])
def test_white_noise_has_its_variance_at_every_frequency(side):
    power, sharpness = spectrum(noise(400, side))
    assert power.shape == (400, side // 2)
    np.testing.assert_allclose(power.mean(0)[1:], 400, rtol=0.1)  # beside the mean that was taken out
    share = 1 - np.pi / 16  # of the frequency square outside a circle of half its radius
    assert sharpness == pytest.approx(share, abs=0.06 if side == 8 else 0.03)


@pytest.mark.parametrize("cycles", [3, 10, 13])
def test_a_wave_peaks_at_its_frequency(cycles):
    images = np.tile(100 + 50 * np.sin(2 * np.pi * cycles * np.arange(32) / 32), (32, 1))
    for turned in (images, images.T):
        power, sharpness = spectrum(turned[None, None])
        assert power[0].argmax() + 1 == cycles
        assert power[0, cycles - 2 : cycles + 1].sum() > 0.999 * power[0].sum()
        assert sharpness == pytest.approx(float(cycles > 8), abs=0.001)


def test_brightness_and_a_jump_between_opposite_borders_are_no_detail():
    power, sharpness = spectrum(np.full((2, 3, 8, 8), 77, np.uint8))
    assert power.max() < 1e-20 and sharpness == 0
    images = blobs(5, 0, 16).astype(float)
    np.testing.assert_allclose(spectrum(images + 40)[0], spectrum(images)[0], atol=1e-6)
    slope = np.tile(np.linspace(0, 255, 32), (32, 1))
    assert spectrum(slope[None, None])[1] < 1e-3


def test_the_spectrum_is_of_luminance_and_an_error_of_one_is_ten_times_the_power():
    grey, green = blobs(3, 0)[:, :1], np.zeros((1, 3, 8, 8))
    np.testing.assert_allclose(spectrum(np.repeat(grey, 3, 1))[0], spectrum(grey)[0])
    green[:, 1] = noise(1, 8)[:, 0]
    np.testing.assert_allclose(spectrum(green)[0], 0.587**2 * spectrum(green[:, 1:2])[0])
    reference = np.array([1e6, 1e5, 1e4])
    errors = log_error(np.stack([reference, 10 * reference, reference / 10]), reference)
    np.testing.assert_allclose(errors, [0, 1, 1], atol=1e-4)
    assert np.isfinite(log_error(np.zeros(3), reference)) and log_error(np.zeros(3), np.zeros(3)) == 0
    assert log_error(np.zeros(1), np.array([9 * layer_action.ROUNDING])) == pytest.approx(1)


def test_the_step_writes_numbers_and_the_images_shown(vaeglow_run, tmp_path):
    settings, output = {"images": 9, "draws": 2, "temperature": 0.5, "shown": 3}, tmp_path / "layer_action.json"
    found = run_probe("layer_action", vaeglow_run, output, settings).content
    images = read_result(output.with_suffix(".npz"), None, model="vaeglow", temperature=0.5)
    draws = draw(load_model(vaeglow_run.model, CPU)[0], 9, 2, 0.5, vaeglow_run.config["seed"])
    assert images.arrays.keys() == {"vae", "layer"}
    assert all(np.array_equal(shown, draws[name][:3]) for name, shown in images.arrays.items())
    assert found["images"] == found["data_images"] == 9 and found["temperature"] == 0.5
    assert found["exploded_samples"] == 0
    assert set(found["sharpness"]) == {*NAMES, "data"} and set(found["spectrum"]) == {*NAMES, "data", "frequency"}
    assert set(found["spectrum_error"]) == set(NAMES)
    for name, values in found["per_image"].items():
        assert len(values) == 9
        if name in found:
            assert np.mean(values) == pytest.approx(found[name])
