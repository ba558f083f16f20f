"""Interrupted and resumed equals undisturbed, bit for bit, snapshots too; damaged state is never silently dropped."""

import time

import pytest
from refusals import user_error
from run_tools import Run, assert_equal_runs, identity, interrupt, newest, resolved, same_tensors, states

from vaeglow.training import checkpoint
from vaeglow.training.checkpoint import Checkpoints, read_snapshots, snapshot_steps
from vaeglow.training.trainer import Trainer

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("steps", [4, 6, 8])  # an epoch's last, in an epoch, the very last
def test_stopped_at_any_step_and_resumed(steps, any_run, tmp_path):
    """Moments too keep the layout of their parameters, which Adam's fused kernel pairs in order of memory."""
    run = interrupt(Run(tmp_path, any_run.config, any_run.data, any_run.base), steps)
    assert run.saved_step() == steps
    assert_equal_runs(run.train(), any_run)


def test_seconds_add_up_over_attempts(stopped):
    _, before = Checkpoints(stopped.state, identity(stopped)).load()
    assert (before.epoch, before.step, before.sums["steps"]) == (1, 2, 2)
    (row,) = before.history
    assert before.seconds > row["seconds"] > 0
    after = stopped.train().summary()
    for clock in ("seconds", "cpu_seconds"):
        assert after[f"train_{clock}_by_phase"][0] > getattr(before, clock) > 0


def test_a_renamed_checkpoint_is_not_taken_for_another_runs(stopped, capsys):
    latest = states(stopped)[0]
    latest.rename(latest.with_name("1" * 16 + latest.name[16:]))
    with user_error(r"no state in .* is complete"):
        Checkpoints(stopped.state, "1" * 64).load()
    assert "belongs to another run" in capsys.readouterr().out


def test_a_state_of_a_version_that_kept_something_else_is_one_line(stopped, monkeypatch):
    monkeypatch.setattr(checkpoint, "Position", lambda step: step)
    with user_error(r"is of another version: finish with it, or delete [^\n]*$"):
        Checkpoints(stopped.state, identity(stopped)).load()


def test_the_newest_two_and_the_good_are_kept(tmp_path, blobs_dir, monkeypatch):
    seen = []
    plain = Checkpoints.save

    def save(self, *arguments):
        plain(self, *arguments)
        seen.append([int(path.stem[-10:]) for path in self.states()])

    monkeypatch.setattr(Checkpoints, "save", save)
    Run(tmp_path, resolved("glow"), blobs_dir).train(save_minutes=0)
    assert seen[3:] == [[3, 2, 0], [4, 3, 0], [4, 3, 0], [5, 4, 0], [6, 5, 4, 0], [7, 6, 4, 0], [8, 7, 4, 0], [8, 7]]


AT = [0.3, 0.5, 0.6]  # of two epochs of four steps: after steps 3, 4 (the first epoch's last) and 5


@pytest.mark.parametrize(
    "fraction, epochs, steps, expected",
    [
        (0.07, 1, 100, 7),
        (0.1, 3, 10, 3),
        (0.29, 10, 10, 29),
        (0.5, 5, 1, 3),
        (1e-9, 2, 4, 1),
    ],
)
def test_a_fraction_is_rounded_up_to_a_step_as_it_is_written(fraction, epochs, steps, expected):
    assert snapshot_steps([fraction], epochs * steps) == {fraction: expected}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, blobs_dir) -> Run:
    return Run(tmp_path_factory.mktemp("whole"), resolved("vae", snapshots=AT), blobs_dir).train()


def test_a_snapshot_beyond_the_state_is_made_again(whole, tmp_path):
    """Stopped right after a step, then the checkpoint of it is lost: the run resumes one step earlier."""
    run = interrupt(Run(tmp_path / "run", whole.config, whole.data), 5)
    states(run)[0].unlink()
    assert run.saved_step() == 4
    assert_equal_runs(run.train(), whole)


def test_a_snapshot_is_the_run_stopped_at_its_step(whole, vae_run, tmp_path):
    run = Run(tmp_path / "run", whole.config, whole.data)
    kept = whole.kept()
    assert list(kept) == [3, 4, 5]
    for step, state in kept.items():
        interrupt(run, 3 if step == 3 else 1)
        assert run.saved_step() == step
        stopped = {name.removeprefix("model/"): t for name, t in newest(run).items() if name.startswith("model/")}
        assert same_tensors(state, stopped)
    assert_equal_runs(run.train(), whole)
    assert same_tensors(whole.weights(), vae_run.weights())
    assert whole.rows() == vae_run.rows()
    assert read_snapshots(vae_run.snapshots) == []


def test_writing_takes_no_training_time(tmp_path, blobs_dir, monkeypatch):
    """A step takes one second of this clock, keeping snapshots a thousand."""
    now = 0.0

    def slowed(name, seconds):
        plain = getattr(Trainer, name)

        def slow(*arguments):
            nonlocal now
            plain(*arguments)
            now += seconds

        monkeypatch.setattr(Trainer, name, slow)

    slowed("train_step", 1)
    slowed("keep_snapshots", 1000)
    for clock in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, clock, lambda: now)
    summary = Run(tmp_path, resolved("vae", snapshots=AT), blobs_dir).train().summary()
    assert now == 8008
    assert summary["train_seconds_by_phase"] == summary["train_cpu_seconds_by_phase"] == [8]
