"""Maps of the decoder's noise: what is drawn is s(z), and the correlation is with the model's own error."""

import numpy as np
import pytest
import torch
from fid_tools import opened
from models_tools import GREY, data, plain_vae
from run_tools import run_probe
from scipy.stats import spearmanr

from vaeglow.data.loader import dequantise, step_generator
from vaeglow.evaluation.probes import noise_maps
from vaeglow.evaluation.probes.noise_maps import NOISE_MAPS, rank_correlations
from vaeglow.models.bounds import quantise
from vaeglow.weights import load_model


def look(vae, images: np.ndarray, batch_size: int, seed: int = 0) -> tuple[dict, dict]:
    settings = {"shown": len(images), "images": len(images), "batch_size": batch_size}
    return noise_maps.measure(opened(vae, images, seed=seed), {"test": None}, settings)


def test_correlations_are_of_ranks_image_by_image():
    scale = np.random.default_rng(0).random((5, 4, 4)).astype(np.float32)
    error = np.stack([scale[0] ** 9, -scale[1], scale[2][::-1] + scale[2], scale[3], np.zeros((4, 4))])
    scale[3] = 7
    found = rank_correlations(scale, error)
    assert found[:2] == pytest.approx([1, -1]) and found[3:] == [0, 0]
    assert found[2] == pytest.approx(spearmanr(scale[2].ravel(), error[2].ravel()).statistic)


def test_the_step_writes_the_decoders_own_maps(latent_run, tmp_path):
    settings = {"shown": 3, "images": 7, "batch_size": 7}
    result = run_probe("noise_maps", latent_run, tmp_path / "noise_maps.npz", settings)
    arrays, content = result.arrays, result.content
    network, _ = load_model(latent_run.model, "cpu")
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
    assert content["error_correlations"] == pytest.approx(expected)
    assert content["error_correlation"] == pytest.approx(np.mean(expected)) and content["images"] == 7


def test_noise_that_knows_where_the_error_is():
    """A decoder whose s is what its error is: the correlation is high; turned round: low."""
    vae = plain_vae(GREY, "diagonal", False).eval()
    images = data(GREY)[:60].numpy()
    y = dequantise(torch.from_numpy(images), GREY["levels"], step_generator(0, NOISE_MAPS, 0))
    for sign in (1, -1):
        mean = torch.full_like(y, 0.5)
        vae.decode = lambda _, mean=mean, sign=sign: (mean, sign * (y - mean).abs().log())
        assert look(vae, images, 60)[0]["error_correlation"] == pytest.approx(sign, abs=1e-6)


def test_isotropic_noise_has_one_scale_and_no_correlation():
    vae = plain_vae(GREY, "isotropic", True).eval()
    content, arrays = look(vae, data(GREY)[:6].numpy(), 4)
    assert content["error_correlations"] is None
    assert np.ptp(arrays["scale"]) < 1e-6
    assert arrays["scale"][0, 0, 0] == pytest.approx(GREY["levels"], rel=0.1)  # log s starts at 0
