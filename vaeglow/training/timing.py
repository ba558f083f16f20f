"""How long training steps and samples take (paper, section 4.3 and Table 4): all models of a comparison in turns.

A step is all of it: data, dequantisation, forward, backward, clipping, optimiser; it is the trainer's own. Each model
waits in a process of its own, so that memory and CPU time are its own, and one works at a time: a round is a window of
each (A B C, A B C), so that load that comes and goes meets all alike. Weights do not matter: none are trained.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from vaeglow import gpus
from vaeglow.data.arrays import open_split
from vaeglow.data.loader import TIMED_SAMPLES, batches, epoch_order, step_generator
from vaeglow.device import pick_device, set_threads
from vaeglow.distributed import end_with_parent
from vaeglow.errors import UserError
from vaeglow.models.base import GenerativeModel
from vaeglow.models.kinds import build
from vaeglow.models.network import exact
from vaeglow.training.speed import set_memory
from vaeglow.training.trainer import Trainer

KINDS = ("training", "sampling")  # of work


def wait(device: torch.device) -> None:
    """Until all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def steps_to_fill(work: Callable[[], object], warmup: int, seconds: float, device: torch.device) -> int:
    """Warm up, and say how many steps a window takes.

    Args:
        work: one step.
        warmup: steps taken, at least 1; the last is timed.
        seconds: a window's least length, by that estimate.
        device: waited for before and after each step.

    Returns:
        At least 1.
    """
    for _ in range(warmup):
        wait(device)
        one, _ = time_window(work, 1, device)
    return max(1, math.ceil(seconds / max(one, 1e-9)))


def time_window(work: Callable[[], object], steps: int, device: torch.device) -> tuple[float, float]:
    """Seconds that so many steps take, closed by a wait for the device, and CPU seconds of this process meanwhile."""
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in range(steps):
        work()
    wait(device)
    return time.perf_counter() - start, time.process_time() - cpu_start


def all_batches(trainer: Trainer) -> Iterator[tuple[int, Tensor]]:
    """(step, index) of the batches of epoch after epoch."""
    for epoch in itertools.count():
        order = epoch_order(len(trainer.data), trainer.seed, epoch, trainer.device)
        yield from enumerate(batches(order, trainer.batch))


