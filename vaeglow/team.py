"""Several processes that work at one run, one on each device (`training.devices`): who they are, what they exchange.

The step's own process is the first; it starts the others with its own command line and speaks for all. Under torchrun
(several nodes, docs/cluster.md) they are there already. One process alone is a team, too; it exchanges nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from vaeglow import gpus
from vaeglow.errors import Interrupted, UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vaeglow.noise import SharedGenerator

T = TypeVar("T")
GIVEN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # torchrun's, and ours for those we start
WATCH, GRACE = 0.2, 5.0  # seconds: between looks at the others; for this process to see for itself that one failed


@dataclass(frozen=True)
class Team:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def part(self, batch: Tensor) -> Tensor:
        """This process's images of a batch [B, ...]: [B / size, ...]."""
        own = len(batch) // self.size
        return batch[self.rank * own :][:own]

    def share(self, generator: SharedGenerator) -> SharedGenerator:
        """The generator, set to this process's part of a batch's noise."""
        generator.rank, generator.ranks = self.rank, self.size
        return generator

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scalars on the device by name, averaged over the processes."""
        if self.size == 1:
            return dict(values)
        import torch
        from torch import distributed

        together = torch.stack([value.double() for value in values.values()])
        distributed.all_reduce(together)
        means = (together / self.size).unbind()
        return {name: mean.to(value.dtype) for (name, value), mean in zip(values.items(), means, strict=True)}

    def highest(self, *numbers: int) -> list[int]:
        """Each number's largest value among the processes: what one of them wants, all do."""
        if self.size == 1:
            return list(numbers)
        everyone: list[Any] = self.gather(numbers)
        return [max(column) for column in zip(*everyone, strict=True)]

    def gather(self, value: Any) -> list[Any]:
        """What each process says, in the order of ranks, heard by all. Plain values, arrays of moderate size."""
        if self.size == 1:
            return [value]
        from torch import distributed

        heard: list[Any] = [None] * self.size
        distributed.all_gather_object(heard, value)
        return heard

    def wait(self) -> None:
        """Until all processes are here."""
        self.gather(None)


ALONE = Team()
_current: ContextVar[Team] = ContextVar("team", default=ALONE)  # of the innermost block of `team`


def rounds(count: int, work: Callable[[int], T]) -> Iterator[T]:
    """`work(i)` for i = 0, 1, ... count - 1, in order; the team's processes take turns, and each gets all results.

    Args:
        count: pieces of work.
        work: does one of them; what it returns is small enough to be sent round, tensors on the CPU.
    """
    here = _current.get()
    for start in range(0, count, here.size):
        own = start + here.rank
        yield from here.gather(work(own) if own < count else None)[: count - start]


@contextmanager
def team(devices: int, device: torch.device) -> Iterator[tuple[Team, torch.device]]:
    """The processes of this run for the length of a block, and the device of this one.

    Args:
        devices: how many processes, each on a device of its own: GPUs, or this machine's CPU again and again.
        device: `cpu` or `cuda`.

    Raises:
        UserError: fewer GPUs, or torchrun started another number of processes.
    """
    given = all(name in os.environ for name in GIVEN)
    if given and int(os.environ["WORLD_SIZE"]) != devices:
        raise UserError(
            f"{devices} devices are asked for, but {os.environ['WORLD_SIZE']} processes were started: start as many"
        )
    if devices == 1:
        yield ALONE, device
        return
    rank, local = (int(os.environ[name]) if given else 0 for name in ("RANK", "LOCAL_RANK"))
    own = device_of(local, int(os.environ.get("LOCAL_WORLD_SIZE", local + 1)) if given else devices, device)
    follow_first()
    if rank > 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # standard output: the first process speaks for all
    store = meeting_point(rank, devices, given)
    ending = threading.Event()
    others = [] if given else start_others(devices, store.port)
    threading.Thread(target=watch, args=(others, ending), daemon=True).start()
    from torch import distributed

    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=devices
        )
        here = _current.set(Team(rank, devices))
        try:
            yield _current.get(), own
        finally:
            _current.reset(here)
    except BaseException as error:
        if isinstance(error, RuntimeError):  # of an exchange, perhaps, in which one was missing
            time.sleep(1.0)  # the time it takes to see who: in the others `follow_first` ends the process
            if (failed := failure(others)) is not None:
                raise UserError(failed) from None
        if not isinstance(error, Interrupted):  # after that the others end by themselves
            for other in others:
                other.kill()
        raise
    else:
        distributed.destroy_process_group()
    finally:
        ending.set()
        end(others)


def device_of(local: int, wanted: int, device: torch.device) -> torch.device:
    """The device of a process, the `local`th of `wanted` on this machine.

    Raises:
        UserError: there are fewer GPUs.
    """
    if device.type != "cuda":
        return device
    import torch

    if wanted > (there := torch.cuda.device_count()):
        raise UserError(
            f"{wanted} GPUs are asked for, torch sees {there}: lower training.devices, or give the job more"
        )
    if os.environ.get(gpus.CLAIM) != "1":  # else `pick_device` has chosen
        torch.cuda.set_device(local)
    return torch.device("cuda", torch.cuda.current_device())


def meeting_point(rank: int, devices: int, given: bool) -> Any:
    """The store through which the processes find each other; the first process holds it.

    Args:
        rank: of this process.
        devices: how many processes there are.
        given: whether the environment says where it is.
    """
    from torch.distributed import TCPStore

    host, port = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])) if given else ("127.0.0.1", 0)
    # torchrun's own agent may hold the port already
    held = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return TCPStore(host, port, devices, is_master=rank == 0 and not held, wait_for_workers=False)


def start_others(devices: int, port: int) -> list[subprocess.Popen[bytes]]:
    """All processes but the first, with this one's command line."""
    common = {"WORLD_SIZE": str(devices), "LOCAL_WORLD_SIZE": str(devices), "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(port), "VAEGLOW_FIRST": str(os.getpid())}
    command = [sys.executable, *sys.orig_argv[1:]]
    return [
        subprocess.Popen(command, env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(1, devices)
    ]


def watch(others: list[subprocess.Popen[bytes]], ending: threading.Event) -> None:
    """End this process when another failed: it would wait for that one in vain.

    Args:
        others: that this process started.
        ending: set when it needs them no longer.
    """
    while not ending.wait(WATCH):
        alive = any(other.poll() is None for other in others)  # before the look that has to see the last one fail
        if (failed := failure(others)) is not None and not ending.wait(GRACE):
            print(f"error: {failed}", file=sys.stderr, flush=True)
            os._exit(2)
        if not alive:
            return


def failure(others: list[subprocess.Popen[bytes]]) -> str | None:
    """What to say when one of the others failed, or ended early, or None."""
    for rank, other in enumerate(others, start=1):
        if (status := other.poll()) not in (None, 0):
            return f"process {rank} of this run ended with status {status}: run the same command again"
    return None


def follow_first() -> None:
    """In a process that the first one started: end when that is gone."""
    first = int(os.environ.get("VAEGLOW_FIRST", 0))

    def look() -> None:
        while os.getppid() == first:
            time.sleep(0.5)
        os._exit(2)

    if first:
        threading.Thread(target=look, daemon=True).start()


def end(others: list[subprocess.Popen[bytes]]) -> None:
    """Wait a little for processes that are ending, and stop those that are not."""
    limit = time.monotonic() + 10.0
    for other in others:
        try:
            other.wait(max(0.1, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            other.kill()
