"""Waiting in tests: for a condition, never for a moment, and never longer than only something stuck takes."""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Done: TypeAlias = subprocess.CompletedProcess[str]
Json: TypeAlias = dict[str, Any]  # what a config, a result or a description holds
Row: TypeAlias = dict[str, str]  # of a CSV
ROOT = Path(__file__).parents[1]
LIMIT = 1800  # seconds; no test passes or fails by it on a slow or busy machine


def call(command: Sequence[Any], cwd: Path = ROOT, **options: Any) -> Done:
    """A command to its end, what it says captured."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=LIMIT, **options)


def python(*words: Any, cwd: Path = ROOT, **options: Any) -> Done:
    """Python with these words, which finds the package wherever it runs; `options` of `call`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return call([sys.executable, *words], cwd, **{"env": environment, **options})


def said(done: Done, status: int = 0) -> str:
    """All that a command said which ended with this status."""
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def git(folder: Path, *words: str) -> str:
    """What git says in a folder, as nobody."""
    nobody = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    return said(call(["git", *nobody, *words], folder)).strip()


def text_of(path: str | Path) -> str:
    """A text file, by its path in the checkout."""
    return (ROOT / path).read_text("utf-8")


@functools.cache
def warm() -> dict[str, str]:
    """An environment for `call`; `python -m ...` starts at once in it, and below, where tests/warm works."""
    folder, place = tempfile.TemporaryDirectory(), ROOT / "tests/warm"
    path = Path(folder.name, "socket")
    server = subprocess.Popen([sys.executable, place / "server.py", path], stdin=subprocess.PIPE)
    warm.kept = folder, server  # until the tests end
    until(lambda: path.exists() or server.poll() is not None)
    if server.poll() is not None:  # no such sockets here, or too long a path for one
        return dict(os.environ)
    paths = os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "VAEGLOW_WARM": str(path), "PYTHONPATH": paths}


def until(done: Callable[[], bool], going: Callable[[], bool] = lambda: True, says: Callable[[], str] = str) -> None:
    """Wait until something is `done()`, while it is `going()`; `says()` what to show where it never comes."""
    end = time.monotonic() + LIMIT
    while not done():
        assert going() or done(), says()
        assert time.monotonic() < end, says()
        time.sleep(0.001)


def state_of(pid: int) -> str:
    """A process's state as /proc writes it (`T`: stopped); empty once it has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state in "ZX" else state