def peak_memory(device: torch.device) -> tuple[int, str]:
    """The most memory used so far, in bytes, and of what: the GPU's tensors, or on a CPU all of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "tensors on the GPU"
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "the whole process"


@torch.no_grad()
def draw(model: GenerativeModel, batch: int, generator: torch.Generator) -> None:
    """Draw so many images at temperature 1, as evaluation does."""
    with exact(model):
        model.sample(batch, 1.0, generator)


class Timed:
    """An untrained model and the steps that are timed of it.

    Args:
        config: its resolved config, with the batch size that is timed.
        data_dir: folder of the prepared dataset.
        device: where to compute.
        memory: see `set_memory`.
    """

    def __init__(self, config: Mapping[str, Any], data_dir: str, device: torch.device, memory: str) -> None:
        self.device = device
        train, val = (open_split(data_dir, split) for split in ("train", "val"))
        model = build(config)
        set_memory(model, memory)
        self.trainer = Trainer(model, config, train, val, device)
        self.trainer.initialise(self.trainer.batch)  # not 256 images: paper-size Glow takes a CPU a minute and more
        self.trainer.compile()
        self.upcoming, self.sums = all_batches(self.trainer), {}
        self.generator = step_generator(0, TIMED_SAMPLES, 0, device)

    def training(self) -> None:
        """One training step."""
        step, index = next(self.upcoming)
        self.trainer.train_step(index, step, self.sums)

    def sampling(self) -> None:
        """Draw a batch."""
        draw(self.trainer.model, self.trainer.batch, self.generator)

    def warm_up(self, what: str, warmup: int, seconds: float) -> int:
        """`steps_to_fill` of one of `KINDS`; training comes first."""
        self.trainer.model.train(what == "training")
        return steps_to_fill(getattr(self, what), warmup, seconds, self.device)

    def window(self, what: str, steps: int) -> tuple[float, float]:
        """`time_window` of one of `KINDS`."""
        return time_window(getattr(self, what), steps, self.device)

    def facts(self) -> dict[str, Any]:
        """What else timing.json says of the model."""
        memory, memory_of = peak_memory(self.device)
        return {
            "batch_size": self.trainer.batch,
            "compile_seconds": self.trainer.position.compile_seconds,  # not in the windows
            "peak_memory_bytes": memory,
            "peak_memory_of": memory_of,
            "parameters": sum(parameter.numel() for parameter in self.trainer.model.parameters()),
        }


class Process:
    """A `Timed` in a process of its own, which works only while it is asked to; its arguments, and CPU threads."""

    def __init__(
        self, config: Mapping[str, Any], data_dir: str, device: torch.device, threads: int, memory: str
    ) -> None:
        self.name = config["model"]
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        gpu = torch.cuda.current_device() if device.type == "cuda" else None
        arguments = (theirs, config, data_dir, device.type, gpu, threads, memory)
        self.process = spawn.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()  # else nobody would notice its end

    def ask(self, name: str, *arguments: Any) -> Any:
        """Call a method of its `Timed`, which the first call makes.

        Raises:
            UserError: the process was killed.
            Exception: whatever the method raised.
        """
        try:
            self.pipe.send((name, arguments))
            found = self.pipe.recv()
        except (EOFError, OSError):
            raise UserError(
                f"the process that timed {self.name} was killed, perhaps for want of memory: lower timing.*.batch_size"
            ) from None
        if isinstance(found, Exception):
            raise found
        return found

    def end(self) -> None:
        """End it, whatever it is doing."""
        self.process.kill()
        self.process.join()


def serve(
    pipe: Connection, config: Mapping[str, Any], data_dir: str, device: str, gpu: int | None, threads: int, memory: str
) -> None:
    """Answer a `Process`; `gpu` is the one that the parent has claimed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    end_with_parent(os.getppid())
    os.environ.pop(gpus.CLAIM, None)
    if gpu is not None:
        torch.cuda.set_device(gpu)
    set_threads(threads)
    timed = None
    while True:
        name, arguments = pipe.recv()
        try:
            timed = timed or Timed(config, data_dir, pick_device(device), memory)
            pipe.send(getattr(timed, name)(*arguments))
        except Exception as error:  # the parent's to handle
            pipe.send(error)


def time_in_turns(
    configs: Sequence[Mapping[str, Any]],
    data_dir: str,
    device: torch.device,
    threads: int,
    memory: str,
    windows: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Time training steps of all models in turns, then sampling.

    Args:
        configs: of the models, resolved.
        data_dir: folder of the prepared dataset.
        device: where to compute.
        threads: CPU threads of each process.
        memory: see `set_memory`.
        windows: the config's `timing` for this kind of device.

    Returns:
        Model -> `Timed.facts` and, for each of `KINDS`, `steps` of a window, its `seconds` and `cpu_seconds` [rounds].

    Raises:
        UserError: a process was killed.
    """
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        processes = []
        for config in configs:
            batch = windows["batch_size"] or config["training"]["batch_size"]
            config = {**config, "training": {**config["training"], "batch_size": batch, "snapshots": []}}
            processes.append(Process(config, data_dir, device, threads, memory))
            stack.callback(processes[-1].end)
        for what in KINDS:
            steps = {}
            for one in processes:
                steps[one] = one.ask("warm_up", what, windows["warmup_steps"], windows["window_seconds"])
                if what == "training":
                    found[one.name] = one.ask("facts")
            rounds = [[one.ask("window", what, steps[one]) for one in processes] for _ in range(windows["windows"])]
            for one, timed in zip(processes, zip(*rounds, strict=True), strict=True):
                seconds, cpu_seconds = zip(*timed, strict=True)
                found[one.name][what] = {"steps": steps[one], "seconds": seconds, "cpu_seconds": cpu_seconds}
    return found
