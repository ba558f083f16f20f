"""Interrupted and resumed equals undisturbed, bit for bit; damaged state is never silently dropped."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
import torch
from faults_tools import fork, hold
from run_tools import Run, identity, interrupt, newest, prepare, resolved, same_tensors

from vaeglow.errors import UserError
from vaeglow.files import write_json
from vaeglow.training.checkpoint import KEPT, Checkpoints, pack, unpack
from vaeglow.training.optimise import build_optimizer
from vaeglow.training.trainer import Trainer
from vaeglow.weights import load_model, save_model

pytestmark = pytest.mark.faults
STEPS = 4  # in an epoch: 64 images, batch 16
EPOCHS = {"vae": 30, "vaeglow": 30, "glow": 30, "vaeglow_joint": 20}
SNAPSHOTS = [0.06, 0.09, 0.2]  # of 120 steps: after 8, 11 and 24


def checkpoints(run: Run) -> list[Path]:
    """Newest first."""
    return sorted(run.state.glob("*-*.safetensors"), reverse=True)


def assert_equal_runs(left: Run, right: Run) -> None:
    assert same_tensors(left.weights(), right.weights())
    assert same_tensors(newest(left), newest(right))
    assert left.rows() == right.rows()
    assert left.kept().keys() == right.kept().keys()
    assert all(same_tensors(state, right.kept()[step]) for step, state in left.kept().items())
    assert left.summary()["weights_sha256"] == right.summary()["weights_sha256"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, blobs_dir, vae_run) -> dict[str, Run]:
    """A run of every kind in one go, in this process, saved only at its end."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return {
        model: Run(
            folder / model,
            resolved(model, epochs=epochs, snapshots=SNAPSHOTS),
            blobs_dir,
            vae_run if model == "vaeglow" else None,
        ).train()
        for model, epochs in EPOCHS.items()
    }


@pytest.fixture
def stopped(tmp_path, blobs_dir) -> Run:
    """A VAE's run stopped in the middle of its second epoch, two checkpoints in its state folder."""
    run = interrupt(Run(tmp_path / "stopped", resolved("vae"), blobs_dir), 6)
    assert [int(path.stem[-10:]) for path in checkpoints(run)] == [6, 5, 4, 0]  # two good ones between epochs
    return run


# ------------------------------------------------------------------------------------------------ SIGKILL


def kill(run: Run, when: float | int) -> None:
    """Start a run in a process of its own and kill it: after a number of steps (int) or seconds of saving (float)."""
    before, state = run.saved_step(), Checkpoints(run.state, identity(run)).load()
    child = fork(run, 0, hold, STEPS * EPOCHS[run.config["model"]] - 1)  # so that no moment is too late
    child.until(lambda: run.saved_step() >= (when if isinstance(when, int) else before + 1))
    if isinstance(when, float):
        time.sleep(when)
    assert child.kill() == -signal.SIGKILL, child.text("stderr")
    if state is not None:
        assert f"resuming at epoch {state[1].epoch + 1}, step {state[1].step}\n" in child.text()
    assert not run.model.exists()


@pytest.mark.parametrize(
    ("model", "moments"),
    [
        ("vae", [3, 0.031, 24]),
        ("vaeglow", [9, 0.017]),
        ("glow", [random.Random(0).random() / 10]),
        ("vaeglow_joint", [5, 12]),
    ],
)
def test_killed_and_resumed_equals_undisturbed(model, moments, undisturbed, tmp_path, capfd):
    whole = undisturbed[model]
    run = Run(tmp_path, whole.config, whole.data, whole.base)
    for moment in moments:
        kill(run, moment)
        assert 0 <= run.saved_step() < STEPS * EPOCHS[model]
    capfd.readouterr()
    run.train()
    assert "resuming at epoch" in capfd.readouterr().out
    assert_equal_runs(run, whole)
    assert len(checkpoints(run)) <= KEPT
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "history.csv",
        "model.safetensors",
        "snapshots.safetensors",
        "state",
        "training.json",
    ]


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
    saved = {
        name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in pack(model, optimizer).items()
    }
    resumed = make()
    unpack(saved, *resumed)
    assert not resumed[0].weight.is_contiguous()
    assert torch.equal(step(*resumed), step(model, optimizer))


def test_stopped_after_every_single_step(glow_run, tmp_path):
    run = Run(tmp_path, glow_run.config, glow_run.data)
    for done in range(1, 2 * STEPS + 1):
        interrupt(run, 1)
        assert run.saved_step() == done
    assert_equal_runs(run.train(), glow_run)


def test_bad_steps_in_a_row_are_counted_over_attempts(tmp_path, blobs_dir, monkeypatch):
    plain = Trainer.train_step

    def train_step(self, index, step, sums):
        if (self.position.epoch, step) in {(0, 2), (0, 3), (1, 0)}:
            with torch.no_grad():
                y = self.data.images.new_full((), float("nan"), dtype=torch.float32)
            monkeypatch.setattr(self.model, "loss", lambda *_: (next(self.model.trainable()).sum() * y, {}))
        plain(self, index, step, sums)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    run = interrupt(Run(tmp_path, resolved("vae", rollbacks=0), blobs_dir), 4)  # two bad steps
    with pytest.raises(UserError, match="3 steps in a row in epoch 2"):
        run.train(save_minutes=0)
    assert run.saved_step() == 4


