"""Several processes that train one run, one on each device (`training.devices`).

On one machine the step starts them by torchrun's machinery, over several nodes torchrun does (docs/several-gpus.md).
The first writes and prints for all. Each draws the noise of the whole batch and uses the
part of its own images, so results do not depend on how many processes there are.
"""

import ctypes
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from vaeglow.device import CLAIM, TERMINAL, pick_device
from vaeglow.errors import STOP, Interrupted, UserError

LOST = ("gloo", "nccl", "connection", "broken pipe")  # in the error of an exchange with a process that has ended
EXIT_LOST = 76  # status of a process that ends because of that
PATIENCE = 600  # seconds that processes have to save after a signal: a step, a validation
PR_SET_PDEATHSIG = 1  # of Linux's prctl: which signal a process gets when its parent ends


@dataclass(frozen=True)
class Group:
    """The processes that train a run; this one is number `rank`, and the one that writes if it is the `first`."""

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


def launch(devices: int) -> None:
    """Run this process's own command in `devices` processes. If one fails, end with its error line and its status.

    Raises:
        UserError: one of them was killed, or failed without a line of its own.
        Interrupted: told to stop when they had nothing to save.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable()  # torchrun's messages when a process ends
    if TERMINAL in os.environ:  # others inherit the standard descriptors only
        os.dup2(int(os.environ[TERMINAL]), 0)
        os.environ[TERMINAL] = "0"
    heard = ",".join(number.name for number in (*STOP, signal.SIGINT) if signal.getsignal(number) != signal.SIG_IGN)
    with tempfile.TemporaryDirectory() as folder:
        how = {"run_id": "vaeglow", "rdzv_backend": "c10d", "rdzv_endpoint": "127.0.0.1:0", "local_addr": "127.0.0.1"}
        how |= {"signals_to_handle": heard, "shutdown_timeout": PATIENCE, "logs_specs": DefaultLogsSpecs(folder)}
        config = LaunchConfig(1, 1, devices, max_restarts=0, **how)
        try:
            elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
        except (ChildFailedError, SignalException) as error:
            for file in sorted(Path(folder).rglob("error.json")):
                said = json.loads(file.read_text(encoding="utf-8"))
                print(said["message"], file=sys.stderr)
                raise SystemExit(said["status"]) from None
            if isinstance(error, SignalException):
                raise Interrupted(f"{error.sigval.name}: run the same command again") from None
            later = (EXIT_LOST, -signal.SIGTERM)  # how the others end, once one has failed
            rank, failure = min(error.failures.items(), key=lambda item: item[1].exitcode in later)
            raise UserError(f"process {rank} of this run ended with status {failure.exitcode}: run it again") from None


@contextmanager
def joined(devices: int, name: str) -> Iterator[tuple[Group, torch.device]]:
    """The processes of a run for the length of a block, and this one's device (`name`: see `pick_device`).

    Raises:
        UserError: another number than `devices` was started, or there are too few GPUs.
        SystemExit: another process has ended.
    """
    rank, size, local = (int(os.environ.get(*each)) for each in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    if size != devices:
        raise UserError(f"{devices} devices are configured, but {size} processes were started: start as many")
    if name != "cpu" and 0 < (count := torch.cuda.device_count()) <= local:  # first: `pick_device` may take that GPU
        raise UserError(f"torch sees {count} GPUs, too few for {devices} processes: lower training.devices")
    device = pick_device(name)
    if size == 1:
        yield ALONE, device
        return
    with suppress(AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if rank > 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if device.type == "cuda":
        if os.environ.get(CLAIM) != "1":  # else `pick_device` has chosen
            torch.cuda.set_device(local)
        device = torch.device("cuda", torch.cuda.current_device())
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        yield Group(rank, size), device
        distributed.destroy_process_group()
    except RuntimeError as error:
        if any(words in str(error).lower() for words in LOST):
            raise SystemExit(EXIT_LOST) from None
        raise
