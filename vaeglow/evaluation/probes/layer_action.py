"""Where the Glow layer acts: how far it moves an image, what it keeps, what it sharpens (paper, section 4.2, figure 4).

"VAE samples are somewhat blurry [...] and are considerably sharper after being passed through Glow. The content is
entirely preserved by the Glow layer, with stochasticity resulting in small changes to the fine details": in numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.evaluation import spectrum

if TYPE_CHECKING:
    from vaeglow.evaluation.trained import TrainedRun

READS = ("model", "layer_draws", "test", "weights")
RESULT = "layer_action.json"
SCHEMA = {
    "features": {
        "enum": [64, 192, 768, 2048],
        "description": "the Inception layer in which distances are measured: 64, 192, 768 or 2048",
    }
}


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, None]:
    """See `probe_action`.

    Raises:
        UserError: draws of other weights, other data, or fewer than two latents.
    """
    import torch

    from vaeglow.data.arrays import evenly_spaced
    from vaeglow.evaluation.fid import extract_features
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.results import read_result

    names = ("vae", "vae_noisy", "layer_mean", "layer")
    drawn = read_result(reads["layer_draws"], names, **run.identity)
    draws, test, levels = drawn.arrays, run.images(reads["test"]), run.network.levels
    net = load_inception(reads["weights"], settings["features"], run.device)
    features = [
        torch.cat(list(extract_features(images, net, settings["batch_size"], run.device, levels))).numpy()
        for images in (draws["vae"], draws["layer"][:, 0])
    ]
    data = evenly_spaced(test, min(len(test), len(draws["vae"])))  # as many real images as latents
    about = {"temperature": drawn.value("temperature"), "split": "test", "features": settings["features"]}
    return {**about, **probe_action(draws, *features, data)}, None


def probe_action(
    draws: Mapping[str, np.ndarray], vae_features: np.ndarray, layer_features: np.ndarray, data: np.ndarray
) -> dict[str, Any]:
    """All that `layer_action.json` measures. "The layer's images" are the first draw of each latent.

    Distances between images are RMS differences in grey levels, means over the latents; between features they are
    Euclidean. `content_kept` is the share of the layer's images whose nearest VAE image in feature space is their own
    (chance 1/n), `content_kept_pixels` the same in pixels. The first asks much: texture moves Inception's features of
    all images one way, which can bring them all nearest to a few. `feature_distance_between`, the mean distance of the
    layer's images of different latents, gives the scale. `spectrum_error` compares with the data's mean spectrum
    (`vaeglow.evaluation.spectrum.log_error`): of the mean spectra, and under `per_image` of each image's own.

    Args:
        draws: `vae`, `vae_noisy`, `layer_mean` uint8 [n, C, H, W], `layer` uint8 [n, k, C, H, W], n at least 2.
        vae_features: of `vae`, [n, F].
        layer_features: of `layer[:, 0]`, [n, F].
        data: real images, uint8 [m, C, H, W].

    Raises:
        UserError: fewer than two latents.
    """
    from scipy.spatial.distance import cdist, pdist

    count = len(draws["vae"])
    if count < 2:
        raise UserError(f"{count} latents: 2 or more are needed (probes.layer_draws.images in the config)")
    layer = draws["layer"][:, 0]
    moved = spectrum.rms(layer.astype(float) - draws["vae"], 3)
    distances = cdist(layer_features.astype(float), vae_features.astype(float))
    own = np.diagonal(distances)
    kept = nearest_is_own(distances)
    kept_pixels = nearest_is_own(cdist(*(images.reshape(count, -1).astype(float) for images in (layer, draws["vae"]))))
    shown = {"vae": draws["vae"], "vae_noisy": draws["vae_noisy"], "layer_mean": draws["layer_mean"], "layer": layer}
    spectra = {name: spectrum.measure(images) for name, images in (*shown.items(), ("data", data))}
    means = {name: measured.power.mean(0) for name, measured in spectra.items()}
    errors = {name: spectrum.log_error(spectra[name].power, means["data"]) for name in ("vae", "vae_noisy", "layer")}
    return {
        "images": count,
        "data_images": len(data),
        "pixel_distance": float(moved.mean()),
        "feature_distance": float(own.mean()),
        "feature_distance_between": float(pdist(layer_features.astype(float)).mean()),
        "draw_pixel_distance": draw_distance(draws["layer"]),
        "content_kept": float(kept.mean()),
        "content_kept_pixels": float(kept_pixels.mean()),
        "sharpness": {name: measured.sharpness for name, measured in spectra.items()},
        "spectrum": {
            "frequency": spectra["data"].frequency.tolist(),
            **{name: power.tolist() for name, power in means.items()},
        },
        "spectrum_error": {name: float(spectrum.log_error(means[name], means["data"])) for name in shown},
        "per_image": {
            "pixel_distance": moved.tolist(),
            "feature_distance": own.tolist(),
            "content_kept": kept.tolist(),
            "content_kept_pixels": kept_pixels.tolist(),
            **{f"spectrum_error_{name}": values.tolist() for name, values in errors.items()},
        },
    }


def nearest_is_own(distances: np.ndarray) -> np.ndarray:
    """From distances [n, n] of images to what they were made of: 1 where the nearest is their own, else 0, int [n].

    Of equals the first is taken, so that images that are all one get 1/n.
    """
    return (distances.argmin(1) == np.arange(len(distances))).astype(int)


def draw_distance(layer: np.ndarray) -> float | None:
    """Mean RMS difference in grey levels between draws of the same latent; None where there is one draw of each.

    Args:
        layer: uint8 [n, k, C, H, W].
    """
    pairs = list(itertools.combinations(range(layer.shape[1]), 2))
    found = [spectrum.rms(layer[:, one].astype(float) - layer[:, other], 3).mean() for one, other in pairs]
    return float(np.mean(found)) if found else None
