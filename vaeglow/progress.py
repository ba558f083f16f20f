"""Lines on the terminal that say how far a job is. No torch."""

import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from vaeglow.time_left import duration

TERMINAL = "VAEGLOW_TERMINAL"  # the workflow sets it to a file descriptor of Snakemake's own output
FIRST = 10.0  # seconds to the first line
EVERY = 15.0  # seconds between lines; or a share of those so far, if that is longer
SHARE = 0.05
Item = TypeVar("Item")


class Lines:
    """Lines of a job on the terminal, if there is one and `shown`; none before `first` seconds."""

    def __init__(self, label: str, first: float = FIRST, shown: bool = True) -> None:
        self.label = label
        self.start = time.monotonic()
        self.due = self.start + first
        self.terminal = -1
        if shown:
            self.terminal = int(os.environ.get(TERMINAL, 2 if sys.stderr.isatty() else -1))

    def seconds(self) -> float:
        """Since the job began."""
        return time.monotonic() - self.start

    def is_due(self) -> bool:
        """Whether it is time for a line."""
        return time.monotonic() >= self.due

    def tell(self, *parts: str) -> None:
        """Print these as a line, if the terminal is ready: a job never waits for it."""
        self.due = time.monotonic() + max(EVERY, SHARE * self.seconds())
        with suppress(OSError, ValueError):
            _, ready, _ = select.select([], [self.terminal], [], 0)
            if ready:
                os.write(self.terminal, f"{self.label}: {', '.join(parts)}\n".encode())


def counted(items: Sequence[Item], what: str) -> Iterator[Item]:
    """The items; after `FIRST` seconds lines say how many are done: `features: 30 of 95, 0:00:42 left`."""
    lines = Lines(what)
    for number, item in enumerate(items):
        if number and lines.is_due():
            left = lines.seconds() / number * (len(items) - number)
            lines.tell(f"{number} of {len(items)}", f"{duration(left)} left")
        yield item
