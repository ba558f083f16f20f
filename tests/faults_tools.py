"""What the tests of faults share: steps in processes to kill, and the table that `make faults` prints."""

import atexit
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pytest
from refusals import error_line
from run_tools import Run
from waiting import LIMIT, ROOT, state_of, until

from vaeglow import weights
from vaeglow.training.trainer import Trainer

PRELOADED = ["torch._dynamo", "vaeglow.training.run", "run_tools", "faults_tools"]  # dynamo: an optimiser imports it
SERVER = multiprocessing.get_context("forkserver")


class Child:
    """A step, a command as for `python -m`, in a fork of a server that has imported all; `hook(*arguments)` first."""

    def __init__(self, command: list[str], hook: Callable[..., None] | None = None, *arguments: Any) -> None:
        SERVER.set_forkserver_preload(PRELOADED)
        self.folder = tempfile.TemporaryDirectory()
        self.process = SERVER.Process(target=step, args=(command[2:], self.folder.name, hook, arguments), daemon=True)
        with pytest.MonkeyPatch.context() as patch:  # the server's path, which imports this module
            for path in (ROOT, ROOT / "tests"):
                patch.setenv("PYTHONPATH", str(path), prepend=os.pathsep)
            self.process.start()
        atexit.register(self.process.kill)  # a held one, where a test failed, would be waited for without end

    def ended(self, status: int = 0) -> str:
        """What it printed, once it has ended; the exit status is negative for a signal."""
        self.process.join(LIMIT)
        assert self.process.exitcode == status, self.text("stderr")
        return self.text()

    def refused(self) -> str:
        """The one line of a step that refused to go on."""
        self.ended(2)
        return error_line(self.text("stderr"))

    def until(self, done: Callable[[], bool]) -> Self:
        """Wait until something is so, while it lives."""
        until(done, self.process.is_alive, lambda: f"ended, or still running: {self.text('stderr')}")
        return self

    def held(self) -> Self:
        """Wait until it has stopped before the step that `hold` names."""
        return self.until(lambda: state_of(self.process.pid) == "T")

    def go_on(self, *signals: int) -> Self:
        """Let a held one go on, to these signals first."""
        for number in (*signals, signal.SIGCONT):
            os.kill(self.process.pid, number)
        return self

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.ended(-signal.SIGKILL)

    def text(self, what: str = "stdout") -> str:
        """What it printed."""
        path = Path(self.folder.name, what)
        return path.read_text() if path.exists() else ""


def step(command: list[str], folder: str, hook: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    """In the child: a step as `python -m` runs it."""
    from vaeglow.steps import cli

    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(folder, name), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666), number)
    os.chmod(folder, 0o755)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup, and a trainer respects that
    sys.argv = command
    module = importlib.import_module(command[0])
    if hook is not None:
        hook(*arguments)
    cli.run(module.main)


def fork(run: Run, save_minutes: float = 10, hook: Callable[..., None] | None = None, *arguments: Any) -> Child:
    """Start a run's training."""
    return Child(run.command(save_minutes), hook, *arguments)


def hold(step: int) -> None:
    """Stop before a step of the run, counted from 0, until SIGCONT: what is done to it meanwhile is never too late."""
    plain = Trainer.train_step

    def train_step(self: Trainer, index: Any, number: int, sums: Any) -> None:
        if self.position.epoch * self.steps + number == step:
            os.kill(os.getpid(), signal.SIGSTOP)
        plain(self, index, number, sums)

    Trainer.train_step = train_step


def count_steps(file: str, held: int = -1) -> None:
    """Append a byte to a file for every training step taken, over all attempts; `hold` before one of them."""
    plain = Trainer.train_step
    number = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)

    def train_step(self: Trainer, *arguments: Any) -> None:
        plain(self, *arguments)
        os.write(number, b".")

    Trainer.train_step = train_step
    hold(held)


def steps_taken(file: Path) -> int:
    """How many steps `count_steps` counted."""
    return file.stat().st_size if file.exists() else 0


def die() -> None:
    """SIGKILL, of oneself."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_saving(counter: str, where: str, call: int) -> None:
    """Die in the call-th `writing` of a tensor file (half written), `syncing`, `renaming`, or just `renamed`."""
    count_steps(counter)
    count = 0
    plain = {"writing": weights.save_file, "syncing": os.fsync, "renaming": os.replace, "renamed": os.replace}

    def save_file(tensors: Any, path: Path, metadata: Any) -> None:
        nonlocal count
        plain["writing"](tensors, path, metadata)
        count += 1
        if count == call and where == "writing":
            os.truncate(path, path.stat().st_size // 2)
            die()

    def other(*arguments: Any) -> None:
        if count == call and where != "renamed":
            die()
        plain[where](*arguments)
        if count == call:
            die()

    weights.save_file = save_file
    if where != "writing":
        setattr(os, "fsync" if where == "syncing" else "replace", other)


def table(records: Iterable[tuple[str, bool, str, float | None]]) -> str:
    """The records as a Markdown table, a row a fault in order of name."""
    lines = ["| fault | tries | survived | what was lost |", "|---|---|---|---|"]
    frame = pd.DataFrame(list(records), columns=["fault", "survived", "what", "amount"])
    for fault, tries in frame.groupby("fault"):
        survived = tries[tries.survived]
        failed = len(tries) - len(survived)
        costs = []
        for what, amounts in survived[survived.what != "nothing"].groupby("what", sort=False).amount:
            ends = dict.fromkeys(f"{amount:.2g} " for amount in sorted(amounts.dropna()))
            costs.append("to ".join([*ends][:: max(1, len(ends) - 1)]) + what)
        if failed:
            costs.append(f"not known of {failed}: see the failed tests")
        lines.append(f"| {fault} | {len(tries)} | {len(survived)} | {'; '.join(costs) or 'nothing'} |")
    return "\n".join(lines)
