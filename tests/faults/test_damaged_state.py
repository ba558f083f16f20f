"""State that is not what it was: the last good one is used, or a clear error; never a silent start from zero."""

import random

import pytest
from faults_tools import fork, hold
from refusals import user_error
from run_tools import Run, assert_equal_runs, identity, interrupt, states
from test_divergence import AT, blowing, config  # noqa: F401

from vaeglow.errors import UserError
from vaeglow.training import checkpoint
from vaeglow.training.checkpoint import Checkpoints


def flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(content) * 3 // 4] ^= 1
    return bytes(changed)


DAMAGE = {
    "truncated": lambda content: content[: random.Random(0).randrange(1, len(content))],
    "bit-flipped": flipped,
    "empty": lambda _: b"",
    "of another kind": lambda _: b"{}" * 99,
}


@pytest.mark.faults("{which} {how}")
@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize(("count", "which"), [(1, "newest checkpoint"), (2, "both newest checkpoints")])
def test_the_newest_states_damaged(count, which, how, stopped, vae_run, capfd, lost):
    """The one before serves; the good ones, kept for rollbacks, serve as well."""
    kept = states(stopped)
    assert [int(path.stem[-10:]) for path in kept] == [6, 5, 4, 0]  # two, and two good ones between epochs
    for path in kept[:count]:
        path.write_bytes(DAMAGE[how](path.read_bytes()))
    stopped.train()
    output = capfd.readouterr().out
    assert str(kept[0]) in output
    assert output.count("; looking for an older state\n") == count
    assert f"resuming at epoch 2, step {2 - count}" in output
    assert_equal_runs(stopped, vae_run)
    lost("steps trained again", count)


@pytest.mark.faults("all checkpoints damaged: refused")
@pytest.mark.parametrize("how", DAMAGE)
def test_all_there_is_damaged(how, stopped, lost):
    kept = states(stopped)
    for path in kept:
        path.write_bytes(DAMAGE[how](path.read_bytes()))
    with user_error("no state in .* is complete: delete that folder to start from scratch"):
        stopped.train()
    assert states(stopped) == kept
    assert not stopped.model.exists()
    lost("the run's training so far, once its state is deleted by hand")


@pytest.mark.faults("SIGKILL before the first checkpoint")
@pytest.mark.parametrize(("steps", "epoch"), [(2, 0), (6, 1)])
def test_killed_before_the_first_checkpoint_was_due(steps, epoch, vae_run, tmp_path, capfd, lost):
    run = Run(tmp_path / "run", vae_run.config, vae_run.data)
    fork(run, 10, hold, steps).held().kill()
    assert run.saved_step() == 4 * epoch
    run.train()
    assert f"resuming at epoch {epoch + 1}, step 0" in capfd.readouterr().out
    assert_equal_runs(run, vae_run)
    lost("steps trained again", steps - 4 * epoch)


@pytest.mark.faults("good states damaged when a rollback needs them")
@pytest.mark.parametrize("count", [1, 2])
def test_good_states_damaged(count, tmp_path, blobs_dir, blowing):  # noqa: F811
    """A rollback that finds its state damaged takes the other; with both damaged it stops."""
    blowing(AT)
    run = interrupt(Run(tmp_path, config(), blobs_dir), 24)  # between two of the bad steps
    for step in (16, 20)[:count]:
        path = run.state / f"{identity(run)[:16]}-000-{step:010d}.safetensors"
        path.write_bytes(flipped(path.read_bytes()))
    if count == 1:
        assert run.train().summary()["rollbacks"][0]["to_epoch"] == 6
    else:
        with user_error("no state in .* is complete: delete "):
            run.train()


@pytest.mark.faults
def test_a_checkpoint_that_cannot_be_read_just_now_is_not_taken_for_damaged(stopped, monkeypatch):
    """Else the older one would be used, or the user told to delete both."""

    def unreadable(path: object, key: str) -> None:
        raise UserError(f"too many files are open to use {path}")

    monkeypatch.setattr(checkpoint, "read_tensors", unreadable)
    with user_error("too many files are open"):
        Checkpoints(stopped.state, identity(stopped)).load()
