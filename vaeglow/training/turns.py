"""Processes that work in turns: each has its own memory and CPU time, and one works at a time. No torch here.

Models or programs that are compared take turns (A B C, A B C), so that changing machine load affects all alike.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import monotonic
from traceback import format_exc
from typing import Any

from vaeglow.errors import UserError

Turns = Callable[..., Iterator[Any]]  # what a process does, a turn at a time; pickle must find it


def serve(pipe: Connection, turns: Turns, arguments: tuple[Any, ...]) -> None:
    """In a process: the outcome of one of its `turns`, or what it raises, for each message, while the parent lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # handled by the parent
    outcomes = turns(*arguments)
    with suppress(EOFError, OSError):
        while pipe.recv():
            try:
                pipe.send(next(outcomes))
            except Exception as error:
                error.add_note(format_exc())
                pipe.send(error)


@contextmanager
def worker(name: str, turns: Turns, *arguments: Any, until: float | None = None) -> Iterator[Callable[[], Any]]:
    """A process for the length of a block; yields `turn()`: the outcome of the next of its turns, or what that raises.

    A turn raises UserError where the process was killed, or is not done by `until` (of `time.monotonic`).

    Args:
        name: for that error.
        turns: called in the process.
        arguments: of `turns`.
        until: end of its time.
    """
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs, turns, arguments), daemon=True)  # ends with this one
    process.start()
    theirs.close()

    def turn() -> Any:
        left = until and max(0, until - monotonic())
        try:
            ours.send(True)
            if not ours.poll(left):
                raise UserError("not done in the time there was")
            outcome = ours.recv()
        except (EOFError, OSError):
            raise UserError(f"{name}: killed, probably out of memory: lower its batch size") from None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    try:
        yield turn
    finally:
        process.kill()
        process.join()
