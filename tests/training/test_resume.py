"""Interrupted and resumed equals undisturbed, bit for bit, snapshots too; damaged state is never silently dropped."""

import time

import pytest
import torch
from refusals import user_error
from run_tools import Run, assert_equal_runs, identity, interrupt, newest, resolved, same_tensors, states

from vaeglow.training import checkpoint
from vaeglow.training.checkpoint import Checkpoints, pack, read_snapshots, snapshot_steps, unpack
from vaeglow.training.optimise import build_optimizer
from vaeglow.training.trainer import Trainer

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("steps", [1, 4, 6, 8])  # the first, an epoch's last, in an epoch, the very last
def test_stopped_at_any_step_and_resumed(steps, any_run, tmp_path):
    run = interrupt(Run(tmp_path, any_run.config, any_run.data, any_run.base), steps)
    assert run.saved_step() == steps
    assert_equal_runs(run.train(), any_run)


def test_moments_keep_the_layout_of_their_parameters():
    """Adam's fused kernel pairs weights and moments in order of memory, whatever their strides."""

    def make() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
        model = torch.nn.Linear(3, 4)
        model.weight = torch.nn.Parameter(torch.arange(12.0).view(3, 4).t())  # column by column, as after a QR
        return model, build_optimizer(model.parameters(), resolved("vae")["training"])

    def step(model: torch.nn.Linear, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        optimizer.zero_grad()
        (model(torch.tensor([1.0, 2.0, 3.0])) * torch.arange(4.0)).sum().backward()
        optimizer.step()
        return model.weight.detach().clone()

    model, optimizer = make()
    step(model, optimizer)
    saved = {name: t.clone(memory_format=torch.contiguous_format) for name, t in pack(model, optimizer).items()}
    resumed = make()
    unpack(saved, *resumed)
    assert not resumed[0].weight.is_contiguous()
    assert torch.equal(step(*resumed), step(model, optimizer))


def test_seconds_add_up_over_attempts(stopped):
    before = Checkpoints(stopped.state, identity(stopped)).load()[1]
    assert before.epoch == 1
    assert before.step == 2
    assert len(before.history) == 1
    assert before.seconds > before.history[0]["seconds"] > 0
    assert before.sums["steps"] == 2
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
    first = [[0], [1, 0], [2, 1, 0], [3, 2, 0], [4, 3, 0]]
    assert seen == [*first, [4, 3, 0], [5, 4, 0], [6, 5, 4, 0], [7, 6, 4, 0], [8, 7, 4, 0], [8, 7]]


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
    "fraction, epochs, steps, expected",
    [
        (0.07, 1, 100, 7),
        (0.1, 3, 10, 3),
        (0.29, 10, 10, 29),
        (0.5, 5, 1, 3),
        (0.999, 2, 4, 8),
        (1e-9, 2, 4, 1),
    ],
)
def test_a_fraction_is_rounded_up_to_a_step_as_it_is_written(fraction, epochs, steps, expected):
    assert snapshot_steps([fraction], epochs * steps) == {fraction: expected}


def test_a_snapshot_is_the_run_stopped_at_its_step(undisturbed, run, vae_run):
    kept = undisturbed.kept()
    assert list(kept) == STEPS
    for step, state in kept.items():
        interrupt(run, step if step == STEPS[0] else 1)
        stopped = {name.removeprefix("model/"): t for name, t in newest(run).items() if name.startswith("model/")}
        assert run.saved_step() == step
        assert same_tensors(state, stopped)
    assert not same_tensors(kept[3], kept[4])
    assert not same_tensors(kept[5], undisturbed.weights())
    assert same_tensors(undisturbed.weights(), vae_run.weights())
    assert undisturbed.rows() == vae_run.rows()
    assert read_snapshots(vae_run.snapshots) == []


def test_writing_takes_no_training_time(tmp_path, blobs_dir, monkeypatch):
    """A step takes one second of this clock, keeping snapshots a thousand."""
    now = 0.0
    step = Trainer.train_step
    take = Trainer.keep_snapshots

    def pass_time(seconds):
        nonlocal now
        now += seconds

    for clock in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, clock, lambda: now)
    monkeypatch.setattr(Trainer, "train_step", lambda *arguments: (step(*arguments), pass_time(1)))
    monkeypatch.setattr(Trainer, "keep_snapshots", lambda trainer: (take(trainer), pass_time(1000)))
    run = Run(tmp_path, resolved("vae", snapshots=AT), blobs_dir).train()
    assert now == 8008
    assert run.summary()["train_seconds_by_phase"] == run.summary()["train_cpu_seconds_by_phase"] == [8]


@pytest.mark.parametrize("steps", range(2, 7))
def test_stopped_anywhere_and_resumed_ends_with_the_same_snapshots(steps, run, undisturbed):
    """A checkpoint is saved only when stopped; where every step is: below."""
    assert_equal_runs(interrupt(run, steps, 10).train(), undisturbed)


def test_a_snapshot_beyond_the_state_is_made_again(run, undisturbed):
    """Stopped right after a step, then the checkpoint of it is lost: the run resumes one step earlier."""
    interrupt(run, 5)
    max(run.state.glob("*-*.safetensors")).unlink()
    assert_equal_runs(run.train(), undisturbed)
