"""Lines on the terminal that say how far a job is."""

import os
import re

from vaeglow import progress
from vaeglow.progress import TERMINAL, Lines, counted


def test_a_long_job_says_how_far_it_is_and_a_short_one_nothing(monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setenv(TERMINAL, str(writer))
    clock = iter(range(0, 10**6, 3))  # each look takes three seconds
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(counted([5, 6, 7], "short")) == [5, 6, 7]
    assert list(counted(range(20), "features")) == list(range(20))
    lines = os.read(reader, 4096).decode().splitlines()
    numbers = [int(re.fullmatch(r"features: (\d+) of 20, 0:\S+ left", line)[1]) for line in lines]
    assert 2 <= len(lines) < 10 and numbers == sorted(set(numbers))


def test_a_terminal_that_is_full_or_gone_never_stops_a_job(monkeypatch):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(reader), open(writer, "wb", buffering=0) as full:
        while full.write(b"0" * 4096):
            pass
        monkeypatch.setenv(TERMINAL, str(writer))
        Lines("job").tell("a line")
    Lines("job").tell("a line")  # the descriptor is closed
    Lines("job", shown=False).tell("a line")