def test_seconds_add_up_over_attempts(stopped):
    before = Checkpoints(stopped.state, identity(stopped)).load()[1]
    assert before.epoch == 1 and before.step == 2 and len(before.history) == 1
    assert before.seconds > before.history[0]["seconds"] > 0
    assert before.sums["steps"] == 2
    after = stopped.train().summary()
    for clock in ("seconds", "cpu_seconds"):
        assert after[f"train_{clock}_by_phase"][0] > getattr(before, clock) > 0


# ---------------------------------------------------------------------------------------- damaged state


def test_no_flipped_bit_anywhere_is_taken_for_state(stopped):
    state = Checkpoints(stopped.state, identity(stopped))
    latest = checkpoints(stopped)[0]
    content = latest.read_bytes()
    tensors, position = state.load()
    header = 8 + int.from_bytes(content[:8], "little")
    picks = random.Random(0)
    for place in [picks.randrange(*span) for span in [(8, header)] * 100 + [(0, len(content))] * 20]:
        changed = bytearray(content)
        changed[place] ^= 1 << picks.randrange(7)
        latest.write_bytes(changed)
        found, here = state.load()
        if here.step == position.step:  # harmless: white space, say
            assert here == position and same_tensors(found, tensors), place
        else:
            assert here.step == 1


def test_a_renamed_checkpoint_is_not_taken_for_another_runs(stopped):
    latest = checkpoints(stopped)[0]
    latest.rename(latest.with_name("1" * 16 + latest.name[16:]))
    with pytest.raises(UserError, match="belongs to another run"):
        Checkpoints(stopped.state, "1" * 64).load()


def test_the_newest_two_and_the_good_are_kept(tmp_path, blobs_dir, monkeypatch):
    seen, plain = [], Checkpoints.save

    def save(self, *arguments):
        plain(self, *arguments)
        seen.append([int(path.stem[-10:]) for path in self.states()])

    monkeypatch.setattr(Checkpoints, "save", save)
    Run(tmp_path, resolved("glow"), blobs_dir).train(save_minutes=0)
    first = [[0], [1, 0], [2, 1, 0], [3, 2, 0], [4, 3, 0]]
    assert seen == [*first, [4, 3, 0], [5, 4, 0], [6, 5, 4, 0], [7, 6, 4, 0], [8, 7, 4, 0], [8, 7]]


# ------------------------------------------------------------------------------------- whose state it is


def others(kind: str, run: Run, folder: Path, vae_run: Run) -> Run:
    """The same folder, for a run of another config, other data, or another base."""
    if kind == "config":
        return Run(run.folder, resolved("vaeglow", learning_rate=0.004), run.data, vae_run)
    if kind == "data":
        data = prepare(folder / "data", seed=50)
        base = Run(folder / "base", vae_run.config, data).train()
        return Run(run.folder, run.config, data, base)
    base = Run(folder / "base", vae_run.config, vae_run.data).train()
    weights = base.weights()
    weights["decoder.last.bias"] += 0.25
    model, about = load_model(base.model, "cpu")
    model.load_state_dict(weights)
    digest = save_model(base.model, model, about["config"], {"data": about["data"]})
    write_json(base.training, base.summary() | {"weights_sha256": digest})
    return Run(run.folder, run.config, run.data, base)


@pytest.mark.parametrize("kind", ["config", "data", "base"])
def test_another_identity_starts_anew_and_says_so(kind, vae_run, vaeglow_run, tmp_path, capfd):
    stopped = interrupt(Run(tmp_path / "run", vaeglow_run.config, vaeglow_run.data, vae_run), 6)
    other = others(kind, stopped, tmp_path, vae_run)
    capfd.readouterr()
    other.train()
    output = capfd.readouterr().out
    assert "the saved state belongs to another config, data or base: starting anew" in output
    assert "resuming" not in output and "epoch 1/2" in output
    fresh = Run(tmp_path / "fresh", other.config, other.data, other.base).train()
    assert_equal_runs(other, fresh)
    assert not same_tensors(other.weights(), vaeglow_run.weights())
    assert {path.name[:16] for path in checkpoints(other)} == {identity(other)[:16]}


def test_a_finished_run_writes_its_outputs_again_without_training(any_run, tmp_path, monkeypatch):
    run = Run(tmp_path, any_run.config, any_run.data, any_run.base).train()
    history, summary, weights = run.history.read_bytes(), run.summary(), run.weights()
    for path in (run.model, run.history, run.training, run.snapshots):  # as Snakemake does before it starts a job
        path.unlink()
    monkeypatch.setattr(Trainer, "train_step", lambda *_: pytest.fail("trained"))
    other = {"provenance": None, "inputs": None}  # times are in the files that are written again
    run.train()
    assert run.history.read_bytes() == history
    assert same_tensors(run.weights(), weights)
    assert run.summary() | other == summary | other
