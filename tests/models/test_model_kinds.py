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
from vaeglow.training.optimise import build_optimizer
from vaeglow.weights import load_model

MODELS = ["vae", "vae isotropic", "vae standard", "vae infogan", "vae_two_stage", "glow", "glow_additive"]
MODELS += ["vaeglow", "vaeglow_as_written", "vaeglow_squeeze4", "vaeglow_joint", "vaeglow_joint_finetune"]
MODELS += ["beyond_three_levels", "beyond", "pixelcnn", "pixeliqn", "residual_flow"]
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
# Parameters at the paper's size; those that train in phase 2 last.
PAPER = {
    "vae": (37_616_326,),
    "vaeglow": (40_636_898, 3_020_572),
    "vaeglow_as_written": (38_007_090, 390_764),
    "glow": (44_052_816,),  # known as the 44-million-parameter Glow
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
    torch.manual_seed(5)
    weights = build(config).state_dict()
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))
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
        optimizer.zero_grad(set_to_none=True)
        loss, _ = model.loss(model.inputs(y, seeded(step)), seeded(step))
        loss.backward()
        if step < 2:
            optimizer.step()
    moving = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
    assert set(moving) == {key for key, p in model.named_parameters() if p.requires_grad}
    idle = {key for key, grad in moving.items() if not (key.endswith("body.2.bias") or grad.abs().max() > 1e-9)}
    assert idle <= (IDLE if "infogan" in name else set())  # `body.2` is before a batch norm, too
    assert {id(p) for p in model.trainable()} == {id(p) for p in model.parameters() if p.requires_grad}
    if name in TRAINED:
        assert {key.split(".")[0] for key in moving} == {*TRAINED[name].split()}
        assert model.training
        assert not any(module.training for module in model.vae.modules())
    else:
        assert len(moving) == len(list(model.parameters()))
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
    assert type(loaded) is type(model)
    assert not loaded.training
    assert same_tensors(loaded.state_dict(), model.state_dict())
    assert [p.requires_grad for p in loaded.parameters()] == [p.requires_grad for p in model.parameters()]
    before = snapshot(loaded)
    loaded.initialise(1 - y)
    assert changed(loaded, before) == set()
    with torch.no_grad():
        assert torch.equal(*(m.loss(m.inputs(y, seeded()), seeded())[0] for m in (loaded, model)))
        assert torch.equal(*(m.sample(3, 1.0, seeded()) for m in (loaded, model)))
    assert changed(loaded, before) == set()  # evaluation leaves batch and spectral norms alone


@pytest.mark.parametrize("model", PAPER)
def test_paper_size(model):
    """Its parameters are counted, then the configured optimiser takes one step on two images."""
    config = run_config(model, preset="paper", dataset="cifar10")
    made = build(config)
    y = photo_like(2, 3, 32)
    trainable = list(made.trainable())
    count = sum(parameter.numel() for parameter in made.parameters())
    trained = sum(parameter.numel() for parameter in trainable)
    assert PAPER[model] == ((count, trained) if model in TRAINED else (count,))
    assert model in TRAINED or trained == count
    made.initialise(y)
    optimizer = build_optimizer(trainable, config["training"])
    before = snapshot(made.train())
    loss, _ = made.loss(y, seeded(2))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in trainable)
    optimizer.step()
    assert len(changed(made, before)) > len(trainable) / 4  # zero-initialised layers hold back what is behind them
