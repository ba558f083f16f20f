"""Several processes that train one run, one on each device (`training.devices`), started as torchrun starts them.

On one machine a training step starts them itself (`launch`), by torchrun's own machinery; over several nodes torchrun
does (docs/cluster.md). The first process writes and speaks for all. One process alone exchanges nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from vaeglow import gpus
from vaeglow.errors import Interrupted, UserError
from vaeglow.signals import STOP, handled
from vaeglow.training.progress import TERMINAL

LAUNCHER = "VAEGLOW_LAUNCHER"  # environment of the processes that `launch` starts: its own process's number
LOST = ("gloo", "nccl", "connection", "broken pipe")  # words of an exchange that failed because another process ended


@dataclass(frozen=True)
class Group:
    """The processes that train a run, as one of them sees them."""

    rank: int = 0  # of this process
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def mean(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scalars on the device by name, averaged over the processes."""
        if self.size == 1:
            return dict(values)
        together = torch.stack([value.double() for value in values.values()])
        distributed.all_reduce(together)
        means = (together / self.size).unbind()
        return {name: mean.to(value.dtype) for (name, value), mean in zip(values.items(), means, strict=True)}

    def gather(self, value: Any = None) -> list[Any]:
        """The value of each process, in the order of ranks, known to all; it waits for all of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values


ALONE = Group()


def launch(devices: int) -> bool:
    """Run this step's own command line in `devices` processes, and pass signals on to them.

    Returns:
        Whether that was needed and is done; False in a process that trains.

    Raises:
        UserError: what the first that failed says, or that it was killed.
        Interrupted: they were told to stop.
    """
    if devices == 1 or "RANK" in os.environ:
        return False
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, start_processes

    logging.disable(logging.ERROR)  # what torch says of each process that ends
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGQUIT"  # not those that are passed on
    if TERMINAL in os.environ:  # of open files only the standard streams reach the processes
        with suppress(OSError):
            os.environ[TERMINAL] = str(os.dup2(int(os.environ[TERMINAL]), 0))
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    common |= {"WORLD_SIZE": str(devices), LAUNCHER: str(os.getpid())}
    environments = {rank: common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(devices)}
    command = dict.fromkeys(range(devices), tuple(sys.orig_argv[1:]))
    stopped = []

    def pass_on(number: int, frame: object) -> None:
        stopped.append(number)
        for process in processes.pids().values():
            with suppress(ProcessLookupError):
                os.kill(process, number)

    with tempfile.TemporaryDirectory() as folder:
        specs = DefaultLogsSpecs(log_dir=folder)
        processes = start_processes("vaeglow", sys.executable, command, environments, specs)
        with handled(pass_on, (*STOP, signal.SIGINT)):
            failures = processes.wait(period=0.1).failures.values()  # ends the others when one fails

    def order(failure: Any) -> tuple[bool, ...]:
        """Errors that a process tells (`vaeglow.steps.cli.leave`), processes that were killed, the rest."""
        told, status = "status" in failure.error_file_data, failure.exitcode
        return not (told and status == 2), bool(stopped) or status >= 0 or status == -signal.SIGTERM, not told

    for failure in sorted(failures, key=order):
        if "status" in failure.error_file_data:
            raise (UserError if failure.exitcode == 2 else Interrupted)(failure.message)
        if stopped:
            raise Interrupted(f"{signal.Signals(stopped[0]).name}: run the same command again")
        raise UserError(f"process {failure.local_rank} of this run ended with status {failure.exitcode}: run it again")
    return True


@contextmanager
def joined(devices: int, device: torch.device) -> Iterator[tuple[Group, torch.device]]:
    """The processes of this run for the length of a block, and this one's device: its own GPU, or the CPU of all.

    Raises:
        UserError: there are fewer GPUs, or torchrun started another number of processes.
        SystemExit: an exchange failed, because another process did.
    """
    rank, size, local = (int(os.environ.get(*each)) for each in (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))
    if size != devices:
        raise UserError(f"{devices} devices are asked for, but {size} processes were started: start as many")
    if size == 1:
        yield ALONE, device
        return
    if LAUNCHER in os.environ:
        end_with_parent(int(os.environ[LAUNCHER]))
    if rank > 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if device.type == "cuda":
        if local >= (count := torch.cuda.device_count()):
            raise UserError(f"torch sees {count} GPUs, too few for {devices} processes: lower training.devices")
        if os.environ.get(gpus.CLAIM) != "1":  # else `pick_device` has chosen
            torch.cuda.set_device(local)
        device = torch.device("cuda", torch.cuda.current_device())
    try:
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        yield Group(rank, size), device
    except RuntimeError as error:
        if any(words in str(error).lower() for words in LOST):
            raise SystemExit(1) from None  # that one says why
        raise
    distributed.destroy_process_group()


def end_with_parent(parent: int) -> None:
    """End this process when its parent, the process of that number, is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
