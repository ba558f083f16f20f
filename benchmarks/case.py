"""A benchmark case: peers that do the same work in turns, and the ratios of their times. Imports no torch."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.errors import UserError
from vaeglow.training.turns import worker

WARMUP = 1  # step before the first round, after those for a work's facts
ROUND_SECONDS = {False: 2.0, True: 0.05}  # shortest round by `quick`, of at least one step
Facts = Mapping[str, Any]  # JSON values that `Case.check` compares and `Case.rows` may show
# One peer's work, built and ready: the step that is timed; how many images it handles; facts, JSON values that
# `Case.check` compares and `Case.rows` may show.
Work = tuple[Callable[[], object], int, Facts]


@dataclass(frozen=True)
class Setting:
    """How a case is run."""

    device: str  # cpu or cuda
    threads: int  # CPU threads inside torch
    quick: bool  # tiny sizes, to check that everything runs; the ratios mean nothing
    folder: Path  # for files that the peers of a case share; it lasts as long as the case runs


@dataclass(frozen=True)
class Peer:
    """One of the things compared; `build`, which pickle must find, makes its work in a process of its own."""

    name: str
    title: str
    build: Callable[[Setting], Work]
    package: bool = True  # vaeglow itself: its process is set up as a step's; others get the same number of threads
    module: str | None = None  # needed beyond the package's own dependencies; the extra `bench` installs it


@dataclass(frozen=True)
class Measured:
    """The measurements of one peer."""

    images: int  # of a step
    seconds: Sequence[float]  # an image, one value a round; the rounds of a case's peers take turns
    memory: int  # the most that its process (or, on a GPU, its tensors) held, in bytes, warm-up and rounds included
    memory_before: int  # the same before anything was built, imports included
    facts: Facts  # its work's


@dataclass(frozen=True)
class Row:
    """One line of the final table: `what` says what is divided by what, `values` has one a round, or a single one."""

    what: str
    values: Sequence[float]
    target: float | None = None  # the value to reach; None: for comparison only
    at_least: bool = True  # more is better
    note: str = ""

    def met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        if self.target is None:
            return None
        median = spread(self.values)["median"]
        return median >= self.target if self.at_least else median <= self.target


@dataclass(frozen=True)
class Case:
    """One comparison."""

    name: str
    title: str
    peers: Sequence[Peer]
    rows: Callable[[Mapping[str, Measured]], list[Row]]  # (measured by peer) -> the ratios
    # (facts by peer): raises ValueError or AssertionError where peers that should agree do not
    check: Callable[[Mapping[str, Facts]], None] = lambda facts: None


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    median, low, high = np.percentile(values, (50, 25, 75)).tolist()
    return {"median": median, "low_quartile": low, "high_quartile": high}


def ratios(measured: Mapping[str, Measured], peer: str, title: str, target: float) -> list[Row]:
    """Our images/s over a peer's: for `vaeglow` and its options, and at the rate of a large matrix product.

    The peer's seconds are divided by ours round by round: neighbours in time, so a drift of the machine cancels.

    Args:
        measured: by peer; the facts of `vaeglow` have `flops`, of a step, and `matrix_rate`, of the machine with as
            many threads. The last row is what would be reached if all our operations ran at that rate.
        peer: the other one.
        title: of the peer.
        target: for `vaeglow`, the default options.
    """
    theirs = measured[peer].seconds
    rows = []
    for name, other in measured.items():
        if name != peer:
            quotients = divide(theirs, other.seconds)
            rows.append(Row(f"{name} / {title}, images/s", quotients, target if name == "vaeglow" else None))
    ours = measured["vaeglow"]
    floor = ours.facts["flops"] / ours.images / ours.facts["matrix_rate"]  # seconds an image
    bound = [seconds / floor for seconds in theirs]
    return [*rows, Row(f"bound: {title}'s time / that of our FLOPs at the matrix rate", bound)]


def divide(left: Sequence[float], right: Sequence[float]) -> list[float]:
    """Round by round."""
    return [dividend / divisor for dividend, divisor in zip(left, right, strict=True)]


def measure(case: Case, setting: Setting, rounds: int) -> dict[str, Measured]:
    """Measure all peers of a case, in turns (A B C, A B C, ...), one process working at a time.

    Args:
        case: whose peers' modules are installed.
        setting: its folder exists.
        rounds: how often each peer has its turn.

    Raises:
        UserError: a peer cannot work or was killed, or peers that should agree do not.
    """
    with contextlib.ExitStack() as stack:
        turns = {}
        ready = {}
        for peer in case.peers:  # one after the other: none is built while another one warms up
            turn = stack.enter_context(worker(f"case {case.name}, {peer.name}", peer_turns, case.name, peer, setting))
            ready[peer.name] = turn()
            turns[peer.name] = turn
        try:
            case.check({name: peer["facts"] for name, peer in ready.items()})
        except (ValueError, AssertionError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"case {case.name}: the peers do not do the same work: {reason}") from None
        seconds: dict[str, list[float]] = {name: [] for name in turns}
        memory = {}
        for _ in range(rounds):
            for name, turn in turns.items():
                image_seconds, memory[name] = turn()
                seconds[name].append(image_seconds)
    return {name: Measured(seconds=seconds[name], memory=memory[name], **peer) for name, peer in ready.items()}


def peer_turns(case: str, peer: Peer, setting: Setting) -> Iterator[Any]:
    """What a peer's process does, a turn at a time: build its work and warm it up, then a round each.

    Yields:
        `images`, `facts` and `memory_before` of `Measured`; then seconds an image, and the most memory held so far.
    """
    import torch

    from vaeglow.device import pick_device, set_threads
    from vaeglow.training.timing import peak_memory, steps_to_fill, time_window

    os.dup2(2, 1)  # a library's output must not end up in our tables
    try:
        device = pick_device(setting.device)
        (set_threads if peer.package else torch.set_num_threads)(setting.threads)
        before, _ = peak_memory(device)
        step, images, facts = peer.build(setting)
        steps = steps_to_fill(step, WARMUP, ROUND_SECONDS[setting.quick], device)
    except UserError as error:
        raise UserError(f"case {case}, {peer.name}: {error}") from None
    yield {"images": images, "facts": facts, "memory_before": before}
    while True:
        seconds, _ = time_window(step, steps, device)
        memory, _ = peak_memory(device)
        yield seconds / (steps * images), memory
