"""Snapshots: the weights a run had at fractions of its way, whatever happened on that way."""

import time

import pytest
from run_tools import Run, assert_equal_runs, interrupt, newest, resolved, same_tensors

from vaeglow.files import sha256_json
from vaeglow.training.checkpoint import read_snapshots, snapshot_steps
from vaeglow.training.trainer import Trainer

AT = [0.3, 0.5, 0.6]  # of two epochs of four steps: after steps 3, 4 (the first epoch's last) and 5
STEPS = [3, 4, 5]


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
def test_a_fraction_is_rounded_up_to_a_step_as_it_is_written(fraction, epochs, steps, expected):
    assert snapshot_steps([fraction], epochs * steps) == {fraction: expected}


def test_a_snapshot_is_the_run_stopped_at_its_step(undisturbed, run, vae_run):
    kept = undisturbed.kept()
    assert list(kept) == STEPS
    for step, state in kept.items():
        interrupt(run, step if step == STEPS[0] else 1)
        stopped = {name.removeprefix("model/"): t for name, t in newest(run).items() if name.startswith("model/")}
        assert run.saved_step() == step and same_tensors(state, stopped)
    assert not same_tensors(kept[3], kept[4]) and not same_tensors(kept[5], undisturbed.weights())
    assert same_tensors(undisturbed.weights(), vae_run.weights()) and undisturbed.rows() == vae_run.rows()
    assert read_snapshots(vae_run.snapshots) == []


def test_a_snapshot_says_when_and_whose(undisturbed):
    infos = [info for info, _ in read_snapshots(undisturbed.snapshots)]
    when = [(info["fraction"], info["epoch"], info["step"]) for info in infos]
    assert when == [(0.3, 0.75, 3), (0.5, 1, 4), (0.6, 1.25, 5)]
    seconds = [info["seconds"] for info in infos] + undisturbed.summary()["train_seconds_by_phase"]
    assert 0 < seconds[0] < seconds[1] < seconds[2] < seconds[3]
    assert {info["config_sha256"] for info in infos} == {sha256_json(undisturbed.config)}
    assert {info["data_sha256"] for info in infos} == {undisturbed.summary()["data_sha256"]}


def test_writing_takes_no_training_time(tmp_path, blobs_dir, monkeypatch):
    """A step takes one second of this clock, keeping snapshots a thousand."""
    now, step, take = 0.0, Trainer.train_step, Trainer.take_snapshots

    def pass_time(seconds):
        nonlocal now
        now += seconds

    for clock in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, clock, lambda: now)
    monkeypatch.setattr(Trainer, "train_step", lambda *arguments: (step(*arguments), pass_time(1)))
    monkeypatch.setattr(Trainer, "take_snapshots", lambda trainer: (take(trainer), pass_time(1000)))
    run = Run(tmp_path, resolved("vae", snapshots=AT), blobs_dir).train()
    assert now == 8008
    assert run.summary()["train_seconds_by_phase"] == run.summary()["train_cpu_seconds_by_phase"] == [8]
    assert [info["seconds"] for info, _ in read_snapshots(run.snapshots)] == STEPS


# ----------------------------------------------------------------------------------------- interruptions


@pytest.mark.parametrize("saving", [0, 10])  # a checkpoint every step, or only when stopped
@pytest.mark.parametrize("steps", range(2, 7))
def test_stopped_anywhere_and_resumed_ends_with_the_same_snapshots(steps, saving, run, undisturbed):
    assert_equal_runs(interrupt(run, steps, saving).train(), undisturbed)


def test_a_snapshot_beyond_the_state_is_made_again(run, undisturbed):
    """Stopped right after a step, then the checkpoint of it is lost: the run resumes one step earlier."""
    interrupt(run, 5)
    max(run.state.glob("*-*.safetensors")).unlink()
    assert_equal_runs(run.train(), undisturbed)
