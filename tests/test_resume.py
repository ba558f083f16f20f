"""Interrupted and resumed equals undisturbed, bit for bit; damaged state is never silently dropped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from faults_tools import fork, until
from run_tools import ROOT, Run, identity, interrupt, newest, prepare, refused, resolved, same_tensors

from vaeglow.errors import UserError
from vaeglow.files import write_json
from vaeglow.models.store import load_model, save_model
from vaeglow.training.loop import Trainer
from vaeglow.training.optimise import build_optimizer
from vaeglow.training.state import KEPT, StateFolder, pack, unpack

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
    assert [int(path.stem[-10:]) for path in checkpoints(run)] == [6, 5]
    return run


# ------------------------------------------------------------------------------------------------ SIGKILL


def kill(run: Run, when: float | int) -> None:
    """Start a run in a process of its own and kill it: after a number of steps (int) or seconds of saving (float)."""
    before = run.saved_step()
    child = fork(run, 0)
    until(lambda: run.saved_step() >= (when if isinstance(when, int) else before + 1), child)
    if isinstance(when, float):
        time.sleep(when)
    assert child.kill() == -signal.SIGKILL, child.text("stderr")
    if before >= 0:
        assert f"resuming at epoch {(before - 1) // STEPS + 1}, step {(before - 1) % STEPS + 1}\n" in child.text()
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


def test_sigterm_saves_exits_75_and_resumes_exactly(undisturbed, tmp_path):
    whole = undisturbed["vae"]
    run = Run(tmp_path, whole.config, whole.data)
    process = run.start(save_minutes=0)
    while run.saved_step() < 2:
        assert process.poll() is None
        time.sleep(0.0005)
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 75
    assert errors == "stopped: SIGTERM: state saved, run again to go on\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "state"]
    assert_equal_runs(run.train(), whole)


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
    before = StateFolder(stopped.state, identity(stopped)).load()[1]["position"]
    assert before["epoch"] == 1 and before["step"] == 2 and len(before["history"]) == 1
    assert before["seconds"] > before["history"][0]["seconds"] > 0
    assert before["sums"]["steps"] == 2
    after = stopped.train().summary()
    for clock in ("seconds", "cpu_seconds"):
        assert after[f"train_{clock}_by_phase"][0] > before[clock] > 0


# --------------------------------------------------------------------------------------------------- lock


def test_a_second_writer_is_refused_while_the_first_lives(vae_run, tmp_path):
    run = Run(tmp_path, vae_run.config, vae_run.data)
    with StateFolder(run.state, identity(run)).locked():
        command = run.command()
        line = refused(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60))
        assert "is in use by another training process" in line and f'"pid": {os.getpid()}' in line
        assert not run.model.exists() and run.saved_step() == -1
    run.train()
    assert same_tensors(run.weights(), vae_run.weights())


def test_the_lock_is_freed_by_an_error(vae_run, tmp_path):
    run = Run(tmp_path, vae_run.config, vae_run.data)
    state = StateFolder(run.state, identity(run))
    with pytest.raises(ValueError, match="some error"), state.locked():
        raise ValueError("some error")
    with state.locked():
        pass


# ---------------------------------------------------------------------------------------- damaged state


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    elif how == "zeroed":
        content[-4096:] = bytes(4096)
    elif how == "flipped":
        content[len(content) * 3 // 4] ^= 1
    else:
        content = bytearray(b"not safetensors at all")
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["truncated", "empty", "zeroed", "flipped", "foreign"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(how, stopped, vae_run, capfd):
    latest, before = checkpoints(stopped)
    damage(latest, how)
    stopped.train()
    output = capfd.readouterr().out
    assert f"using {before.name} instead" in output and str(latest) in output
    assert "resuming at epoch 2, step 1" in output
    assert_equal_runs(stopped, vae_run)


def test_no_flipped_bit_anywhere_is_taken_for_state(stopped):
    state = StateFolder(stopped.state, identity(stopped))
    latest, _ = checkpoints(stopped)
    content = latest.read_bytes()
    tensors, info = state.load()
    header = 8 + int.from_bytes(content[:8], "little")
    picks = random.Random(0)
    for position in [picks.randrange(8, header) for _ in range(100)] + [
        picks.randrange(len(content)) for _ in range(20)
    ]:
        changed = bytearray(content)
        changed[position] ^= 1 << picks.randrange(7)
        latest.write_bytes(changed)
        found, position_found = state.load()
        if position_found["position"]["step"] == info["position"]["step"]:  # harmless: white space, say
            assert position_found == info and same_tensors(found, tensors), position
        else:
            assert position_found["position"]["step"] == 1


def test_all_checkpoints_damaged_is_an_error_never_a_restart(stopped):
    kept = checkpoints(stopped)
    for path in [*kept, *(stopped.state / "good").iterdir()]:
        damage(path, "truncated")
    with pytest.raises(UserError, match=r"no checkpoint in .*state is whole .*delete that folder to start anew"):
        stopped.train()
    assert checkpoints(stopped) == kept
    assert not stopped.model.exists()
    shutil.rmtree(stopped.state)
    stopped.train()


def test_a_renamed_checkpoint_is_not_taken_for_another_runs(stopped):
    other = StateFolder(stopped.state, "1" * 64)  # without good states
    latest, before = checkpoints(stopped)
    latest.rename(latest.with_name("1" * 16 + latest.name[16:]))
    with pytest.raises(UserError, match="belongs to another run"):
        other.load()
    assert before.exists()


def test_what_a_killed_save_left_is_cleared(stopped, vae_run):
    leftover = stopped.state / f".{checkpoints(stopped)[0].name}.4242.tmp"
    leftover.write_bytes(b"half a checkpoint")
    stopped.train()
    assert not leftover.exists()
    assert same_tensors(stopped.weights(), vae_run.weights())


def test_only_two_checkpoints_are_kept(tmp_path, blobs_dir, monkeypatch):
    seen, plain = [], StateFolder.save

    def save(self, *arguments):
        plain(self, *arguments)
        seen.append([int(path.stem[-10:]) for path in self.checkpoints()])

    monkeypatch.setattr(StateFolder, "save", save)
    Run(tmp_path, resolved("glow"), blobs_dir).train(save_minutes=0)
    assert seen == [[1], *([k, k - 1] for k in range(2, 2 * STEPS + 1)), [2 * STEPS, 2 * STEPS - 1]]


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
    run.train()
    assert run.history.read_bytes() == history
    assert same_tensors(run.weights(), weights)
    assert run.summary() | {"provenance": None} == summary | {"provenance": None}
