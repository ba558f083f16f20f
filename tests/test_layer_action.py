"""Where the Glow layer acts: layers whose effect is known, and the file of a trained run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fid_tools import photographs, random_weights
from run_tools import flags, prepare
from scipy.ndimage import gaussian_filter

from vaeglow.errors import UserError
from vaeglow.evaluation.inception import load_weights, save_weights
from vaeglow.evaluation.layer_action import draw_distance, probe_action
from vaeglow.steps import layer_action, layer_draws

FEATURES = np.random.default_rng(5).normal(size=(12, 4))


def drawn(layer: np.ndarray, vae: np.ndarray, draws: int = 1) -> dict[str, np.ndarray]:
    """Draws of a layer that makes `layer` of `vae`, whatever the noise."""
    layers = np.repeat(layer[:, None], draws, 1)
    return {"vae": vae, "vae_noisy": vae, "layer_mean": layer, "layer": layers}


def blurred(images: np.ndarray) -> np.ndarray:
    return gaussian_filter(images, (0, 0, 1.5, 1.5), mode="reflect")


def test_a_layer_that_does_nothing():
    images = photographs(12)
    found = probe_action(drawn(images, images, 3), FEATURES, FEATURES, images)
    assert found["pixel_distance"] == found["feature_distance"] == found["draw_pixel_distance"] == 0
    assert found["content_kept"] == 1 and found["feature_distance_between"] > 1
    assert max(found["spectrum_error"].values()) < 1e-9
    assert list(found["sharpness"].values()) == pytest.approx([found["sharpness"]["data"]] * 5)
    assert found["images"] == found["data_images"] == 12


def test_a_layer_that_sharpens_brings_the_spectrum_to_the_datas():
    real = photographs(12, seed=1)
    found = probe_action(drawn(real, blurred(real)), FEATURES, FEATURES, photographs(40))
    assert found["sharpness"]["vae"] < 0.3 * found["sharpness"]["layer"]
    assert found["spectrum_error"]["layer"] < 0.5 < found["spectrum_error"]["vae"]
    per_image = found["per_image"]
    assert np.mean(per_image["spectrum_error_layer"]) < np.mean(per_image["spectrum_error_vae"])
    high = {name: found["spectrum"][name][-1] for name in ("vae", "layer", "data")}
    assert high["vae"] < high["layer"] and high["vae"] < high["data"]
    assert found["spectrum"]["frequency"] == pytest.approx([k / 32 for k in range(1, 17)])


def test_distances_are_in_grey_levels_and_euclidean():
    vae = photographs(12) // 2
    found = probe_action(drawn(vae + 10, vae), FEATURES, FEATURES + np.array([3, 4, 0, 0]), vae)
    assert found["per_image"]["pixel_distance"] == pytest.approx([10] * 12)
    assert found["per_image"]["feature_distance"] == pytest.approx([5] * 12)
    pairs = [np.linalg.norm(FEATURES[i] - FEATURES[j]) for i in range(12) for j in range(i)]
    assert found["feature_distance_between"] == pytest.approx(np.mean(pairs))


def test_content_is_kept_where_the_nearest_vae_image_is_its_own():
    images = photographs(12)
    shifted = FEATURES.copy()
    shifted[[0, 1]] = FEATURES[[1, 0]]  # two latents change places
    found = probe_action(drawn(images, images), FEATURES, shifted, images)
    assert found["per_image"]["content_kept"] == [0, 0] + [1] * 10 and found["content_kept"] == pytest.approx(10 / 12)
    assert found["content_kept_pixels"] == 1
    found = probe_action(drawn(images[::-1], images), FEATURES, FEATURES, images)
    assert found["content_kept_pixels"] == 0 and found["content_kept"] == 1


def test_images_that_are_all_one_keep_their_content_by_chance():
    found = probe_action(drawn(photographs(12), photographs(12)), 0 * FEATURES, 0 * FEATURES, photographs(12))
    assert found["content_kept"] == pytest.approx(1 / 12)


def test_the_distance_between_draws():
    layer = np.zeros((2, 3, 1, 2, 2), np.uint8)
    layer[:, 1], layer[:, 2] = 6, 255
    assert draw_distance(layer) == pytest.approx((6 + 255 + 249) / 3)  # no wrap-around of bytes
    assert draw_distance(layer[:, :1]) is None


def test_one_latent_has_nothing_to_compare_with():
    images = photographs(1)
    with pytest.raises(UserError, match="1 latents: 2 or more"):
        probe_action(drawn(images, images), FEATURES[:1], FEATURES[:1], images)


# ------------------------------------------------------------------------------------------------ the step
@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    save_weights(path, random_weights(), {"source": "random"})
    return path


@pytest.fixture(scope="module")
def draws(tmp_path_factory, vaeglow_run) -> Path:
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("draws") / "layer_draws.npz"
    about = {"images": 9, "draws": 2, "temperature": 0.5, "device": "cpu"}
    layer_draws.main(flags(model=vaeglow_run.model, **about, output=path))
    return path


def arguments(draws: Path, data: Path, weights: Path, output: Path) -> list[str]:
    files = flags(layer_draws=draws, data_dir=data, weights=weights, output=output)
    return [*files, *flags(features=64, batch_size=10, device="cpu", threads=1)]


def test_the_step_measures_the_draws_of_a_run(draws, weights, vaeglow_run, tmp_path):
    output = tmp_path / "layer_action.json"
    layer_action.main(arguments(draws, vaeglow_run.data, weights, output))
    found = json.loads(output.read_text())
    assert found["images"] == found["data_images"] == 9 and found["temperature"] == 0.5 and found["features"] == 64
    assert all(found[key] == vaeglow_run.config[key] for key in ("preset", "dataset", "model", "seed"))
    assert all(found[key] == vaeglow_run.summary()[key] for key in ("weights_sha256", "config_sha256", "data_sha256"))
    assert found["inception_sha256"] == load_weights(weights)[1]
    five = {"vae", "vae_noisy", "layer_mean", "layer", "data"}
    assert set(found["sharpness"]) == five and set(found["spectrum"]) == five | {"frequency"}
    assert set(found["spectrum_error"]) == five - {"data"}
    for name, values in found["per_image"].items():
        assert len(values) == 9
        if name in found:
            assert np.mean(values) == pytest.approx(found[name])
    assert found["feature_distance"] > 0 and found["draw_pixel_distance"] > 0
    again = tmp_path / "again.json"
    layer_action.main(arguments(draws, vaeglow_run.data, weights, again))
    same = json.loads(again.read_text())
    assert {**same, "provenance": None} == {**found, "provenance": None}


def test_draws_of_other_data_are_refused(draws, weights, tmp_path):
    other = prepare(tmp_path / "other", seed=70)
    with pytest.raises(UserError, match="is of a run on other data than"):
        layer_action.main(arguments(draws, other, weights, tmp_path / "x.json"))
    assert not (tmp_path / "x.json").exists()
