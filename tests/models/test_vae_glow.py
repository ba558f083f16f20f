"""The paper's model: phase 2 starts where phase 1 ended, and bounds log p(y) by eq. 4."""

import pytest
import torch
from models_tools import log_abs_det, normal, phase_one, photo_like, randomise, run_config, seeded
from torch.testing import assert_close

from vaeglow.models.base import build
from vaeglow.models.bounds import total
from vaeglow.models.vae_glow import VAEGlow

PAPER = ["vaeglow", "vaeglow_as_written", "vaeglow_squeeze4"]
BEYOND = ["beyond_noise", "beyond_affine", "beyond_two_levels", "beyond_three_levels"]


def moved_model(name: str) -> VAEGlow:
    model = build(run_config(name))
    phase_one(model)
    model.initialise(photo_like(32, 3, 8))
    randomise(model.layer, scale=0.05)
    return model.eval()


@pytest.mark.parametrize("name", [*PAPER, *BEYOND, "vaeglow_joint"])
@torch.no_grad()
def test_phase_two_starts_at_phase_one(name):
    """The same u and z: the same bits/dim within 1e-4 before the first update, in training mode too."""
    model = build(run_config(name, vaeglow={"layer": {"depth": 32, "width": 8}}))
    vae = phase_one(model)
    y = photo_like(64, 3, 8)
    model.initialise(y)

    def gain() -> float:
        """How far apart the nats/dim of the VAE and of the model are."""
        ours, theirs = (total(part.log_likelihood(y, seeded(3))) for part in (model, vae))
        return (ours - theirs).abs().max().item() / model.dims

    for mode in (True, False):
        model.train(mode)
        assert gain() < 7e-5
    randomise(model.layer, scale=0.01)  # the agreement is the initialisation's doing
    assert gain() > 1e-2


@pytest.mark.parametrize("name", PAPER)
def test_bound_by_hand(name):
    """Eq. 4: log N(f(y); mu(z), s(z)) + log|det df/dy|, z from q(z|y) as phase 1 draws it."""
    model = moved_model(name).double()
    y = photo_like(2, 3, 8, seed=1).double()
    z, negative_kl = model.vae.posterior_sample(y, seeded(4))
    mean, log_scale = model.vae.decode(z)
    log_det = log_abs_det(lambda v: model.layer(v)[0], y[:1])  # a constant: couplings are additive
    assert log_det.abs() > 0.1
    terms = model.log_likelihood(y, seeded(4))
    assert_close(terms["log_det"], log_det.expand(2))
    assert_close(total(terms), normal(model.layer(y)[0], mean, log_scale.exp()) + log_det + negative_kl)


@pytest.mark.parametrize("name", PAPER)
def test_sampling_is_the_inverse_layer_on_the_vae(name):
    """x = f^-1(x_bar), x_bar from the VAE at the same temperature; reconstructions likewise."""
    model = moved_model(name).double()
    y = photo_like(3, 3, 8, seed=2).double()
    pairs = [(model.reconstruct(y), model.vae.reconstruct(y))]
    for temperature in (0.0, 0.5, 1.0):
        pairs.append([part.sample(4, temperature, seeded(5)) for part in (model, model.vae)])
    for x, x_bar in pairs:
        assert_close(model.layer(x)[0], x_bar, atol=1e-9, rtol=0)
        assert (x - x_bar).abs().max() > 0.01
