"""Several processes that train one run, one on each device (`training.devices`).

On one machine the process that is started is the first and starts the others; over several nodes torchrun starts all
(docs/cluster.md). The first writes and prints for all. One process alone exchanges nothing. Each makes the random
numbers of the whole batch and uses its own images' part, so results do not depend on how many processes there are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import Tensor, distributed

from vaeglow.device import CLAIM, pick_device
from vaeglow.errors import UserError

FIRST = "VAEGLOW_FIRST_PROCESS"  # environment of the others that the first process starts: its number
LOST = ("gloo", "nccl", "connection", "broken pipe")  # words of an exchange that failed because another process ended
EXIT_LOST = 76  # status of a process that ends because of that


@dataclass(frozen=True)
class Group:
    """The processes that train a run; this one is number `rank`."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Set each tensor to its mean over the processes, all in one exchange."""
        if self.size > 1:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            distributed.all_reduce(flat)
            means = flat.div_(self.size).split([tensor.numel() for tensor in tensors])
            for tensor, mean in zip(tensors, means, strict=True):
                tensor.copy_(mean.view(tensor.shape))

    def gather(self, value: Any = None) -> list[Any]:
        """The value of each process, in the order of ranks, in every process; waits for all of them."""
        values = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value)
        return values


ALONE = Group()


class SharedGenerator(torch.Generator):
    """A generator shared by `ranks` processes, each of which uses its own images' part; this one is number `rank`."""

    rank: int = 0
    ranks: int = 1


def shared_noise(
    sample: Callable[..., Tensor], shape: Sequence[int], generator: torch.Generator | None, **options: Any
) -> Tensor:
    """`sample(shape, generator=generator, **options)` for this process's images.

    Args:
        sample: torch.rand or torch.randn.
        shape: [N, ...], N this process's images; each process has equally many, in the order of ranks.
        generator: with a `SharedGenerator` the numbers are those that one process with all images would draw.
        options: dtype and device.
    """
    rank, ranks = getattr(generator, "rank", 0), getattr(generator, "ranks", 1)
    everyone = sample((shape[0] * ranks, *shape[1:]), generator=generator, **options)
    return everyone[rank * shape[0] :][: shape[0]]


@contextmanager
def joined(devices: int, name: str) -> Iterator[tuple[Group, torch.device]]:
    """The processes of a run for the length of a block, and this one's device: its own GPU, or the CPU of all.

    Args:
        devices: how many processes.
        name: of the device, see `pick_device`.

    Raises:
        UserError: torchrun started another number, there are too few GPUs, or another process was killed.
        SystemExit: another process failed.
    """
    others: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
    if devices > 1 and "RANK" not in os.environ:
        store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # lives as long as this
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(devices)}
        os.environ |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "RANK": "0", "LOCAL_RANK": "0"}
        for rank in range(1, devices):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), FIRST: str(os.getpid())}
            command, log = [sys.executable, *sys.orig_argv[1:]], tempfile.TemporaryFile()  # noqa: SIM115
            process = subprocess.Popen(command, env=os.environ | own, stderr=log, start_new_session=True)
            others.append((process, log))
        end_when(lambda: any(process.poll() for process, _ in others), 30)  # where no exchange fails before that
    rank, size, local = (int(os.environ.get(*each)) for each in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    try:
        if size != devices:
            raise UserError(f"{devices} devices are configured, but {size} processes were started: start as many")
        device = pick_device(name)
        if size == 1:
            yield ALONE, device
            return
        if FIRST in os.environ:
            end_when(lambda: os.getppid() != int(os.environ[FIRST]))
        if rank > 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if device.type == "cuda":
            if local >= (count := torch.cuda.device_count()):
                raise UserError(f"torch sees {count} GPUs, too few for {devices} processes: lower training.devices")
            if os.environ.get(CLAIM) != "1":  # else `pick_device` has chosen
                torch.cuda.set_device(local)
            device = torch.device("cuda", torch.cuda.current_device())
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        yield Group(rank, size), device
        distributed.destroy_process_group()
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in LOST):
            raise
        for rank, (process, log) in enumerate(others, 1):
            if (status := process.wait()) < 0:
                raise UserError(f"process {rank} of this run ended with status {status}: run it again") from None
            if status not in (0, EXIT_LOST):
                log.seek(0)
                sys.stderr.write(log.read().decode())
                raise SystemExit(status) from None
        raise SystemExit(EXIT_LOST) from None
    finally:
        for process, _ in others:
            process.kill()
            process.wait()


def end_when(holds: Callable[[], bool], seconds: float = 0) -> None:
    """End this process so many seconds after a condition holds, whatever it is doing."""

    def watch() -> None:
        while not holds():
            time.sleep(0.5)
        time.sleep(seconds)
        print("error: another process that this one works with has ended", file=sys.stderr, flush=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
