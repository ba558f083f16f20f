"""Training killed or told to stop at any moment: the final weights are those of a run that was not."""

import itertools
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from faults_tools import count_steps, die, die_saving, fork, steps_taken
from run_tools import Run, assert_equal_runs, prepare, resolved, same_tensors

from vaeglow.models.vae import VAE
from vaeglow.training import run as training_run
from vaeglow.training.trainer import Trainer

pytestmark = pytest.mark.faults
STEPS = 4
EPOCHS = 10
ALL = STEPS * EPOCHS
SNAPSHOTS = [0.06, 0.3]  # after 3 and 12 steps


def config() -> dict:
    return resolved("vae", epochs=EPOCHS, snapshots=SNAPSHOTS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, blobs_dir) -> Run:
    """The run in one go, in this process, saved only at its end."""
    return Run(tmp_path_factory.mktemp("whole"), config(), blobs_dir).train()


def resume(run: Run, whole: Run, counter: Path) -> int:
    """Go on to the end in another process; how many steps were taken twice or more."""
    child = fork(run, 10, count_steps, str(counter))
    assert child.wait() == 0, child.text("stderr")
    assert_equal_runs(run, whole)
    return steps_taken(counter) - ALL


@pytest.mark.parametrize("number", [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 20))])
def test_sigkill_at_a_random_moment(number, whole, tmp_path, blobs_dir, fault):
    """Saved after each step, so that many of the moments lie inside a save; it waits before its end: none is late."""
    moment = random.Random(number)
    run = Run(tmp_path / "run", config(), blobs_dir)
    counter = tmp_path / "steps"
    with fault("SIGKILL of the trainer at a random moment") as tried:
        step, wait = moment.randrange(-1, ALL), 0.02 * moment.random()  # a step with its save takes some 0.01 s
        child = fork(run, 0, count_steps, str(counter), ALL - 1).until(lambda: run.saved_step() >= step)
        time.sleep(wait)
        assert child.kill() == -signal.SIGKILL
        tried.lost("steps trained again", resume(run, whole, counter))


@pytest.mark.parametrize(
    ("where", "call"),
    [
        ("writing", 1),  # the good state before the first step
        ("writing", 6),
        ("syncing", 5),
        ("renaming", 4),
        ("renamed", 7),
        *(
            pytest.param(where, n, marks=pytest.mark.slow)
            for where in ("writing", "renaming", "renamed")
            for n in (2, 3, 8)
        ),
    ],
)
def test_sigkill_inside_a_save(where, call, whole, tmp_path, blobs_dir, fault):
    run = Run(tmp_path / "run", config(), blobs_dir)
    counter = tmp_path / "steps"
    with fault("SIGKILL inside a save (half written, before and after the rename)") as tried:
        child = fork(run, 0, die_saving, str(counter), where, call)
        assert child.wait() == -signal.SIGKILL, child.text("stderr")
        assert (len(list(run.state.rglob(".*.tmp"))) == 1) == (where != "renamed")
        tried.lost("steps trained again", resume(run, whole, counter))


MODELS = ["vae", "vaeglow", "vaeglow_beyond", "glow", "vaeglow_joint", "pixelcnn", "pixeliqn", "residual_flow"]


@pytest.mark.parametrize("model", MODELS)
def test_sigkill_again_and_again(model, vae_run, tmp_path, fault):
    """Five kills of one run, each some steps after the one before."""
    config = resolved(model, epochs=EPOCHS, snapshots=SNAPSHOTS)
    base = vae_run if model in ("vaeglow", "vaeglow_beyond") else None
    whole = Run(tmp_path / "whole", config, vae_run.data, base).train()
    run = Run(tmp_path / "run", config, vae_run.data, base)
    counter = tmp_path / "steps"
    with fault("SIGKILL of the trainer five times in one run") as tried:
        for step in (2, 9, 14, 23, 31):
            child = fork(run, 0, count_steps, str(counter), ALL - 1)
            child.until(lambda step=step: run.saved_step() >= step).kill()
        tried.lost("steps trained again", resume(run, whole, counter))


