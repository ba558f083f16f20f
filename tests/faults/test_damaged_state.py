"""State that is not what it was: the last good one is used, or a clear error; never a silent start from zero."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from faults_tools import fork
from run_tools import Run, identity, interrupt, resolved, same_tensors
from vaeglow.training.state import KEY

from vaeglow.errors import UserError
from vaeglow.models.store import read_tensors, write_tensors
from vaeglow.training import state

pytestmark = pytest.mark.faults


@pytest.fixture
def stopped(tmp_path, blobs_dir) -> Run:
    """A VAE's run stopped in the middle of its second epoch, two checkpoints in its state folder."""
    return interrupt(Run(tmp_path / "stopped", resolved("vae"), blobs_dir), 6)


def checkpoints(run: Run) -> list[Path]:
    return sorted(run.state.glob("*-*.safetensors"), reverse=True)


def truncated(content: bytes) -> bytes:
    return content[: random.Random(0).randrange(1, len(content))]


def flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(content) * 3 // 4] ^= 1
    return bytes(changed)


DAMAGE = {
    "truncated": truncated,
    "bit-flipped": flipped,
    "empty": lambda _: b"",
    "of another kind": lambda _: b"{}" * 99,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_one_damaged_checkpoint(how, stopped, vae_run, capfd, fault):
    latest, before = checkpoints(stopped)
    latest.write_bytes(DAMAGE[how](latest.read_bytes()))
    with fault(f"newest checkpoint {how}") as tried:
        stopped.train()
        output = capfd.readouterr().out
        assert f"using {before.name} instead" in output and "resuming at epoch 2, step 1" in output
        assert same_tensors(stopped.weights(), vae_run.weights()) and stopped.rows() == vae_run.rows()
        tried.lost("steps trained again", int(latest.stem[-10:]) - int(before.stem[-10:]))


@pytest.mark.parametrize("how", DAMAGE)
def test_both_checkpoints_damaged(how, stopped, vae_run, capfd, fault):
    """The good states, kept for rollbacks, serve as well."""
    for path in checkpoints(stopped):
        path.write_bytes(DAMAGE[how](path.read_bytes()))
    with fault("both checkpoints damaged") as tried:
        stopped.train()
        output = capfd.readouterr().out
        assert f"using good/{stopped_at(stopped, 4)} instead" in output and "resuming at epoch 2, step 0" in output
        assert same_tensors(stopped.weights(), vae_run.weights()) and stopped.rows() == vae_run.rows()
        tried.lost("steps trained again", 2)


def stopped_at(run: Run, step: int) -> str:
    return Checkpoints(run.state, identity(run)).name(0, step)


@pytest.mark.parametrize("how", DAMAGE)
def test_all_there_is_damaged(how, stopped, fault):
    kept = resumable(stopped)
    for path in kept:
        path.write_bytes(DAMAGE[how](path.read_bytes()))
    with fault("all checkpoints and good states damaged: refused") as tried:
        child = fork(stopped)
        assert child.wait() == 2
        (line,) = child.text("stderr").splitlines()
        assert "is whole" in line and "delete that folder to start anew" in line
        assert resumable(stopped) == kept and not stopped.model.exists()
        tried.lost("the run's training so far, once its state is deleted by hand")


@pytest.mark.parametrize("steps", [2, 6])
def test_killed_before_the_first_checkpoint_was_due(steps, vae_run, tmp_path, capfd, fault):
    run = Run(tmp_path / "run", vae_run.config, vae_run.data)
    with fault("SIGKILL before the first checkpoint") as tried:
        child = fork(run, 10, die_at_step, steps)
        assert child.wait() == -9 and run.saved_step() == -1
        run.train()
        epoch = (steps - 1) // 4 + 1
        assert f"resuming at epoch {epoch}, step 0" in capfd.readouterr().out
        assert same_tensors(run.weights(), vae_run.weights()) and run.rows() == vae_run.rows()
        tried.lost("steps trained again", steps - 4 * (epoch - 1))


def die_at_step(steps: int) -> None:
    """In the child: die after so many steps."""
    from faults_tools import die

    from vaeglow.training.trainer import Trainer

    plain, count = Trainer.train_step, 0

    def train_step(self, *arguments) -> None:
        nonlocal count
        plain(self, *arguments)
        count += 1
        if count == steps:
            die()

    Trainer.train_step = train_step


def test_good_states_damaged(tmp_path, blobs_dir, monkeypatch, fault):
    """A rollback that finds its state damaged takes the other; with both damaged it stops."""
    from test_divergence import AT, blow_up, config

    from vaeglow.training.trainer import Trainer

    monkeypatch.setattr(Trainer, "train_step", Trainer.train_step)
    blow_up(AT)
    for count in (1, 2):
        run = interrupt(Run(tmp_path / str(count), config(), blobs_dir), 24)  # between two of the bad steps
        older, newer = sorted((run.state / "good").iterdir())
        with fault("good states damaged when a rollback needs them"):
            for path in (older, newer)[:count]:
                path.write_bytes(flipped(path.read_bytes()))
            if count == 1:
                assert run.train().summary()["rollbacks"][0]["to_epoch"] == 6
            else:
                with pytest.raises(UserError, match=r"no good state is left in .*: delete "):
                    run.train()


def resumable(run: Run) -> list[Path]:
    return Checkpoints(run.state, identity(run)).resumable()


def rewrite(path: Path, **changes: object) -> None:
    """The same checkpoint with another description, sealed as any."""
    tensors, info = read_tensors(path, KEY)
    info.pop("weights_sha256")
    write_tensors(path, tensors, KEY, {key: value for key, value in (info | changes).items() if value is not None})


@pytest.mark.parametrize("found", [None, 1, 99])
def test_a_checkpoint_of_another_version_is_refused(found, stopped, fault):
    for path in resumable(stopped):
        rewrite(path, format=found)
    kept = [path.read_bytes() for path in resumable(stopped)]
    with fault("checkpoint of another version of vaeglow: refused") as tried:
        with pytest.raises(UserError, match=r"of another version of vaeglow \(format \d+, this one writes 2\)"):
            stopped.train()
        assert [path.read_bytes() for path in resumable(stopped)] == kept
        tried.lost("nothing: that version goes on from it")


def test_an_unfinished_run_of_an_older_version_is_not_given_up(stopped, fault):
    """With the version the config changed, too: another identity, which else starts anew."""
    with fault("checkpoint of another version of vaeglow: refused") as tried:
        for path in checkpoints(stopped):
            rewrite(path, format=1)
        other = Run(stopped.folder, resolved("vae", learning_rate=0.003), stopped.data)
        with pytest.raises(UserError, match="finish the run with that version, or delete"):
            other.train()
        assert len(checkpoints(stopped)) == 2
        tried.lost("nothing: that version goes on from it")


def test_a_finished_run_of_an_older_version_is_no_obstacle(tmp_path, vae_run, capfd):
    run = Run(tmp_path, vae_run.config, vae_run.data).train()
    for path in checkpoints(run):
        rewrite(path, format=1, position=json.loads(json.dumps(read_tensors(path, KEY)[1]["position"])) | {"epoch": 2})
    other = Run(tmp_path, resolved("vae", learning_rate=0.003), run.data).train()
    assert "starting anew" in capfd.readouterr().out
    assert {path.name[:16] for path in checkpoints(other)} == {identity(other)[:16]}


def test_a_checkpoint_that_cannot_be_read_just_now_is_not_taken_for_damaged(stopped, monkeypatch):
    """Else the older one would be used, or the user told to delete both."""

    def unreadable(path: Path, key: str) -> None:
        raise UserError(f"too many files are open to use {path}")

    monkeypatch.setattr(state, "read_tensors", unreadable)
    with pytest.raises(UserError, match="too many files are open"):
        Checkpoints(stopped.state, identity(stopped)).load()


def test_resuming_under_other_code_is_said(stopped, vae_run, capfd, monkeypatch):
    monkeypatch.setattr(state, "source_sha256", lambda: "0" * 64)
    stopped.train()
    assert "resume: other code wrote" in capfd.readouterr().out
    assert same_tensors(stopped.weights(), vae_run.weights())
