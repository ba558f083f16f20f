"""Power spectra: white noise is flat, a wave peaks where it is, blur takes detail away."""

from __future__ import annotations

import numpy as np
import pytest
from run_tools import blobs
from scipy.ndimage import gaussian_filter

from vaeglow.evaluation.spectrum import ROUNDING, log_error, luminance, measure, power_spectrum


def noise(count: int, side: int, channels: int = 1, deviation: float = 20) -> np.ndarray:
    return 128 + deviation * np.random.default_rng(0).normal(size=(count, channels, side, side))


@pytest.mark.parametrize("side", [8, 32, 33])
def test_white_noise_has_its_variance_at_every_frequency(side):
    spectrum = measure(noise(400, side))
    assert spectrum.frequency.tolist() == pytest.approx([k / side for k in range(1, side // 2 + 1)])
    assert spectrum.power.shape == (400, side // 2)
    np.testing.assert_allclose(spectrum.power.mean(0)[1:], 400, rtol=0.1)  # beside the mean that was taken out
    share = 1 - np.pi / 16  # of the frequency square outside a circle of half its radius
    assert spectrum.sharpness == pytest.approx(share, abs=0.06 if side == 8 else 0.03)


@pytest.mark.parametrize("cycles", [3, 10, 13])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_wave_peaks_at_its_frequency(cycles, axis):
    side = 32
    wave = 100 + 50 * np.sin(2 * np.pi * cycles * np.arange(side) / side)
    images = np.tile(wave, (side, 1)) if axis else np.tile(wave[:, None], (1, side))
    spectrum = measure(images[None, None])
    peak = int(spectrum.power[0].argmax())
    assert spectrum.frequency[peak] == cycles / side
    near = slice(peak - 1, peak + 2)
    assert spectrum.power[0, near].sum() > 0.999 * spectrum.power[0].sum()
    assert spectrum.sharpness == pytest.approx(float(cycles > 8), abs=0.001)


def test_blur_takes_fine_detail_away():
    sharp = noise(20, 32, 3)
    blurred = (gaussian_filter(sharp, (0, 0, s, s), mode="wrap") for s in (0.01, 0.5, 1, 2))
    shares = [measure(images).sharpness for images in blurred]
    assert shares[0] > shares[1] > shares[2] > shares[3]


def test_brightness_and_a_jump_between_opposite_borders_are_no_detail():
    images = blobs(5, 0, 16).astype(float)
    np.testing.assert_allclose(power_spectrum(luminance(images + 40)), power_spectrum(luminance(images)), atol=1e-6)
    slope = np.tile(np.linspace(0, 255, 32), (32, 1))
    assert measure(slope[None, None]).sharpness < 1e-3


def test_luminance_of_grey_colours_is_the_grey():
    grey = blobs(3, 0)[:, :1]
    np.testing.assert_allclose(luminance(np.repeat(grey, 3, 1)), luminance(grey))
    assert luminance(np.array([0, 255, 0], np.uint8).reshape(1, 3, 1, 1)) == pytest.approx(255 * 0.587)


def test_an_error_of_one_is_ten_times_the_power():
    reference = np.array([1e6, 1e5, 1e4])
    errors = log_error(np.stack([reference, 10 * reference, reference / 10]), reference)
    np.testing.assert_allclose(errors, [0, 1, 1], atol=1e-4)
    assert np.isfinite(log_error(np.zeros(3), reference)) and log_error(np.zeros(3), np.zeros(3)) == 0
    assert log_error(np.zeros(1), np.array([9 * ROUNDING])) == pytest.approx(1)


def test_blank_images_have_no_detail():
    spectrum = measure(np.full((2, 3, 8, 8), 77, np.uint8))
    assert spectrum.power.max() < 1e-20 and spectrum.sharpness == 0
