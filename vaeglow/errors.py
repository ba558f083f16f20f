"""What ends a step early: errors for the user to read, memory that is exhausted, signals to stop. No torch."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

# Slurm can send SIGUSR1 before a time limit; SIGHUP comes from a closed terminal.
STOP = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)

MAKE_AGAIN = "if snakemake made it, delete it and run again"  # of a damaged file, which may be the user's own

# torch's words, in RuntimeErrors that share no class: CUDA, its CPU allocator on Linux and elsewhere, mmap
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


class UserError(Exception):
    """An error that the user can fix: bad config, missing data, a corrupt file, no GPU.

    The message is one line that says what is wrong, where, and what to do. A step script prints it
    without a traceback and exits with status 2 (`vaeglow.steps.cli.run`).
    """


class UnfitImages(UserError):
    """A model cannot take a dataset's images. A check of the config notes it; such a run, if requested, is an error."""


class UnfitGrey(UnfitImages):
    """A model takes a dataset's images in colour only, and they are grey: tables and figures leave its rows out."""


class DamagedFile(UserError):
    """One of our files is missing or incomplete, as opposed to temporarily unreadable (memory, permission)."""


class Interrupted(BaseException):
    """The process was told to stop (a signal of `STOP`, or Ctrl-C); what it saved is complete and the next run resumes.

    Not an `Exception`: it may be raised anywhere, and a library's `except Exception` must not swallow it.
    """


def memory_used_up(error: BaseException) -> str | None:
    """Which memory is exhausted according to an exception: `memory` or `GPU memory`; None for other exceptions."""
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY):
        return "GPU memory" if "cuda" in str(error).lower() else "memory"
    return None


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None], numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Handle signals in a block; not those that the process was started to ignore, and none outside the main thread."""
    main = current_thread() is main_thread()
    before = {}
    for number in numbers:
        if main and signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
