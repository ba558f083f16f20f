"""The signals that tell a step to stop, and a handler of them for the length of a block."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

# SIGUSR1 is what Slurm sends ahead of a time limit when asked to; SIGHUP comes from a terminal that is closed.
STOP = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL: stopped by a signal with the state saved; the same command goes on


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None], numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Handle signals in a block of the main thread. What the process was started to ignore (`nohup`) stays ignored."""
    listened = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in listened}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
