"""Section 3.4's other ways to train: jointly from the start, jointly after the two phases, with less of the KL."""

import copy
import re
from argparse import Namespace

import numpy as np
import pytest
import torch
import yaml
from models_tools import gradients, photo_like, randomise, run_config
from refusals import user_error
from run_tools import CONFIG, Run, resolved, same_tensors
from test_workflow import workflow
from torch.testing import assert_close

from vaeglow.config import merge, resolve
from vaeglow.data.arrays import open_split, read_info
from vaeglow.data.loader import BEFORE_TRAINING, dequantise, step_generator
from vaeglow.models.base import build
from vaeglow.training.run import load_base
from vaeglow.weights import load_model


def test_finetuning_starts_exactly_at_its_base(vaeglow_run, finetune_run):
    """All weights are the base's, and the layer's data-dependent start is not run again, whatever the data."""
    model = build(finetune_run.config)
    files = Namespace(base=vaeglow_run.model, base_training=vaeglow_run.training, data_dir=finetune_run.data)
    load_base(model, finetune_run.config, read_info(finetune_run.data), files)
    model.initialise(photo_like(32, 3, 8))
    assert same_tensors(model.state_dict(), vaeglow_run.weights())


def test_summaries_count_the_phases(vaeglow_run, finetune_run, joint_run):
    phases, further, joint = (run.summary() for run in (vaeglow_run, finetune_run, joint_run))
    assert phases["epochs_by_phase"] == [2, 2]
    assert further["epochs_by_phase"] == [2, 2, 1]
    assert joint["epochs_by_phase"] == [2]
    assert further["train_seconds_by_phase"][:2] == phases["train_seconds_by_phase"]
    assert further["parameters"] == phases["parameters"] == joint["parameters"]


@pytest.mark.parametrize("name", ["vae", "vaeglow_joint"])
def test_the_kl_enters_the_objective_by_its_weight(name):
    """Weight 0: the prior, which only the KL sees, gets gradients of exactly 0; between, gradients are linear in it."""
    model = randomise(build(run_config(name)).double())
    y = photo_like(16, 3, 8).double()
    none, some, whole = (gradients(model, y, weight) for weight in (0.0, 0.3, 1.0))
    prior = [key for key in none if "prior." in key]
    assert any(whole[key].any() for key in prior)
    assert not any(none[key].any() for key in prior)
    assert any(none[key].any() for key in none if "encoder." in key)
    for key in none:
        assert_close(some[key], 0.7 * none[key] + 0.3 * whole[key])


@pytest.mark.parametrize("model", ["vae", "vaeglow_joint"])
def test_history_and_validation_tell_the_bound_whatever_the_weight(model, vae_run, tmp_path, blobs_dir):
    run = Run(tmp_path, resolved(model, kl_weight=0.01, validate_every=2), blobs_dir).train()
    for row in run.rows():
        names = [name for name in row if name.endswith("_bits_per_dim") and not name.startswith("val")]
        terms = [float(row[name]) for name in names]
        assert float(row["kl_bits_per_dim"]) > 0.005
        assert float(row["bits_per_dim"]) == pytest.approx(8 + sum(terms), abs=1e-4)
    val = torch.from_numpy(np.array(open_split(run.data, "val")))
    generator = step_generator(0, BEFORE_TRAINING, 1)
    network, _ = load_model(run.model, "cpu")
    with torch.no_grad():
        bits, _ = network.loss(dequantise(val, 256, generator), generator)
    assert float(row["val_bits_per_dim"]) == pytest.approx(bits.item(), abs=1e-5)
    assert model != "vae" or not same_tensors(vae_run.weights(), run.weights())


def test_the_kl_of_a_frozen_vae_is_a_constant(vaeglow_run, tmp_path):
    """Its weight changes no gradient, hence no weight."""
    config = copy.deepcopy(vaeglow_run.config)
    config["training"]["kl_weight"] = 0.0
    run = Run(tmp_path, config, vaeglow_run.data, vaeglow_run.base).train()
    assert same_tensors(run.weights(), vaeglow_run.weights())


MISPLACED = yaml.safe_load("""
- [vaeglow_finetune, {base: vae}, "base 'vae' is a vae, not a vae_glow"]
- [vaeglow_finetune, {base: vaeglow_joint}, has mode joint; a finetune]
- [vaeglow_finetune, {layer: {depth: 3}}, "has another layer, .*'depth': 3"]
- [vaeglow_finetune, {training: {snapshots: [0.5, 0.5]}}, must rise]
- [vaeglow_joint, {base: vaeglow}, "base 'vaeglow' is a vae_glow, not a vae"]
- [vae_two_stage, {base: vae}, base 'vae' has prior.kind flow; .*name a VAE with that]
- [glow, {training: {kl_weight: 0.5}}, "kl_weight is 0.5, but a glow has no KL"]
""")


@pytest.mark.parametrize("name, change, message", MISPLACED)
def test_modes_and_weights_where_they_do_not_belong(name, change, message):
    with user_error(rf"^models.{name}: .*{message}"):
        resolve(merge(CONFIG, {"models": {name: change}}), "tiny", "blobs", name, 0)


def test_joint_training_depends_on_its_vaes_architecture_alone():
    joint = resolve(CONFIG, "tiny", "blobs", "vaeglow_joint", 0)
    trained = merge(CONFIG, {"models": {"vae": {"training": {"epochs": 9}}}})
    assert resolve(trained, "tiny", "blobs", "vaeglow_joint", 0) == joint
    wider = merge(CONFIG, {"models": {"vae": {"network": {"base_dim": 9}}}})
    assert resolve(wider, "tiny", "blobs", "vaeglow_joint", 0) != joint


def test_joint_training_waits_for_no_vae_and_finetuning_for_both_phases(tmp_path):
    models = ("vaeglow_joint", "vaeglow_joint_finetune")
    plan = workflow("-n", *(f"results/demo/photos32/{name}/seed0/history.csv" for name in models), cwd=tmp_path)
    waits = {}
    for inputs, model in re.findall(r"^rule train_.*\n    input: (.*)\n    output: .*/(\w+)/seed0/model", plan, re.M):
        waits[model] = re.findall(r"(\w+)/seed0/model", inputs)
    assert waits == {
        "vae": [],
        "vaeglow_joint": [],
        "vaeglow": ["vae"],
        "vaeglow_joint_finetune": ["vaeglow"],
    }
