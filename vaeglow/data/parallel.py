"""A `map` in several processes whose results come in order, with few of them in memory."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from vaeglow.errors import UserError

S = TypeVar("S")
T = TypeVar("T")
BATCH = 64  # items sent at a time
AHEAD = 4  # batches in flight for each process


def ordered_map(function: Callable[[S], T], items: Iterable[S], workers: int) -> Iterator[T]:
    """`map(function, items)` by several processes: the results and their order do not depend on how many.

    Args:
        function: of a module, so that other processes find it; its errors reach the caller.
        items: taken in the caller's process, so they may come from a file that only one may read.
        workers: so many processes; 1: none but the caller's.

    Raises:
        UserError: a process was killed.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    source = iter(items)
    waiting: deque[Future[list[T]]] = deque()
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads half
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        try:
            while batch := list(itertools.islice(source, BATCH)):
                waiting.append(pool.submit(apply, function, batch))
                if len(waiting) >= AHEAD * workers:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError(
                f"one of {workers} processes that read images was killed, perhaps for want of memory: use fewer "
                "(snakemake --cores, or the step's --workers)"
            ) from None
        finally:
            for future in waiting:
                future.cancel()


def apply(function: Callable[[S], T], batch: list[S]) -> list[T]:
    """The results of one batch."""
    return [function(item) for item in batch]


def end_with_parent() -> None:
    """Set a worker up: Ctrl-C is its parent's to handle, and when that is killed, it ends, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
