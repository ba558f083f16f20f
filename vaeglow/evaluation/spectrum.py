"""Power spectra of images: how much of their contrast lies in fine detail. NumPy only."""

from __future__ import annotations

import dataclasses

import numpy as np

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow's "L"
BLANK = 1e-9  # squared grey levels: below it there is nothing but the rounding of floats
ROUNDING = 1 / 12  # power of the error of rounding to whole grey levels, at every frequency


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Of N images of side L.

    Attributes:
        frequency: cycles a pixel, [L // 2]: 1/L, 2/L, ... up to 1/2 (Nyquist).
        power: float64 [N, L // 2], squared grey levels: white noise of variance v has the power v at every frequency.
        sharpness: share of all images' power that lies above half the Nyquist radius (1/4 cycle a pixel), corners of
            the frequency square included; white noise has about 0.8, a blank image 0.
    """

    frequency: np.ndarray
    power: np.ndarray
    sharpness: float


def luminance(images: np.ndarray) -> np.ndarray:
    """Images [N, C, H, W], C 1 or 3, to their luminance: float64 [N, H, W], grey levels."""
    images = np.asarray(images, np.float64)
    return images[:, 0] if images.shape[1] == 1 else np.einsum("c,nchw->nhw", LUMINANCE, images)


def rms(difference: np.ndarray, dims: int) -> np.ndarray:
    """Root mean square over the last `dims` dimensions, float64."""
    squares = np.asarray(difference, np.float64) ** 2
    return np.sqrt(squares.mean(axis=tuple(range(-dims, 0))))


def power_spectrum(grey: np.ndarray) -> np.ndarray:
    """Periodograms |FFT(w (g - m))|^2 / sum(w^2), w a Hann window and m the mean under it.

    The window keeps the jump between opposite borders from looking like detail; it spreads a frequency over its
    neighbours at 1/L, and taking out the mean lowers the lowest frequency.

    Args:
        grey: [N, L, L], grey levels.

    Returns:
        float64 [N, L, L], squared grey levels, at the frequencies of `np.fft.fftfreq(L)`.
    """
    side = grey.shape[-1]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side)
    window = np.outer(hann, hann)
    mean = (grey * window).sum((1, 2), keepdims=True) / window.sum()
    return np.abs(np.fft.fft2((grey - mean) * window)) ** 2 / (window**2).sum()


def radii(side: int) -> np.ndarray:
    """Distance of every frequency of `np.fft.fft2` from 0, cycles a pixel, [side, side]."""
    axis = np.fft.fftfreq(side)
    return np.hypot(axis[:, None], axis)


def measure(images: np.ndarray) -> Spectrum:
    """The radially averaged spectrum of images' luminance.

    Args:
        images: [N, C, L, L], C 1 or 3, grey levels; N at least 1, L at least 2.
    """
    side = images.shape[-1]
    power = power_spectrum(luminance(images))
    radius = radii(side)
    rings = np.rint(radius * side).astype(int).ravel() == np.arange(1, side // 2 + 1)[:, None]  # [L // 2, L L]
    radial = power.reshape(len(power), -1) @ (rings / rings.sum(1, keepdims=True)).T
    pooled = power.mean(0)
    sharpness = float(pooled[radius > 0.25].sum() / pooled.sum()) if pooled.sum() > BLANK else 0.0
    return Spectrum(np.arange(1, side // 2 + 1) / side, radial, sharpness)


def log_error(power: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """How far spectra are from a reference: the RMS over frequencies of log10(power / reference).

    Both get the power of rounding errors added, so that blank images, which have no power, differ by a finite amount.

    Args:
        power: [..., F], squared grey levels.
        reference: [F].

    Returns:
        float64 [...]; 0 where equal, 1 where ten times too much (or too little) everywhere.
    """
    ratio = np.log10((power + ROUNDING) / (reference + ROUNDING))
    return np.sqrt((ratio**2).mean(-1))