def test_sigkill_while_the_results_are_written(whole, tmp_path, blobs_dir, fault):
    """After the last step: nothing is trained again, all results are written again."""
    run = Run(tmp_path / "run", config(), blobs_dir)
    counter = tmp_path / "steps"
    with fault("SIGKILL while the results are written") as tried:
        child = fork(run, 10, die_writing_results, str(counter))
        assert child.wait() == -signal.SIGKILL, child.text("stderr")
        assert run.model.exists() and not run.training.exists()
        tried.lost("steps trained again", resume(run, whole, counter))


def die_writing_results(counter: str) -> None:
    """In the child: die once the weights are written and the history is not."""
    count_steps(counter)
    training_run.write_history = lambda *_: die()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGHUP"])
@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 5))])
def test_a_signal_saves_at_once_and_says_so_by_status_75(name, number, whole, tmp_path, blobs_dir, fault):
    moment = random.Random(number)
    run = Run(tmp_path / "run", config(), blobs_dir)
    counter = tmp_path / "steps"
    with fault(f"{name} of the trainer") as tried:
        step = moment.randrange(1, ALL)
        child = fork(run, 10, count_steps, str(counter), step).held()
        child.send(getattr(signal, name), signal.SIGCONT)
        assert child.wait() == 75, child.text("stderr")
        assert child.text("stderr") == f"stopped: {name}: state saved, run again to resume\n"
        assert run.saved_step() == steps_taken(counter) == step + 1  # saved only because it was told to
        tried.lost("steps trained again", resume(run, whole, counter))


def test_nohup_keeps_a_closed_terminal_out(whole, tmp_path, blobs_dir):
    run = Run(tmp_path / "run", config(), blobs_dir)
    counter = tmp_path / "steps"
    child = fork(run, 10, ignore_hangup, str(counter)).held()
    child.send(signal.SIGHUP, signal.SIGCONT)
    assert child.wait() == 0 and same_tensors(run.weights(), whole.weights())


def ignore_hangup(counter: str) -> None:
    """In the child: what `nohup` does, for the loop's own handlers."""
    count_steps(counter, 3)
    plain = Trainer.run
    Trainer.run = lambda self: (signal.signal(signal.SIGHUP, signal.SIG_IGN), plain(self))[1]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
@pytest.mark.parametrize("where", ["before the first step", "while validating", "while the results are written"])
def test_a_signal_outside_a_step(where, name, tmp_path, fault):
    data = prepare(tmp_path / "data", val=64)
    settings = resolved("vae", epochs=2, validate_every=1)
    whole = Run(tmp_path / "whole", settings, data).train()
    run = Run(tmp_path / "run", settings, data)
    with fault(f"{name} of the trainer") as tried:
        child = fork(run, 10, signal_oneself, where, getattr(signal, name))
        assert child.wait() == 75, child.text("stderr")
        assert child.text("stderr").startswith(f"stopped: {name}: ") and child.text("stderr").count("\n") == 1
        assert run.saved_step() == {"before the first step": -1, "while validating": 4}.get(where, 8)
        assert_equal_runs(run.train(), whole)
        tried.lost("steps trained again", 0)


def signal_oneself(where: str, number: int) -> None:
    """In the child: get the signal once there."""

    def once(owner: Any, name: str, call: int = 1) -> None:
        plain = getattr(owner, name)
        calls = itertools.count(1)

        def wrapped(*arguments, **flags):
            if next(calls) == call:
                os.kill(os.getpid(), number)
            return plain(*arguments, **flags)

        setattr(owner, name, wrapped)

    if where == "before the first step":
        once(Trainer, "initialise")
    elif where == "while validating":
        once(VAE, "loss", 6)  # the second batch of the first validation, after four steps
    else:
        once(training_run, "write_history")
