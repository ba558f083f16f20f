"""Probes: what all share; interpolation between random latents; maps of the decoder's noise."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from fid_tools import opened
from models_tools import GREY, data, plain_vae, seeded
from run_tools import COUNTS, prepare, run_probe
from scipy.stats import spearmanr

import vaeglow
from vaeglow.config.registry import kinds_of
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.probes import noise_maps
from vaeglow.evaluation.probes.interpolation import INTERPOLATION, detail, distances, latent_paths, slerp
from vaeglow.evaluation.probes.noise_maps import NOISE_MAPS, border_contrasts, rank_correlations
from vaeglow.evaluation.trained import vae_and_layer
from vaeglow.models.bounds import normal_like, quantise
from vaeglow.weights import load_model

CPU = torch.device("cpu")
WEIGHT = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
SETTINGS = {
    "latents": {"images": 12, "batch_size": 5},
    "noise_maps": {"shown": 3, "images": 7, "batch_size": 7},
    "interpolation": {"space": "prior", "pairs": 1, "steps": 2, "shown": 1},
    "layer_action": {"images": 9, "draws": 2, "temperature": 0.5, "shown": 3},
    "linear_reference": {"images": 200, "batch_size": 64},
}
KEYS = ("preset", "dataset", "model", "seed", "weights_sha256", "config_sha256", "data_sha256")


@pytest.mark.parametrize("name", ["latents", "noise_maps", "interpolation", "layer_action"])
def test_a_result_says_whose_it_is_and_is_the_same_again(name, vaeglow_run, tmp_path):
    outputs = (tmp_path / f"{i}" / kinds_of("probes")[name].result for i in range(2))
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
        ("layer_action", "vae_run", {}, "vae is a vae: it has no Glow layer"),
        ("linear_reference", "glow_run", {}, "glow is a glow: the probe linear_reference needs a vae"),
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


def test_slerp_keeps_the_angle_even_and_the_length_between_the_ends():
    one, other = torch.randn(2, 40, 1, 6, generator=seeded()).double()
    path = slerp(one, other, WEIGHT)  # [40, 9, 6]
    torch.testing.assert_close(path[:, :1], one)
    torch.testing.assert_close(path[:, -1:], other)
    lengths = path.norm(dim=-1)
    even = torch.lerp(lengths[:, :1], lengths[:, -1:], WEIGHT[:, 0])
    torch.testing.assert_close(lengths, even)
    units = path / lengths[..., None]
    angles = torch.acos((units[:, 1:] * units[:, :-1]).sum(-1).clamp(-1, 1))
    torch.testing.assert_close(angles, angles.mean(1, keepdim=True).expand_as(angles))


def test_slerp_of_vectors_that_single_out_no_circle():
    one = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(slerp(one, 3 * one, WEIGHT), one * (1 + 2 * WEIGHT))
    torch.testing.assert_close(slerp(one, -one, WEIGHT), one * (1 - 2 * WEIGHT))


def test_the_way_is_straight_in_the_space_it_is_named_after(vae_run):
    vae, _ = load_model(vae_run.model, CPU)
    with torch.no_grad():
        eps = vae.prior(latent_paths(vae, 5, 4, "prior", 0, CPU).flatten(0, 1))[0].unflatten(0, (5, 4))
        torch.testing.assert_close(eps.diff(dim=1), eps.diff(dim=1)[:, :1].expand(5, 3, -1), rtol=1e-3, atol=1e-4)
    z = latent_paths(vae, 5, 4, "latent", 0, CPU)
    lengths = z.norm(dim=-1)
    assert (lengths <= lengths[:, [0, -1]].amax(1, keepdim=True) + 1e-5).all()
    assert (lengths >= lengths[:, [0, -1]].amin(1, keepdim=True) - 1e-5).all()


def test_distances_are_root_mean_squares_in_grey_levels():
    images = np.zeros((2, 3, 1, 2, 2), np.uint8)
    images[0, 1:], images[0, 2, 0, 0, 0], images[1, 1] = 10, 30, 255
    found = distances(images)
    assert found["step_distances"] == [[10, 10], [255, 255]]  # bytes do not wrap around
    assert found["end_distances"] == pytest.approx([math.sqrt((30**2 + 3 * 10**2) / 4), 0])


def test_a_cross_fade_loses_half_of_unrelated_details_at_its_middle():
    ends = np.random.default_rng(0).integers(0, 256, (40, 2, 1, 16, 16)).astype(float)
    fade = np.stack([ends[:, 0], np.rint(ends.mean(1)), ends[:, 1]], 1)
    kept = np.stack([ends[:, 0], *[ends[:, 1]] * 2], 1)
    variance = 2 * 2 * (256**2 - 1) / 12  # of the difference of two pixels, two ways
    found = detail(fade)
    np.testing.assert_allclose(found["detail_kept"], 0, atol=1e-9)
    assert np.mean(found["detail_lost"]) == pytest.approx(variance / 2, rel=0.05)
    assert np.mean(detail(kept)["detail_kept"]) == pytest.approx(variance / 2, rel=0.05)


@pytest.mark.parametrize("space", ["prior", "latent"])
def test_interpolation_writes_the_images_of_the_api(space, latent_run, tmp_path):
    found = run_probe(
        "interpolation", latent_run, tmp_path / "x.npz", {"space": space, "pairs": 3, "steps": 5, "shown": 2}
    )
    model, seed = vaeglow.load(latent_run.model, "cpu"), latent_run.config["seed"]
    images = model.interpolate(pairs=3, steps=5, seed=seed, space=space).numpy()
    assert np.array_equal(found.arrays["images"], images[:2])
    eps = normal_like(torch.empty(2, 3, 1, 4), step_generator(seed, INTERPOLATION, 0))[:, :, 0]
    vae, layer = vae_and_layer(model.network, model.config, "the test")
    with torch.no_grad():
        for end, drawn in [(0, eps[0]), (-1, eps[1])]:  # rendered by themselves
            direct = vae.decode(vae.prior.inverse(drawn))[0]
            direct = quantise(direct if layer is None else layer.inverse(direct), 256).numpy()
            assert np.abs(images[:, end].astype(int) - direct).max() <= 1  # batches of another size round differently
    assert found.content == {**found.content, "space": space, **distances(images), **detail(images)}


def test_correlations_are_of_ranks_image_by_image():
    scale = np.random.default_rng(0).random((5, 4, 4)).astype(np.float32)
    error = np.stack([scale[0] ** 9, -scale[1], scale[2][::-1] + scale[2], scale[3], np.zeros((4, 4))])
    scale[3] = 7
    found = rank_correlations(scale, error)
    assert found[:2] == pytest.approx([1, -1]) and found[3:] == [0, 0]
    assert found[2] == pytest.approx(spearmanr(scale[2].ravel(), error[2].ravel()).statistic)


def test_borders_are_where_black_meets_content_and_background_is_black_all_round():
    images, scale = np.zeros((3, 2, 6, 6), np.uint8), np.ones((3, 6, 6), np.float32)
    images[0, 1, :, 4:], images[1] = (
        9,
        200,
    )  # in one channel; the second has no background, the third no border
    scale[0, :, 3:5], scale[0, :, 5] = np.e**2, 1e9  # inside the content is neither
    assert border_contrasts(images, scale) == pytest.approx([2])


def test_noise_maps_are_the_decoders_own(latent_run, tmp_path):
    result = run_probe("noise_maps", latent_run, tmp_path / "noise_maps.npz", SETTINGS["noise_maps"])
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


def test_isotropic_noise_has_one_scale_and_no_correlation():
    vae = plain_vae(GREY, "isotropic", True).eval()
    settings = {"shown": 6, "images": 6, "batch_size": 4}
    content, arrays = noise_maps.measure(opened(vae, data(GREY)[:6].numpy()), {"test": None}, settings)
    assert content["error_correlations"] is None and content["border_contrasts"] is None
    assert np.ptp(arrays["scale"]) < 1e-6
    assert arrays["scale"][0, 0, 0] == pytest.approx(GREY["levels"], rel=0.1)  # log s starts at 0
