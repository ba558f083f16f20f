"""Snapshots: the weights a run had at fractions of its way, whatever happened on that way."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from run_tools import Run, identity, interrupt, newest, prepare, resolved, same_tensors

from vaeglow.errors import UserError
from vaeglow.files import sha256_json
from vaeglow.models.build import build
from vaeglow.models.store import load_model
from vaeglow.training.loop import Trainer
from vaeglow.training.snapshots import Snapshots, read_snapshots
from vaeglow.training.state import StateFolder

AT = [0.3, 0.5, 0.6]  # of two epochs of four steps: after steps 3, 4 (the first epoch's last) and 5
STEPS = [3, 4, 5]


def one(run: Run, step: int) -> Path:
    """A single snapshot of a run's state."""
    return StateFolder(run.state, identity(run)).snapshot(step)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, blobs_dir) -> Run:
    return Run(tmp_path_factory.mktemp("undisturbed"), resolved("vae", snapshots=AT), blobs_dir).train()


@pytest.fixture
def run(tmp_path, undisturbed) -> Run:
    """The same run, to be disturbed."""
    return Run(tmp_path / "run", undisturbed.config, undisturbed.data)


@pytest.mark.parametrize(
    ("fraction", "epochs", "steps", "expected"),
    [(0.07, 1, 100, 7), (0.1, 3, 10, 3), (0.29, 10, 10, 29), (0.5, 5, 1, 3), (0.999, 2, 4, 8), (1e-9, 2, 4, 1)],
)
def test_a_fraction_is_rounded_up_to_a_step_as_it_is_written(fraction, epochs, steps, expected, tmp_path):
    snapshots = Snapshots(StateFolder(tmp_path, "0" * 64), [fraction], epochs, steps)
    assert [step for step in range(epochs * steps + 1) if snapshots.due(step)] == [expected]


def test_a_snapshot_is_the_run_stopped_at_its_step(undisturbed, run):
    kept = undisturbed.kept()
    assert list(kept) == STEPS
    for step, state in kept.items():
        interrupt(run, step if step == STEPS[0] else 1)
        stopped = {name.removeprefix("model/"): t for name, t in newest(run).items() if name.startswith("model/")}
        assert run.saved_step() == step and same_tensors(state, stopped)
    assert not same_tensors(kept[3], kept[4]) and not same_tensors(kept[5], undisturbed.weights())


def test_a_snapshot_says_when_and_whose(undisturbed):
    infos = [info for info, _ in read_snapshots(undisturbed.snapshots)]
    assert [(info["fraction"], info["epoch"], info["step"]) for info in infos] == [
        (0.3, 0.75, 3),
        (0.5, 1, 4),
        (0.6, 1.25, 5),
    ]
    seconds = [info["seconds"] for info in infos] + undisturbed.summary()["train_seconds_by_phase"]
    assert 0 < seconds[0] < seconds[1] < seconds[2] < seconds[3]
    assert {info["config_sha256"] for info in infos} == {sha256_json(undisturbed.config)}
    assert {info["data_sha256"] for info in infos} == {undisturbed.summary()["data_sha256"]}


def test_a_snapshot_is_a_models_weights(joint_run):
    model = build(joint_run.config)
    for _, state in read_snapshots(joint_run.snapshots):
        model.load_state_dict(state)
    assert model.layer.steps[0].actnorm.initialised


def test_keeping_snapshots_changes_no_weight(undisturbed, vae_run):
    assert same_tensors(undisturbed.weights(), vae_run.weights())
    assert undisturbed.rows() == vae_run.rows()


def test_a_run_without_snapshots_writes_an_empty_file(vae_run):
    assert read_snapshots(vae_run.snapshots) == [] and not (vae_run.state / "snapshots").exists()


def test_fractions_of_one_step_share_its_weights(tmp_path, blobs_dir):
    run = Run(tmp_path, resolved("glow", snapshots=[0.1, 0.12]), blobs_dir).train()
    (first, left), (second, right) = read_snapshots(run.snapshots)
    assert (first["fraction"], second["fraction"]) == (0.1, 0.12) and first["step"] == second["step"] == 1
    assert same_tensors(left, right)


def test_writing_takes_no_training_time(tmp_path, blobs_dir, monkeypatch):
    """A step takes one second of this clock, writing a snapshot a thousand."""
    now, step, take = 0.0, Trainer.train_step, Snapshots.take

    def pass_time(seconds):
        nonlocal now
        now += seconds

    for clock in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, clock, lambda: now)
    monkeypatch.setattr(Trainer, "train_step", lambda *arguments: (step(*arguments), pass_time(1)))
    monkeypatch.setattr(Snapshots, "take", lambda *arguments: (take(*arguments), pass_time(1000)))
    run = Run(tmp_path, resolved("vae", snapshots=AT), blobs_dir).train()
    assert now == 3008
    assert run.summary()["train_seconds_by_phase"] == run.summary()["train_cpu_seconds_by_phase"] == [8]
    assert [info["seconds"] for info, _ in read_snapshots(run.snapshots)] == STEPS


