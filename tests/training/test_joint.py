"""Section 3.4's other ways to train: jointly from the start, jointly after the two phases, with less of the KL."""

import copy
import math
from argparse import Namespace

import numpy as np
import pytest
import torch
from models_tools import phase_one, photo_like, randomise, run_config, seeded
from run_tools import CONFIG, ROOT, Run, resolved, same_tensors
from test_workflow import dry_run

from vaeglow.config import merge, resolve
from vaeglow.data.arrays import open_split, read_info
from vaeglow.data.loader import BEFORE_TRAINING, dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.files import sha256_file
from vaeglow.models.base import build
from vaeglow.models.bounds import total
from vaeglow.training.run import load_base
from vaeglow.weights import load_model


@pytest.mark.parametrize("training", [False, True])
def test_joint_training_starts_at_the_vaes_likelihood(training):
    """The layer starts as the identity, on batch statistics in training mode, too."""
    model = build(run_config("vaeglow_joint"))
    phase_one(model)  # the noise of a trained VAE: what is left of a rounding error is not blown up
    y = photo_like(32, 3, 8)
    model.initialise(y)
    model.train(training)
    with torch.no_grad():
        ours = total(model.log_likelihood(y, seeded(1)))
        torch.testing.assert_close(ours, total(model.vae.log_likelihood(y, seeded(1))), rtol=1e-5, atol=0)
        randomise(model.layer, scale=0.01)
        assert (total(model.log_likelihood(y, seeded(1))) / ours - 1).abs().max() > 1e-4


def test_finetuning_starts_exactly_at_its_base(vaeglow_run, finetune_run):
    """All weights are the base's, and the layer's data-dependent start is not run again, whatever the data."""
    model = build(finetune_run.config)
    files = Namespace(base=vaeglow_run.model, base_training=vaeglow_run.training, data_dir=finetune_run.data)
    load_base(model, finetune_run.config, read_info(finetune_run.data), files)
    y = dequantise(torch.from_numpy(open_split(finetune_run.data, "train")[:32].copy()), 256, seeded(3))
    model.initialise(1 - y)
    assert same_tensors(model.state_dict(), vaeglow_run.weights())
    base = build(vaeglow_run.config).eval()
    base.load_state_dict(vaeglow_run.weights())
    with torch.no_grad():
        ours, theirs = (total(m.log_likelihood(y, seeded(4))) for m in (model.eval(), base))
    assert torch.equal(ours, theirs)


def test_summaries_count_the_phases(vaeglow_run, finetune_run, joint_run):
    phases = vaeglow_run.summary()
    further = finetune_run.summary()
    joint = joint_run.summary()
    assert phases["epochs_by_phase"] == [2, 2]
    assert further["epochs_by_phase"] == [2, 2, 1]
    assert joint["epochs_by_phase"] == [2]
    assert further["train_seconds_by_phase"][:2] == phases["train_seconds_by_phase"]
    assert len(joint["train_seconds_by_phase"]) == 1
    assert further["inputs"][str(vaeglow_run.model)] == sha256_file(vaeglow_run.model)
    assert len(joint["inputs"]) == 4
    assert further["parameters"] == phases["parameters"] == joint["parameters"]


def gradients(model: torch.nn.Module, y: torch.Tensor, weight: float) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    loss, _ = model.loss(y, seeded(5), weight)
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", ["vae", "vaeglow_joint"])
def test_the_kl_enters_the_objective_by_its_weight(name):
    """Weight 0: the prior, which only the KL sees, gets gradients of exactly 0; between, gradients are linear in it."""
    model = build(run_config(name)).double()
    randomise(model)
    y = photo_like(16, 3, 8).double()
    none, some, whole = (gradients(model, y, weight) for weight in (0.0, 0.3, 1.0))
    prior = [key for key in none if "prior." in key]
    assert prior
    assert all(not none[key].any() for key in prior)
    assert any(whole[key].any() for key in prior)
    assert any(none[key].any() for key in none if "encoder." in key)
    for key in none:
        torch.testing.assert_close(some[key], 0.7 * none[key] + 0.3 * whole[key])
    bits, terms = model.loss(y, seeded(5))
    less, same_terms = model.loss(y, seeded(5), 0.25)
    kl = -terms["negative_kl"] / (model.dims * math.log(2))
    torch.testing.assert_close(bits - less, 0.75 * kl)
    torch.testing.assert_close(terms, same_terms)


