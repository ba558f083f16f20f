"""What all probes share: whose result it is, noise of the run's own seed, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest
from run_tools import COUNTS, prepare, run_probe

from vaeglow.errors import UserError
from vaeglow.evaluation.probes import PROBES
from vaeglow.evaluation.trained import vae_and_layer

SETTINGS = {
    "latents": {"images": 12, "batch_size": 5},
    "noise_maps": {"shown": 3, "images": 7, "batch_size": 7},
    "interpolation": {"space": "prior", "pairs": 1, "steps": 2},
    "layer_draws": {"images": 9, "draws": 2, "temperature": 0.5},
    "linear_reference": {"images": 200, "batch_size": 64},
}
KEYS = ("preset", "dataset", "model", "seed", "weights_sha256", "config_sha256", "data_sha256")


@pytest.mark.parametrize("name", ["latents", "noise_maps", "interpolation", "layer_draws"])
def test_a_result_says_whose_it_is_and_is_the_same_again(name, vaeglow_run, tmp_path):
    outputs = (tmp_path / f"{i}" / PROBES[name].result for i in range(2))
    one, other = (run_probe(name, vaeglow_run, output, SETTINGS[name]) for output in outputs)
    known = {**vaeglow_run.config, **vaeglow_run.summary()}
    assert {key: one.content[key] for key in KEYS} == {key: known[key] for key in KEYS}
    assert one.content["inputs"].keys() == {str(vaeglow_run.model)}
    assert {**one.content, "provenance": None} == {**other.content, "provenance": None}
    assert all(np.array_equal(array, other.arrays[key]) for key, array in one.arrays.items())


@pytest.mark.parametrize(
    ("name", "run", "settings", "message"),
    [
        ("latents", "glow_run", {}, "glow is a glow: the probe latents needs a model with one VAE latent"),
        ("noise_maps", "glow_run", {}, "glow is a glow: the probe noise_maps needs"),
        ("interpolation", "glow_run", {}, "glow is a glow: the probe interpolation needs"),
        ("layer_draws", "vae_run", {}, "vae is a vae: it has no Glow layer"),
        ("linear_reference", "glow_run", {}, "glow is a glow: a linear reference is of a vae"),
        ("linear_reference", "vae_run", {}, "the test split has 12 images, probes.linear_reference needs 192"),
        ("noise_maps", "vae_run", {"shown": 9}, "9 maps of 7 images are requested"),
    ],
)
def test_models_and_numbers_that_will_not_do(name, run, settings, message, request, tmp_path):
    with pytest.raises(UserError, match=message):
        run_probe(name, request.getfixturevalue(run), tmp_path / "x.npz", SETTINGS[name] | settings)
    assert not list(tmp_path.iterdir())


def test_other_data_and_other_kinds_are_refused(vae_run, tmp_path: Path):
    other = prepare(tmp_path / "other", seed=9, **COUNTS)
    with pytest.raises(UserError, match="was trained on other data than"):
        run_probe("latents", vae_run, tmp_path / "x.json", SETTINGS["latents"], test=other / "test.npy")
    with pytest.raises(UserError, match="two is a vae_two_stage: interpolate needs a model with one VAE"):
        vae_and_layer(None, {"model": "two", "kind": "vae_two_stage"}, "interpolate")
