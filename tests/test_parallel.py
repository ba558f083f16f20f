"""The map in several processes: its order, its errors, and that it leaves no process behind."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import ROOT, state_of, until

from vaeglow.data.parallel import AHEAD, BATCH, ordered_map
from vaeglow.errors import UserError


def slow_square(number: int) -> int:
    time.sleep(0.002 * (number % 3))  # later items may be done first
    return number * number


def picky(number: int) -> int:
    if number == 100:
        raise UserError("one hundred is too many")
    return number


def deadly(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize(("count", "workers"), [(0, 1), (5 * BATCH + 3, 1), (0, 2), (5 * BATCH + 3, 2)])
def test_results_come_in_order(workers, count):
    assert list(ordered_map(slow_square, range(count), workers)) == [n * n for n in range(count)]


def test_items_are_taken_as_results_are():
    endless = itertools.count()
    results = ordered_map(slow_square, endless, 2)
    assert next(results) == 0
    assert next(endless) <= (2 * AHEAD + 1) * BATCH
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_reaches_the_caller(workers):
    with pytest.raises(UserError, match="one hundred"):
        list(ordered_map(picky, range(1000), workers))


def test_a_killed_process_is_one_line():
    with pytest.raises(UserError, match="was killed"):
        list(ordered_map(deadly, range(3), 2))


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    script = (
        "import os, sys\n"
        "from vaeglow.data.parallel import ordered_map\n"
        "if __name__ == '__main__':\n"
        "    pids = ordered_map(os.path.getsize, ['/'] * 1000, 2)\n"
        "    next(pids)\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    (tmp_path / "script.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, str(tmp_path / "script.py")], env=environment, **pipes) as parent:
        assert parent.stdout.readline() == "ready\n"
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(children) >= 2
        parent.kill()
    until(lambda: not any(state_of(int(pid)) for pid in children))
