"""The same latents with and without the Glow layer: f carries each image onto its other one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from run_tools import flags, initialised

from vaeglow.data.loader import step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.layer_draws import LAYER_DRAWS, draw_layer
from vaeglow.evaluation.probe import HASHES
from vaeglow.models.bounds import normal_like, quantise
from vaeglow.models.store import load_model
from vaeglow.steps import layer_draws as layer_draws_step

CPU = torch.device("cpu")


@pytest.fixture
def model(vaeglow_run):
    return load_model(vaeglow_run.model, CPU)[0]


def test_the_layer_is_applied_to_the_same_latents_and_noise(model):
    arrays = draw_layer(model, 6, 3, 0.5, 0, CPU).arrays
    assert {name: images.shape for name, images in arrays.items()} == {
        **{name: (6, 3, 8, 8) for name in ("vae", "vae_noisy", "layer_mean")},
        "layer": (6, 3, 3, 8, 8),
    }
    assert {images.dtype for images in arrays.values()} == {np.dtype(np.uint8)}
    generator = step_generator(0, LAYER_DRAWS, 0)
    with torch.no_grad():
        mean, log_scale = model.vae.decode(model.vae.prior_sample(100, generator))
        first = mean + 0.5 * log_scale.exp() * normal_like(mean, generator)
        expected = {
            "vae": mean,
            "vae_noisy": first,
            "layer_mean": model.layer.inverse(mean)[0],
            "layer": model.layer.inverse(first)[0],
        }
        torch.testing.assert_close(model.layer(expected["layer"])[0], first, rtol=0, atol=1e-4)
        assert (expected["layer"] - first).abs().max() > 1e-3  # f is not the identity
    for name, images in expected.items():
        shown = arrays[name] if name != "layer" else arrays[name][:, 0]
        assert np.array_equal(shown, quantise(images, 256)[:6].numpy()), name


def test_the_first_images_depend_on_neither_count(model):
    many = draw_layer(model, 103, 4, 0.7, 0, CPU).arrays
    few = draw_layer(model, 5, 2, 0.7, 0, CPU).arrays
    assert len(many["vae"]) == 103 and len(np.unique(many["vae"].reshape(103, -1), axis=0)) == 103
    for name, images in few.items():
        assert np.array_equal(images, many[name][:5, :2] if name == "layer" else many[name][:5])
    assert not np.array_equal(few["vae"], draw_layer(model, 5, 2, 0.7, 1, CPU).arrays["vae"])


def test_temperature_is_of_the_noise_alone(model):
    cold, warm = (draw_layer(model, 30, 2, t, 0, CPU).arrays for t in (0.0, 1.0))
    for name in ("vae", "layer_mean"):
        assert np.array_equal(cold[name], warm[name])
    assert np.array_equal(cold["vae"], cold["vae_noisy"]) and np.array_equal(cold["layer"][:, 1], cold["layer_mean"])
    assert not np.array_equal(warm["layer"][:, 0], warm["layer"][:, 1])


def test_overflow_is_counted_and_too_much_of_it_refused(monkeypatch):
    model = initialised("vaeglow")
    plain = model.layer.inverse

    def breaks(share):
        def inverse(y):
            x, log_det = plain(y)
            x = x.clone()
            x[: int(share * len(x)), 0, 0, 0] = float("inf")
            return x, log_det

        return inverse

    monkeypatch.setattr(model.layer, "inverse", breaks(0.1))
    assert draw_layer(model, 100, 1, 0.5, 0, CPU).exploded == 10
    monkeypatch.setattr(model.layer, "inverse", breaks(0.6))
    with pytest.raises(UserError, match="60 of 100 latents give images that are not finite"):
        draw_layer(model, 100, 1, 0.5, 0, CPU)


@pytest.mark.parametrize(
    ("count", "draws", "temperature"), [(0, 1, 1.0), (1, 0, 1.0), (1, 1, -1.0), (1, 1, float("nan"))]
)
def test_illegal_requests(count, draws, temperature):
    with pytest.raises(UserError, match=r"asked for|temperature"):
        draw_layer(initialised("vaeglow"), count, draws, temperature, 0, CPU)


SEVEN = {"images": 7, "draws": 2, "temperature": 0.5, "device": "cpu"}


def test_the_step_writes_the_draws_of_the_runs_own_seed(vaeglow_run, model, tmp_path):
    output = tmp_path / "layer_draws.npz"
    layer_draws_step.main(flags(model=vaeglow_run.model, **SEVEN, output=output))
    with np.load(output, allow_pickle=False) as archive:
        arrays, metadata = {name: archive[name] for name in archive}, json.loads(str(archive["metadata"]))
    for name, images in draw_layer(model, 7, 2, 0.5, vaeglow_run.config["seed"], CPU).arrays.items():
        assert np.array_equal(arrays[name], images)
    assert metadata["temperature"] == 0.5 and metadata["exploded_samples"] == 0
    assert all(metadata[key] == vaeglow_run.config[key] for key in ("preset", "dataset", "model", "seed"))
    assert {key: metadata[key] for key in HASHES} == {key: vaeglow_run.summary()[key] for key in HASHES}
    assert list(tmp_path.iterdir()) == [output]


def test_a_vae_alone_has_no_layer(vae_run, tmp_path):
    with pytest.raises(UserError, match="vae is a vae: it has no Glow layer"):
        layer_draws_step.main(flags(model=vae_run.model, **SEVEN, output=tmp_path / "x.npz"))
    assert not list(tmp_path.iterdir())
