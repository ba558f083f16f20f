"""How far a long loop is: a bar on a terminal, in a log file a line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

LOG_SECONDS = 15.0  # between two lines of a log; what is over sooner leaves none


@contextlib.contextmanager
def progress(label: str, total: int | None, unit: str, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show progress on stderr.

    Args:
        label: of what.
        total: how much there is; None: not known.
        unit: what is counted, such as images or B.
        done: how much is done already.

    Yields:
        A function to be told how much more is done.
    """
    if sys.stderr.isatty():
        with tqdm(total=total, initial=done, desc=label, unit=f" {unit}", unit_scale=True, leave=False) as bar:
            yield bar.update
        return
    start, due = time.monotonic(), time.monotonic() + LOG_SECONDS
    first = done

    def advance(count: int) -> None:
        nonlocal done, due
        done += count
        if time.monotonic() >= due:
            due = time.monotonic() + LOG_SECONDS
            speed = (done - first) / (time.monotonic() - start)
            of = "" if total is None else f" of {total:,}"
            print(f"{label}: {done:,}{of} {unit}, {speed:,.0f} a second", file=sys.stderr, flush=True)

    yield advance
