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
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from vaeglow.data.arrays import open_split
from vaeglow.data.loader import TIMED_SAMPLES, batches, epoch_order, step_generator
from vaeglow.device import pick_device, set_threads
from vaeglow.distributed import end_when
from vaeglow.errors import UserError
from vaeglow.locks import CLAIM
from vaeglow.models.base import GenerativeModel
from vaeglow.models.kinds import build
from vaeglow.models.network import exact
from vaeglow.training.optimise import set_memory
from vaeglow.training.trainer import Trainer

KINDS = ("training", "sampling")  # of work


def wait(device: torch.device) -> None:
    """Until all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def steps_to_fill(work: Callable[[], object], warmup: int, seconds: float, device: torch.device) -> int:
    """Take `warmup` steps (`work` is one), and say how many more take so many seconds, by the last: at least 1."""
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
    """An untrained model and the steps that are timed of it; a timing process holds one, `Timed.own`.

    Args:
        config: its resolved config, with the batch size that is timed.
        data_dir: folder of the prepared dataset.
        device: where to compute.
        memory: see `set_memory`.
    """

    own: Timed

    def __init__(self, config: Mapping[str, Any], data_dir: str, device: torch.device, memory: str) -> None:
        model = build(config)
        set_memory(model, memory)
        self.trainer = Trainer(model, config, open_split(data_dir, "train"), open_split(data_dir, "val"), device)
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
        return steps_to_fill(getattr(self, what), warmup, seconds, self.trainer.device)

    def window(self, what: str, steps: int) -> tuple[float, float]:
        """`time_window` of one of `KINDS`."""
        return time_window(getattr(self, what), steps, self.trainer.device)

    def facts(self) -> dict[str, Any]:
        """What else timing.json says of the model."""
        memory, memory_of = peak_memory(self.trainer.device)
        return {
            "batch_size": self.trainer.batch,
            "compile_seconds": self.trainer.position.compile_seconds,  # not in the windows
            "peak_memory_bytes": memory,
            "peak_memory_of": memory_of,
            "parameters": sum(parameter.numel() for parameter in self.trainer.model.parameters()),
        }


def start_process(parent: int, device: str, gpu: int | None, threads: int) -> None:
    """In a timing process: set it up; `gpu` is the one that the parent has claimed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    end_when(lambda: os.getppid() != parent)
    os.environ.pop(CLAIM, None)
    if gpu is not None:
        torch.cuda.set_device(gpu)
    pick_device(device)
    set_threads(threads)


def call(name: str, *arguments: Any) -> Any:
    """In a timing process: make its `Timed`, or call a method of it."""
    if name == "make":
        Timed.own = Timed(*arguments)
        return None
    return getattr(Timed.own, name)(*arguments)


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
    spawn = multiprocessing.get_context("spawn")
    gpu = torch.cuda.current_device() if device.type == "cuda" else None
    about = (os.getpid(), device.type, gpu, threads)
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        pools = {}
        for config in configs:
            pools[config["model"]] = stack.enter_context(ProcessPoolExecutor(1, spawn, start_process, about))
        stack.callback(lambda: [process.kill() for process in multiprocessing.active_children()])

        def ask(model: str, *arguments: Any) -> Any:
            try:
                return pools[model].submit(call, *arguments).result()
            except BrokenProcessPool:
                reason = "was killed, perhaps for want of memory: lower timing.*.batch_size"
                raise UserError(f"the process that timed {model} {reason}") from None

        for config in configs:
            batch = windows["batch_size"] or config["training"]["batch_size"]
            changed = {**config, "training": {**config["training"], "batch_size": batch, "snapshots": []}}
            ask(config["model"], "make", changed, data_dir, device, memory)
        for what in KINDS:
            steps = {}
            for model in pools:
                steps[model] = ask(model, "warm_up", what, windows["warmup_steps"], windows["window_seconds"])
                if what == "training":
                    found[model] = ask(model, "facts")
            rounds = [[ask(model, "window", what, steps[model]) for model in pools] for _ in range(windows["windows"])]
            for model, timed in zip(pools, zip(*rounds, strict=True), strict=True):
                seconds, cpu_seconds = zip(*timed, strict=True)
                found[model][what] = {"steps": steps[model], "seconds": seconds, "cpu_seconds": cpu_seconds}
    return found
