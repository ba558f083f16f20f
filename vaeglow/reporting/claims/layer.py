"""What the Glow layer does to an image, one number an image, by layer_action.json. No torch."""

from typing import TypeAlias

import numpy as np

from vaeglow.evaluation.bootstrap import ratio
from vaeglow.results import Result

Effect: TypeAlias = tuple[np.ndarray, str, str, str]  # one number an image, its unit, its words and a note


def per_image(action: Result, key: str) -> np.ndarray:
    """A number of layer_action.json for each image: [n]."""
    return action.numbers("per_image", key)


def sharpness(action: Result) -> Effect:
    """How much nearer the data's spectrum the layer's image is than the VAE's."""
    plain = per_image(action, "spectrum_error_vae")
    noisy = per_image(action, "spectrum_error_vae_noisy")
    after = per_image(action, "spectrum_error_layer")
    words = (
        "distance of an image's log power spectrum from the data's: of the VAE's mean or, where that is nearer, "
        "of that mean with the layer's noise and no layer; minus of the layer's image ({model})"
    )
    note = f"means: VAE's mean {plain.mean():.3g}, with noise {noisy.mean():.3g}, layer {after.mean():.3g}"
    return np.minimum(plain, noisy) - after, "log10 of power", words, note


def content(action: Result) -> Effect:
    """How much more the layer's image is like its own VAE image than controls are; and nearest to its own."""
    own = per_image(action, "similarity")
    noisy = per_image(action, "similarity_noise")
    other = per_image(action, "similarity_other")
    nearest = per_image(action, "content_kept")
    words = (
        "the lesser of two, {model}: structural similarity of the layer's image with its own VAE image, minus that "
        "of the more similar of two controls, the VAE's image moved as far by noise or by what the layer does to "
        "another image; and the share of the layer's images that are nearest to their own VAE image, minus 1/2"
    )
    note = (
        f"similarity {own.mean():.3g}, by noise {noisy.mean():.3g}, by another's change {other.mean():.3g}; nearest to "
        f"its own: {nearest.mean():.3g}"
    )
    return np.stack([own - np.maximum(noisy, other), nearest - 0.5]), "SSIM or share", words, note


def alike(action: Result) -> Effect:
    """How much nearer two draws from one latent are than the images of two latents."""
    draws = per_image(action, "draw_pixel_distance")
    between = per_image(action, "between_pixel_distance")
    words = "1 minus the distance of two draws from one latent by that of images of two latents, {model}"
    note = f"RMS distances, grey levels: {draws.mean():.3g} and {between.mean():.3g}"
    return 1 - ratio(draws, between), "share of distance", words, note
