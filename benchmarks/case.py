"""What a benchmark case is: peers that do the same work, and the ratios that are read off their times. No torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Setting:
    """How a case is run.

    Attributes:
        device: `cpu` or `cuda`.
        threads: CPU threads inside torch.
        quick: tiny sizes, for a look at whether everything runs; its ratios mean nothing.
        folder: for files that the peers of a case share; there for as long as the case runs.
    """

    device: str
    threads: int
    quick: bool
    folder: Path


@dataclass(frozen=True)
class Work:
    """One peer's work, built and ready.

    Attributes:
        step: what is timed.
        images: how many it handles.
        facts: what `Case.check` compares between peers, and `Case.rows` may show; JSON values.
    """

    step: Callable[[], object]
    images: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Peer:
    """One of the things compared.

    Attributes:
        name: for the command line and the results.
        title: for the table.
        build: makes its work, in a process of its own.
        package: it is vaeglow itself, and its process is set up as a step's; others get the same number of threads.
        module: what it needs beyond the package's own dependencies: the extra `bench` installs it.
    """

    name: str
    title: str
    build: Callable[[Setting], Work]
    package: bool = True
    module: str | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured of one peer.

    Attributes:
        images: of a step.
        seconds: per image, one value a round; the rounds of a case's peers took turns.
        memory: the most its process (or, on a GPU, its tensors) held, in bytes, warm-up and rounds included.
        memory_before: the same before anything was built, imports included.
        facts: its work's.
    """

    images: int
    seconds: Sequence[float]
    memory: int
    memory_before: int
    facts: Mapping[str, Any]

    def rates(self) -> list[float]:
        """Images a second, round by round."""
        return [1 / one for one in self.seconds]


@dataclass(frozen=True)
class Row:
    """One line of the final table.

    Attributes:
        what: says what is divided by what.
        values: one a round, or a single one.
        target: the value to reach, or None: the row is shown for comparison only.
        at_least: whether more is better.
        note: what stands beside it.
    """

    what: str
    values: Sequence[float]
    target: float | None = None
    at_least: bool = True
    note: str = ""

    def median(self) -> float:
        """Over the rounds."""
        return statistics.median(self.values)

    def met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        if self.target is None:
            return None
        return self.median() >= self.target if self.at_least else self.median() <= self.target

    def summary(self) -> dict[str, Any]:
        """For the JSON file."""
        return {**asdict(self), "values": list(self.values), **spread(self.values), "met": self.met()}


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: for the command line and the results.
        title: one line on the work.
        peers: run in turns, each in a process of its own.
        check: (facts by peer) raises ValueError where peers that should agree do not.
        rows: (measured by peer) the ratios.
    """

    name: str
    title: str
    peers: Sequence[Peer]
    check: Callable[[Mapping[str, Mapping[str, Any]]], None]
    rows: Callable[[Mapping[str, Measured]], list[Row]]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles; with fewer than two values all are that one."""
    if len(values) < 2:
        return {"median": values[0], "low_quartile": values[0], "high_quartile": values[0]}
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": statistics.median(values), "low_quartile": low, "high_quartile": high}


def times_faster(ours: Measured, peer: Measured) -> list[float]:
    """The peer's seconds an image over ours, round by round: neighbours in time, so a drift of the machine cancels."""
    return [theirs / our for our, theirs in zip(ours.seconds, peer.seconds, strict=True)]


def require_close(what: str, left: Sequence[float], right: Sequence[float], tolerance: float) -> None:
    """Hold two lists of numbers against each other.

    Raises:
        ValueError: they differ in length, hold what is not finite, or are further apart than
            tolerance * max(1, the larger of the two) anywhere.
    """
    if len(left) != len(right) or not left:
        raise ValueError(f"{what}: {len(left)} numbers against {len(right)}")
    for one, other in zip(left, right, strict=True):
        if not (math.isfinite(one) and math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)):
            raise ValueError(f"{what}: {one:.8g} against {other:.8g}, further apart than {tolerance:g}")


def at_matrix_rate(ours: Measured, peer: Measured, name: str) -> Row:
    """The ratio that would be reached if all our operations ran as fast as a large matrix product does here.

    Args:
        ours: its facts have `flops`, of a step, and `matrix_rate`, of the machine with as many threads.
        peer: whose measured times are divided.
        name: of the peer.
    """
    floor = ours.facts["flops"] / ours.images / ours.facts["matrix_rate"]  # seconds an image
    values = [theirs / floor for theirs in peer.seconds]
    return Row(f"bound: {name}'s time / that of our FLOPs at the matrix rate", values)
