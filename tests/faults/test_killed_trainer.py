"""Training killed or told to stop at any moment: the final weights are those of a run that was not."""

import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from faults_tools import count_steps, die, die_saving, fork, steps_taken
from run_tools import Run, assert_equal_runs, prepare, resolved, same_tensors

from vaeglow.models.vae import VAE
from vaeglow.training import run as training_run
from vaeglow.training.trainer import Trainer

ALL = 40  # steps of `long_run`, four in an epoch


def slow(cases: Iterable[Any]) -> list[Any]:
    """Cases that are tried where there are minutes."""
    return [pytest.param(case, marks=pytest.mark.slow) for case in cases]


@pytest.fixture
def run(long_run, tmp_path) -> Run:
    """The run to be disturbed."""
    return Run(tmp_path / "run", long_run.config, long_run.data)


@pytest.fixture
def counter(tmp_path) -> Path:
    """Where the steps of all attempts are counted."""
    return tmp_path / "steps"


@pytest.fixture
def resume(long_run, counter, lost) -> Callable[..., None]:
    """`resume(run)`: go on in another process, to the end that it would have had. Lost are steps taken twice."""

    def resume(run: Run, whole: Run = long_run) -> None:
        fork(run, 10, count_steps, str(counter)).ended()
        assert_equal_runs(run, whole)
        lost("steps trained again", steps_taken(counter) - ALL)

    return resume


@pytest.mark.faults("SIGKILL of the trainer at a random moment")
@pytest.mark.parametrize("number", [*range(3), *slow(range(3, 20))])
def test_sigkill_at_a_random_moment(number, run, counter, resume):
    """Saved after each step, so that many of the moments lie inside a save; it waits before its end: none is late."""
    moment = random.Random(number)
    step = moment.randrange(-1, ALL)
    child = fork(run, 0, count_steps, str(counter), ALL - 1).until(lambda: run.saved_step() >= step)
    time.sleep(0.02 * moment.random())  # a step with its save takes some 0.01 s
    child.kill()
    resume(run)


# The first call writes the good state before the first step.
PLACES = [("writing", 1), ("syncing", 5), ("renaming", 4), ("renamed", 7)]
MORE = [("writing", 6), *itertools.product(("writing", "renaming", "renamed"), (2, 3, 8))]


@pytest.mark.faults("SIGKILL inside a save (half written, before and after the rename)")
@pytest.mark.parametrize("place", [*PLACES, *slow(MORE)])
def test_sigkill_inside_a_save(place, run, counter, resume):
    fork(run, 0, die_saving, str(counter), *place).ended(-signal.SIGKILL)
    assert bool(list(run.state.rglob(".*.tmp"))) == ("renamed" not in place)
    resume(run)


MODELS = ["vaeglow_beyond", "pixelcnn", "residual_flow", *slow(["glow", "vaeglow_joint", "pixeliqn"])]


@pytest.mark.faults("SIGKILL of the trainer five times in one run")
@pytest.mark.parametrize("model", MODELS)
def test_sigkill_again_and_again(model, vae_run, tmp_path, counter, resume):
    """Five kills of one run, each some steps after the one before."""
    config = resolved(model, epochs=10, snapshots=[0.06, 0.3])
    base = vae_run if model == "vaeglow_beyond" else None
    run = Run(tmp_path / "run", config, vae_run.data, base)
    for step in (2, 9, 14, 23, 31):
        fork(run, 0, count_steps, str(counter), step + 1).held().kill()
    resume(run, Run(tmp_path / "whole", config, vae_run.data, base).train())


@pytest.mark.faults("SIGKILL while the results are written")
def test_sigkill_while_the_results_are_written(run, counter, resume):
    """After the last step: nothing is trained again, all results are written again."""
    fork(run, 10, die_writing_results, str(counter)).ended(-signal.SIGKILL)
    assert run.model.exists() and not run.training.exists()
    resume(run)


def die_writing_results(counter: str) -> None:
    """In the child: die once the weights are written and the history is not."""
    count_steps(counter)
    training_run.write_history = lambda *_: die()


@pytest.mark.faults("{name} of the trainer")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGHUP"])
@pytest.mark.parametrize("number", [0, *slow(range(1, 5))])
def test_a_signal_saves_at_once_and_says_so_by_status_75(name, number, run, counter, resume):
    step = random.Random(number).randrange(1, ALL)
    child = fork(run, 10, count_steps, str(counter), step).held()
    child.go_on(getattr(signal, name)).ended(75)
    assert child.text("stderr") == f"stopped: {name}: state saved, run again to resume\n"
    assert run.saved_step() == steps_taken(counter) == step + 1  # saved only because it was told to
    resume(run)


@pytest.mark.faults
def test_nohup_keeps_a_closed_terminal_out(run, long_run, counter):
    fork(run, 10, ignore_hangup, str(counter)).held().go_on(signal.SIGHUP).ended()
    assert same_tensors(run.weights(), long_run.weights())


def ignore_hangup(counter: str) -> None:
    """In the child: what `nohup` does, for the loop's own handlers."""
    count_steps(counter, 3)
    plain = Trainer.run

    def run(self: Trainer) -> Any:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return plain(self)

    Trainer.run = run


@pytest.fixture(scope="module")
def validated(tmp_path_factory) -> Run:
    """A run in one go that validates after each epoch."""
    data = prepare(tmp_path_factory.mktemp("data"), val=64)
    return Run(tmp_path_factory.mktemp("validated"), resolved("vae", validate_every=1), data).train()


OUTSIDE = {
    "before the first step": (Trainer, "initialise", 1, -1),
    "while validating": (VAE, "loss", 6, 4),  # the second batch of the first validation, after four steps
    "while the results are written": (training_run, "write_history", 1, 8),
}  # what is called, at which call the signal comes, and the step of the newest state then


@pytest.mark.faults("{name} of the trainer")
@pytest.mark.parametrize("name", ["SIGTERM", *slow(["SIGUSR1"])])
@pytest.mark.parametrize("where", OUTSIDE)
def test_a_signal_outside_a_step(where, name, validated, tmp_path, lost):
    run = Run(tmp_path, validated.config, validated.data)
    child = fork(run, 10, signal_oneself, where, getattr(signal, name))
    child.ended(75)
    (line,) = child.text("stderr").splitlines()
    assert line.startswith(f"stopped: {name}: ")
    assert run.saved_step() == OUTSIDE[where][3]
    assert_equal_runs(run.train(), validated)
    lost("steps trained again", 0)


def signal_oneself(where: str, number: int) -> None:
    """In the child: get the signal once there."""
    owner, name, call, _ = OUTSIDE[where]
    plain = getattr(owner, name)
    calls = itertools.count(1)

    def wrapped(*arguments: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), number)
        return plain(*arguments)

    setattr(owner, name, wrapped)
