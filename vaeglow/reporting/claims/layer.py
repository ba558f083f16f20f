"""What the Glow layer does to an image, one number an image, by layer_action.json. No torch."""

import numpy as np

from vaeglow.evaluation.bootstrap import ratio

# The numbers of each image that an effect is made of, how, its unit, its words, and a note with their means.
EFFECTS = {
    # How much nearer the data's spectrum the layer's image is than the VAE's.
    "sharpness": (
        ("spectrum_error_vae", "spectrum_error_vae_noisy", "spectrum_error_layer"),
        lambda plain, noisy, after: np.minimum(plain, noisy) - after,
        "log10 of power",
        "distance of an image's log power spectrum from the data's: of the VAE's mean or, where that is nearer, "
        "of that mean with the layer's noise and no layer; minus of the layer's image ({model})",
        "means: VAE's mean {:.3g}, with noise {:.3g}, layer {:.3g}",
    ),
    # How much more the layer's image is like its own VAE image than controls are; and nearest to its own.
    "content": (
        ("similarity", "similarity_noise", "similarity_other", "content_kept"),
        lambda own, noisy, other, nearest: np.stack([own - np.maximum(noisy, other), nearest - 0.5]),
        "SSIM or share",
        "the lesser of two, {model}: structural similarity of the layer's image with its own VAE image, minus that "
        "of the more similar of two controls, the VAE's image moved as far by noise or by what the layer does to "
        "another image; and the share of the layer's images that are nearest to their own VAE image, minus 1/2",
        "similarity {:.3g}, by noise {:.3g}, by another's change {:.3g}; nearest to its own: {:.3g}",
    ),
    # How much nearer two draws from one latent are than the images of two latents.
    "draws": (
        ("draw_pixel_distance", "between_pixel_distance"),
        lambda draws, between: 1 - ratio(draws, between),
        "share of distance",
        "1 minus the distance of two draws from one latent by that of images of two latents, {model}",
        "RMS distances, grey levels: {:.3g} and {:.3g}",
    ),
}
