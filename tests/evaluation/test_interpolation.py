"""Between random latents: the ends are prior draws, the ways are what they are called, the steps are recorded."""

import math

import numpy as np
import pytest
import torch
from models_tools import seeded
from run_tools import run_probe

import vaeglow
from vaeglow.data.loader import step_generator
from vaeglow.evaluation.probes.interpolation import INTERPOLATION, distances, latent_paths, slerp
from vaeglow.evaluation.trained import vae_and_layer
from vaeglow.models.bounds import normal_like, quantise
from vaeglow.weights import load_model

CPU = torch.device("cpu")
WEIGHT = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]


@pytest.fixture
def vae(vae_run):
    return load_model(vae_run.model, CPU)[0]


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
    quarter = slerp(one, torch.tensor([[0.0, 1.0]], dtype=torch.float64), WEIGHT)
    torch.testing.assert_close(quarter[4], torch.full((2,), math.sqrt(0.5), dtype=torch.float64))


def test_the_ends_are_draws_of_the_prior_and_the_way_is_straight_in_the_space_it_is_named_after(vae):
    drawn = normal_like(torch.empty(2, 5, 1, vae.prior.dims), step_generator(3, INTERPOLATION, 0))[:, :, 0]
    with torch.no_grad():
        for space in ("prior", "latent"):
            z = latent_paths(vae, 5, 4, space, 3, CPU)
            for end in (0, -1):
                torch.testing.assert_close(z[:, end], vae.prior.inverse(drawn[end])[0], rtol=1e-5, atol=1e-5)
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


@pytest.mark.parametrize("space", ["prior", "latent"])
def test_the_step_writes_the_images_of_the_api(space, latent_run, tmp_path):
    found = run_probe("interpolation", latent_run, tmp_path / "x.npz", {"space": space, "pairs": 3, "steps": 5})
    images, model, seed = found.arrays["images"], vaeglow.load(latent_run.model, "cpu"), latent_run.config["seed"]
    assert np.array_equal(images, model.interpolate(pairs=3, steps=5, seed=seed, space=space).numpy())
    eps = normal_like(torch.empty(2, 3, 1, 4), step_generator(seed, INTERPOLATION, 0))[:, :, 0]
    vae, layer = vae_and_layer(model.network, model.config, "the test")
    with torch.no_grad():
        for end, drawn in [(0, eps[0]), (-1, eps[1])]:  # rendered by themselves
            direct = vae.decode(vae.prior.inverse(drawn)[0])[0]
            direct = quantise(direct if layer is None else layer.inverse(direct)[0], 256).numpy()
            assert np.abs(images[:, end].astype(int) - direct).max() <= 1  # batches of another size round differently
    assert found.content == {**found.content, "space": space, **distances(images)}
