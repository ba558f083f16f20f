"""What holds for every kind of model: weights follow from the seed, all learn, a file holds them; the paper's size."""

from typing import Any

import pytest
import torch
import yaml
from models_tools import changed, phase_one, photo_like, randomise, run_config, seeded, snapshot
from run_tools import same_tensors, save_model

from vaeglow.config.registry import kinds_of
from vaeglow.device import image_layout
from vaeglow.models.base import GenerativeModel, build
from vaeglow.weights import load_model

MODELS = [
    "vae",
    "vae isotropic",
    "vae standard",
    "vae infogan",
    "vae_two_stage",
    "glow",
    "glow_additive",
    "vaeglow",
    "vaeglow_as_written",
    "vaeglow_squeeze4",
    "vaeglow_joint",
    "vaeglow_joint_finetune",
    "beyond_three_levels",
    "beyond",
    "pixelcnn",
    "pixeliqn",
    "residual_flow",
]
# The second word of a VAE.
CHANGES = yaml.safe_load("""
"": {}
isotropic: {network: {decoder_noise: isotropic}}
standard: {prior: {kind: standard}}
infogan: {network: {architecture: infogan, base_dim: 4, fc_dim: 16}}
""")
TRAINED = yaml.safe_load("""
{vae_two_stage: second, beyond_three_levels: layer noise_head, vaeglow: layer, vaeglow_as_written: layer,
vaeglow_squeeze4: layer}
""")
# Infogan's biases straight before a batch norm, which subtracts them again.
IDLE = {"encoder.trunk.2.bias", "encoder.trunk.6.bias", *(f"decoder.trunk.{i}.bias" for i in (0, 3, 7))}
# Parameters at the paper's size, and how many of them train.
PAPER = {
    "vae": (37_616_326, 37_616_326),
    "vaeglow": (40_636_898, 3_020_572),
    "vaeglow_as_written": (38_007_090, 390_764),
    "glow": (44_052_816, 44_052_816),  # known as the 44-million-parameter Glow
}


def config_of(name: str) -> dict[str, Any]:
    model, _, change = name.partition(" ")
    return run_config(model, vae=CHANGES[change])


def started(name: str) -> GenerativeModel:
    """After the data-dependent start, a base's noise as after training."""
    model = build(config_of(name))
    if "layer" in TRAINED.get(name, ""):
        phase_one(model)
    model.initialise(photo_like(32, 3, 8, noise=0.05))
    return model


def test_every_kind_is_tried():
    assert {config_of(name)["kind"] for name in MODELS} == set(kinds_of("models"))


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_a_function_of_the_seed(name):
    """Random vectors of spectral norms too; the global random state is left alone."""
    config = config_of(name)
    before = torch.get_rng_state()
    weights = build(config).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert same_tensors(weights, build(config).state_dict())
    others = build({**config, "seed": 1}).state_dict()
    random = [key for key in weights if key.endswith((".weight", ".original", "._u")) and weights[key].std() > 0]
    assert random
    assert not any(torch.equal(weights[key], others[key]) for key in random)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_that_trains_learns_and_no_other_does(name):
    """Each has a gradient once the zero-initialised layers have moved; what is frozen stays in evaluation mode."""
    model = started(name).train()
    y = photo_like(16, 3, 8, noise=0.05)
    optimizer = torch.optim.Adam(list(model.trainable()), lr=0.01)
    for step in range(3):
        optimizer.step()  # at first there are no gradients
        optimizer.zero_grad()
        loss, _ = model.loss(model.inputs(y, seeded(step)), seeded(step))
        loss.backward()
    parameters = dict(model.named_parameters())
    moving = {key for key, parameter in parameters.items() if parameter.grad is not None}
    assert moving == {key for key, parameter in parameters.items() if parameter.requires_grad}
    idle = {key for key in moving if parameters[key].grad.abs().max() <= 1e-9 and not key.endswith("body.2.bias")}
    assert idle <= (IDLE if "infogan" in name else set())  # `body.2` is before a batch norm, too
    if name in TRAINED:
        assert {key.split(".")[0] for key in moving} == {*TRAINED[name].split()}
        assert not any(module.training for module in model.vae.modules())
    else:
        assert moving == set(parameters)
        assert all(module.training for module in model.modules())


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded(name, tmp_path):
    """The same numbers from the file alone, batch norms and permutations in it; it is not initialised again."""
    model = randomise(started(name), scale=0.03).eval()
    model.to(memory_format=image_layout("cpu"))  # as a loaded one lies: in another layout a sum is rounded otherwise
    path = tmp_path / "model.safetensors"
    y = photo_like(4, 3, 8, seed=1)
    save_model(path, model, config_of(name), {})
    loaded, _ = load_model(path, "cpu")
    assert same_tensors(loaded.state_dict(), model.state_dict())
    before = snapshot(loaded)
    loaded.initialise(1 - y)
    with torch.no_grad():
        assert torch.equal(*(m.loss(m.inputs(y, seeded()), seeded())[0] for m in (loaded, model)))
        assert torch.equal(*(m.sample(3, 1.0, seeded()) for m in (loaded, model)))
    assert changed(loaded, before) == set()  # evaluation leaves batch and spectral norms alone


@pytest.mark.parametrize("model", PAPER)
def test_paper_size(model):
    made = build(run_config(model, preset="paper", dataset="cifar10"))
    count = sum(parameter.numel() for parameter in made.parameters())
    trained = sum(parameter.numel() for parameter in made.trainable())
    assert (count, trained) == PAPER[model]
