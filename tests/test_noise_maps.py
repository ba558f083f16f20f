"""Maps of the decoder's noise: what is drawn is s(z), and the correlation is with the model's own error."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import run_tools
import torch
from models_tools import GREY, data, plain_vae, seeded
from run_tools import prepare
from scipy.stats import spearmanr

from vaeglow.data.loader import dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.noise_maps import NOISE_MAPS, map_noise, rank_correlations
from vaeglow.models.bounds import quantise
from vaeglow.models.store import load_model
from vaeglow.steps import noise_maps as noise_maps_step

CPU = torch.device("cpu")


@pytest.fixture(params=["vae", "vaeglow"])
def latent_run(request):
    return request.getfixturevalue(f"{request.param}_run")


def flags(run, output, shown: int = 3, images: int = 7, batch: int = 5) -> list[str]:
    files = {"model": run.model, "data_dir": run.data, "output": output}
    return run_tools.flags(**files, shown=shown, images=images, batch_size=batch, device="cpu")


def test_correlations_are_of_ranks_image_by_image():
    scale = np.random.default_rng(0).random((5, 4, 4)).astype(np.float32)
    error = np.stack([scale[0] ** 9, -scale[1], scale[2][::-1] + scale[2], scale[3], np.zeros((4, 4))])
    scale[3] = 7
    found = rank_correlations(scale, error)
    assert found[:2] == pytest.approx([1, -1]) and found[3:] == [0, 0]
    assert found[2] == pytest.approx(spearmanr(scale[2].ravel(), error[2].ravel()).statistic)


def test_the_step_writes_the_decoders_own_maps(latent_run, tmp_path, monkeypatch):
    output = tmp_path / "noise_maps.npz"
    monkeypatch.setattr(sys, "argv", ["noise_maps", *flags(latent_run, output, batch=7)])
    noise_maps_step.main()
    with np.load(output, allow_pickle=False) as archive:
        arrays, metadata = {name: archive[name] for name in archive}, json.loads(str(archive["metadata"]))
    network, _ = load_model(latent_run.model, CPU)
    vae, x = getattr(network, "vae", network), torch.from_numpy(np.load(latent_run.data / "test.npy")[:7])
    y = dequantise(x, 256, step_generator(latent_run.config["seed"], NOISE_MAPS, 0))
    with torch.no_grad():
        mean, log_scale = vae.decode(vae.encode(y)[0])
        target = y if vae is network else network.layer(y)[0]
    assert np.array_equal(arrays["images"], x[:3].numpy())
    assert np.array_equal(arrays["mean"], quantise(mean, 256)[:3].numpy())
    scale = 256 * log_scale.exp().square().mean(1).sqrt().numpy()
    error = (target - mean).square().mean(1).sqrt().numpy()
    assert arrays["scale"].dtype == np.float32 and arrays["scale"].shape == (3, 8, 8)
    np.testing.assert_allclose(arrays["scale"], scale[:3], rtol=1e-5)
    expected = [spearmanr(s.ravel(), e.ravel()).statistic for s, e in zip(scale, error, strict=True)]
    assert metadata["error_correlations"] == pytest.approx(expected)
    assert metadata["error_correlation"] == pytest.approx(np.mean(expected)) and metadata["images"] == 7
    assert all(metadata[key] == latent_run.config[key] for key in ("preset", "dataset", "model", "seed"))
    assert all(metadata[key] == latent_run.summary()[key] for key in ("weights_sha256", "config_sha256", "data_sha256"))


def test_noise_that_knows_where_the_error_is():
    """A decoder whose s is what its error is: the correlation is high; turned round: low."""
    vae = plain_vae(GREY, "diagonal", False).eval()
    images = data(GREY)[:60].numpy()
    y = dequantise(torch.from_numpy(images), GREY["levels"], step_generator(0, NOISE_MAPS, 0))
    for sign in (1, -1):
        mean = torch.full_like(y, 0.5)
        vae.decode = lambda _, mean=mean, sign=sign: (mean, sign * (y - mean).abs().log())
        found = map_noise(vae, None, images, 60, 0, CPU).correlations
        assert np.mean(found) == pytest.approx(sign, abs=1e-6)


def test_isotropic_noise_has_one_scale_and_no_correlation():
    vae = plain_vae(GREY, "isotropic", True).eval()
    maps = map_noise(vae, None, data(GREY)[:6].numpy(), 4, 0, CPU)
    assert maps.correlations is None
    assert np.ptp(maps.scale) < 1e-6
    assert maps.scale[0, 0, 0] == pytest.approx(GREY["levels"], rel=0.1)  # log s starts at 0


def test_maps_are_a_function_of_the_seed_and_the_noise_is_fresh():
    vae, images = plain_vae(GREY, "diagonal", True).eval(), data(GREY)[:6].numpy()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded()))
    first, again, other = (map_noise(vae, None, images, 3, seed, CPU) for seed in (0, 0, 1))
    assert np.array_equal(first.scale, again.scale) and first.correlations == again.correlations
    assert not np.array_equal(first.scale, other.scale)
    twice = map_noise(vae, None, np.concatenate([images[:3]] * 2), 3, 0, CPU)
    assert not np.array_equal(twice.scale[:3], twice.scale[3:])  # each batch has noise of its own


def test_what_cannot_be_mapped(glow_run, vae_run, tmp_path):
    output = tmp_path / "noise_maps.npz"
    others = flags(vae_run, output)
    others[others.index("--data-dir") + 1] = str(prepare(tmp_path / "other", seed=70))
    for words, message in [
        (flags(glow_run, output), "glow is a glow: the step noise_maps needs"),
        (flags(vae_run, output, shown=9), "9 maps of 7 images are asked for"),
        (others, "was trained on other data"),
    ]:
        with pytest.raises(UserError, match=message):
            noise_maps_step.main(words)
    assert not output.exists()
