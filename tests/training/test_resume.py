"""Interrupted and resumed equals undisturbed, bit for bit; damaged state is never silently dropped."""

from pathlib import Path

import pytest
import torch
from run_tools import Run, assert_equal_runs, identity, interrupt, resolved

from vaeglow.errors import UserError
from vaeglow.training.checkpoint import Checkpoints, pack, unpack
from vaeglow.training.optimise import build_optimizer

pytestmark = pytest.mark.faults


@pytest.fixture
def stopped(tmp_path, blobs_dir) -> Run:
    """A VAE's run stopped in the middle of its second epoch."""
    return interrupt(Run(tmp_path / "stopped", resolved("vae"), blobs_dir), 6)


# ------------------------------------------------------------------------------------------------ SIGTERM


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
    assert before.epoch == 1 and before.step == 2 and len(before.history) == 1
    assert before.seconds > before.history[0]["seconds"] > 0
    assert before.sums["steps"] == 2
    after = stopped.train().summary()
    for clock in ("seconds", "cpu_seconds"):
        assert after[f"train_{clock}_by_phase"][0] > getattr(before, clock) > 0


# ------------------------------------------------------------------------------------------------- states


def states(run: Run) -> list[Path]:
    """Newest first."""
    return Checkpoints(run.state, identity(run)).states()


def test_a_renamed_checkpoint_is_not_taken_for_another_runs(stopped, capsys):
    latest = states(stopped)[0]
    latest.rename(latest.with_name("1" * 16 + latest.name[16:]))
    with pytest.raises(UserError, match=r"no state in .* is complete"):
        Checkpoints(stopped.state, "1" * 64).load()
    assert "belongs to another run" in capsys.readouterr().out


def test_the_newest_two_and_the_good_are_kept(tmp_path, blobs_dir, monkeypatch):
    seen, plain = [], Checkpoints.save

    def save(self, *arguments):
        plain(self, *arguments)
        seen.append([int(path.stem[-10:]) for path in self.states()])

    monkeypatch.setattr(Checkpoints, "save", save)
    Run(tmp_path, resolved("glow"), blobs_dir).train(save_minutes=0)
    first = [[0], [1, 0], [2, 1, 0], [3, 2, 0], [4, 3, 0]]
    assert seen == [*first, [4, 3, 0], [5, 4, 0], [6, 5, 4, 0], [7, 6, 4, 0], [8, 7, 4, 0], [8, 7]]