@pytest.mark.parametrize("model", ["vae", "vaeglow_joint"])
def test_history_and_validation_tell_the_bound_whatever_the_weight(model, tmp_path, blobs_dir):
    run = Run(tmp_path, resolved(model, kl_weight=0.01, validate_every=2), blobs_dir).train()
    for row in run.rows():
        names = [name for name in row if name.endswith("_bits_per_dim") and not name.startswith("val")]
        terms = [float(row[name]) for name in names]
        assert len(terms) > 1
        assert float(row["kl_bits_per_dim"]) > 0.005
        assert float(row["bits_per_dim"]) == pytest.approx(8 + sum(terms), abs=1e-4)
    val = torch.from_numpy(np.array(open_split(run.data, "val")))
    generator = step_generator(0, BEFORE_TRAINING, 1)
    network, _ = load_model(run.model, "cpu")
    with torch.no_grad():
        bits, _ = network.loss(dequantise(val, 256, generator), generator)
    assert float(row["val_bits_per_dim"]) == pytest.approx(bits.item(), abs=1e-5)
    plain = Run(tmp_path / "plain", resolved(model), blobs_dir).train()
    assert not same_tensors(plain.weights(), run.weights())


def test_the_kl_of_a_frozen_vae_is_a_constant(vaeglow_run, tmp_path):
    """Its weight changes no gradient, hence no weight."""
    config = copy.deepcopy(vaeglow_run.config)
    config["training"]["kl_weight"] = 0.0
    run = Run(tmp_path, config, vaeglow_run.data, vaeglow_run.base).train()
    assert same_tensors(run.weights(), vaeglow_run.weights())


@pytest.mark.parametrize(
    ("name", "models", "message"),
    [
        ("vaeglow_finetune", {"vaeglow_finetune": {"base": "vae"}}, "base 'vae' is a vae, not a vae_glow"),
        ("vaeglow_finetune", {"vaeglow_finetune": {"base": "vaeglow_joint"}}, "has mode joint; a finetune"),
        ("vaeglow_finetune", {"vaeglow_finetune": {"layer": {"depth": 3}}}, r"has another layer, .*'depth': 3"),
        ("vaeglow_finetune", {"vaeglow_finetune": {"training": {"snapshots": [0.5, 0.5]}}}, "must rise"),
        ("vaeglow_joint", {"vaeglow_joint": {"base": "vaeglow"}}, "base 'vaeglow' is a vae_glow, not a vae"),
        (
            "vae_two_stage",
            {"vae_two_stage": {"base": "vae"}},
            r"base 'vae' has prior.kind flow; .*name a VAE with that",
        ),
        ("glow", {"glow": {"training": {"kl_weight": 0.5}}}, "kl_weight is 0.5, but a glow has no KL"),
    ],
)
def test_modes_and_weights_where_they_do_not_belong(name, models, message):
    with pytest.raises(UserError, match=rf"^models.{name}: .*{message}"):
        resolve(merge(CONFIG, {"models": models}), "tiny", "blobs", name, 0)


def test_joint_training_depends_on_its_vaes_architecture_alone():
    joint = resolve(CONFIG, "tiny", "blobs", "vaeglow_joint", 0)
    trained = merge(CONFIG, {"models": {"vae": {"training": {"epochs": 9}}}})
    assert resolve(trained, "tiny", "blobs", "vaeglow_joint", 0) == joint
    wider = merge(CONFIG, {"models": {"vae": {"network": {"base_dim": 9}}}})
    assert resolve(wider, "tiny", "blobs", "vaeglow_joint", 0)["base"]["network"]["base_dim"] == 9


def test_joint_training_waits_for_no_vae_and_finetuning_for_both_phases(tmp_path):
    trained = {}
    for name in ("vaeglow_joint", "vaeglow_joint_finetune"):
        target = f"results/demo/photos32/{name}/seed0/snapshots.safetensors"
        jobs = dry_run("-s", str(ROOT / "Snakefile"), target, cwd=tmp_path)
        trained[name] = [(rule, words["model"]) for rule, words in jobs if rule.startswith("train_")]
    assert trained["vaeglow_joint"] == [("train_joint", "vaeglow_joint")]
    layers = [("train_glow_layer", "vaeglow"), ("train_glow_layer", "vaeglow_joint_finetune")]
    assert trained["vaeglow_joint_finetune"] == [("train_vae", "vae"), *layers]