# ----------------------------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("saving", [0, 10])  # a checkpoint every step, or only when stopped
@pytest.mark.parametrize("steps", range(1, 8))
def test_stopped_anywhere_and_resumed_ends_with_the_same_snapshots(steps, saving, run, undisturbed):
    interrupt(run, steps, saving).train()
    assert list(run.kept()) == STEPS
    assert all(same_tensors(state, undisturbed.kept()[step]) for step, state in run.kept().items())


def back_before(run: Run, step: int) -> None:
    """Stop right after `step`, then lose the checkpoint of it: the run resumes one step earlier."""
    interrupt(run, step)
    max(run.state.glob("*-*.safetensors")).unlink()
    assert run.saved_step() == step - 1 and one(run, step).exists()


def test_a_whole_snapshot_is_not_written_again(run, undisturbed):
    back_before(run, 5)
    before, content = one(run, 5).stat(), one(run, 5).read_bytes()
    run.train()
    assert one(run, 5).stat().st_ino == before.st_ino and one(run, 5).read_bytes() == content
    assert same_tensors(run.kept()[5], undisturbed.kept()[5])


@pytest.mark.parametrize("how", ["missing", "truncated", "flipped", "another run's"])
def test_a_snapshot_that_is_not_whole_is_made_again(how, run, undisturbed, tmp_path):
    back_before(run, 4)
    path = one(run, 4)
    content = bytearray(path.read_bytes())
    path.unlink()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flipped":
        content[-100] ^= 1
        path.write_bytes(content)
    elif how == "another run's":
        other = interrupt(Run(tmp_path / "other", resolved("vae", seed=1, snapshots=AT), run.data), 4)
        one(other, 4).rename(path)
    run.train()
    assert same_tensors(run.kept()[4], undisturbed.kept()[4])


def test_a_finished_run_packs_its_snapshots_again(run, undisturbed, monkeypatch):
    run.train()
    run.snapshots.unlink()
    monkeypatch.setattr(Trainer, "train_step", lambda *_: pytest.fail("trained"))
    run.train()
    assert all(same_tensors(state, undisturbed.kept()[step]) for step, state in run.kept().items())
    one(run, 4).unlink()
    run.model.unlink()
    with pytest.raises(UserError, match=r"-0000000004.safetensors is missing or damaged: delete .*state to train anew"):
        run.train()
    assert not run.model.exists()


def test_snapshots_of_another_identity_are_cleared_and_never_packed(run, undisturbed):
    old = interrupt(Run(run.folder, resolved("vae", seed=1, snapshots=AT), run.data), 5)
    assert all(one(old, step).exists() for step in STEPS)
    leftover = one(old, 3).with_name(f".{one(old, 3).name}.4242.tmp")
    leftover.write_bytes(b"half a snapshot")
    new = Run(run.folder, undisturbed.config, run.data).train()
    assert same_tensors(new.kept()[5], undisturbed.kept()[5])
    assert {path.name for path in (run.state / "snapshots").iterdir()} == {one(new, step).name for step in STEPS}
    assert not leftover.exists()


# ------------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize("position", [0.02, 0.5, 0.99])
def test_a_changed_file_is_refused(position, undisturbed, tmp_path):
    content = bytearray(undisturbed.snapshots.read_bytes())
    content[int(position * len(content))] ^= 1
    (tmp_path / "snapshots.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"corrupt|truncated or no safetensors"):
        read_snapshots(tmp_path / "snapshots.safetensors")


def test_weights_are_no_snapshots_and_snapshots_no_weights(undisturbed):
    with pytest.raises(UserError, match="lacks 'vaeglow_snapshots'"):
        read_snapshots(undisturbed.model)
    with pytest.raises(UserError, match="lacks 'vaeglow' metadata"):
        load_model(undisturbed.snapshots, "cpu")


def test_on_other_data_there_are_other_snapshots(tmp_path, undisturbed):
    other = Run(tmp_path / "run", undisturbed.config, prepare(tmp_path / "data", seed=9)).train()
    (left, _), (right, _) = read_snapshots(other.snapshots)[0], read_snapshots(undisturbed.snapshots)[0]
    assert left["config_sha256"] == right["config_sha256"] and left["data_sha256"] != right["data_sha256"]
    assert not torch.equal(other.kept()[3]["decoder.last.bias"], undisturbed.kept()[3]["decoder.last.bias"])
