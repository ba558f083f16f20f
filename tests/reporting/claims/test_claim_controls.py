"""Claims that are judged against a control: what the control does fails, the real thing passes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from claims_tools import claim, ledger, write_world
from fid_tools import network_of, opened
from numpy import ndarray
from run_tools import initialised
from scipy.ndimage import gaussian_filter

from benchmarks.work import photographs
from vaeglow.evaluation.probes.interpolation import detail, distances
from vaeglow.evaluation.probes.layer_action import draw, probe_action
from vaeglow.reporting.claims.statistics import FAILS, HOLDS

COUNT = 60
STEPS = 10
REAL = photographs(COUNT)
RANDOM = np.random.default_rng(4)
CONTENT = claim("layer", model="m", value="content")
SMOOTH = claim("smooth", model="m", space="prior", threshold=0.5)


def rounded(values: ndarray) -> ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def judged(root: Path, entry: dict[str, Any], content: Mapping[str, Any]) -> str:
    write_world(root, entry, lambda need, seed: dict(content), [0])
    return ledger(root, entry, [0])["verdict"]


VAE = rounded(gaussian_filter(REAL.astype(float), (0, 0, 1.2, 1.2)))
WHITE = RANDOM.normal(size=REAL.shape)
LAYERS = {  # what a layer makes of blurred images
    "the photographs": (REAL, HOLDS),
    "white noise": (VAE + 8 * WHITE, FAILS),
    "fine noise": (VAE + 8 * (WHITE - gaussian_filter(WHITE, (0, 0, 1, 1))), FAILS),
    "coarse noise": (VAE + 30 * gaussian_filter(WHITE, (0, 0, 2, 2)), FAILS),
    "other photographs": (np.roll(REAL, 5, 0), FAILS),
    "negatives": (255 - REAL, FAILS),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_restores_photographs_keeps_content_and_one_that_adds_noise_does_not(name, tmp_path):
    layer, verdict = LAYERS[name]
    draws = {
        "vae": VAE,
        "vae_noisy": VAE,
        "layer_mean": VAE,
        "layer": np.stack([rounded(layer)] * 2, 1),
    }
    assert judged(tmp_path / "results", CONTENT, probe_action(draws, REAL, 256)) == verdict


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("trained", [True, False])
@torch.no_grad()
def test_a_layer_of_shuffled_weights_and_an_untrained_one_keep_nothing(trained, seed, vaeglow_run, tmp_path):
    model = initialised("vaeglow")
    if trained:
        model = network_of(vaeglow_run)
        for weights in model.layer.parameters():
            shuffled = weights.flatten()[torch.randperm(weights.numel())]
            weights.copy_(shuffled.view_as(weights))
    draws, _ = draw(opened(model, None, "vae_glow", seed), 100, 2, 0.5)
    action = probe_action(draws, draws["vae"], 256)
    assert judged(tmp_path / "results", CONTENT, action) == FAILS


def moving() -> ndarray:
    """Windows that move over a picture, a pixel a step."""
    pictures = gaussian_filter(photographs(12, 48).astype(float), (0, 0, 2, 2))
    return np.stack([pictures[..., 8:40, step : step + 32] for step in range(STEPS)], 1)


def between(weight: ndarray, images: ndarray = REAL) -> ndarray:
    """Pairs of images, the second with the weights given."""
    weight = weight[:, None, None, None]
    return (1 - weight) * images[:12, None] + weight * images[12:24, None]


WAY = np.linspace(0, 1, STEPS)
PATHS = {
    "moving": (moving(), HOLDS),
    "cross-fade": (between(WAY), FAILS),
    "faint cross-fade": (between(WAY, 128 + 0.8 * WHITE), FAILS),  # rounding adds no detail
    "jump": (between((WAY > 0.5).astype(float)), FAILS),
    "unrelated images": (photographs(12 * STEPS, seed=2).reshape(12, STEPS, 3, 32, 32), FAILS),
}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_smooth_where_images_change_little_by_little_and_not_where_two_are_mixed(name, tmp_path):
    images, verdict = PATHS[name]
    assert judged(tmp_path / "results", SMOOTH, distances(rounded(images)) | detail(rounded(images))) == verdict
