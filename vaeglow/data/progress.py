"""Long loops: a progress bar, and a map in several threads."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tqdm import tqdm

S = TypeVar("S")
T = TypeVar("T")
BATCH = 256  # items in memory at a time
LOG_SECONDS = 15.0  # between two lines in a log file; what is over sooner leaves none


def progress(label: str, total: int | None, unit: str, **options: Any) -> tqdm:
    """A progress bar on stderr, rarely drawn where that is a file."""
    pace = {} if sys.stderr.isatty() else {"delay": LOG_SECONDS, "mininterval": LOG_SECONDS}
    return tqdm(total=total, desc=label, unit=f" {unit}", unit_scale=True, leave=False, **pace, **options)


def ordered_map(function: Callable[[S], T], items: Iterable[S], total: int, threads: int, label: str) -> Iterator[T]:
    """`map(function, items)` by several threads, in order: no result depends on how many.

    Pillow decodes and resizes without Python's global lock, so threads share that work among cores.

    Args:
        function: its errors reach the caller.
        items: taken in the caller's thread, `BATCH` at a time.
        total: how many there are.
        threads: how many.
        label: of the progress bar.
    """
    source = iter(items)
    with ThreadPoolExecutor(threads) as pool, progress(label, total, "images") as bar:
        while batch := list(itertools.islice(source, BATCH)):
            for result in pool.map(function, batch):
                yield result
                bar.update()
