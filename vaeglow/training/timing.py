"""How long training steps and samples take (paper, section 4.3 and Table 4): all models of a comparison in turns.

A step is all of it: data, dequantisation, forward, backward, clipping, optimiser; it is the trainer's own. Each model
has a process of its own, so that memory and CPU time are its own, and one works at a time: a round is a window of each
(A B C, A B C), so that changing machine load affects all alike. Weights do not matter: none are trained.
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
from vaeglow.device import CLAIM, pick_device, set_threads
from vaeglow.distributed import end_when
from vaeglow.errors import UserError
from vaeglow.models.base import GenerativeModel
from vaeglow.models.kinds import build
from vaeglow.models.network import exact
from vaeglow.training.optimise import set_memory
from vaeglow.training.trainer import Trainer

KINDS = ("training", "sampling")  # of work


def wait(device: torch.device) -> None:
    """Wait until all work on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def steps_to_fill(work: Callable[[], object], warmup: int, seconds: float, device: torch.device) -> int:
    """Take `warmup` steps (`work` is one), and return how many fill the given seconds (at least 1), by the last."""
    for _ in range(warmup):
        wait(device)
        one, _ = time_window(work, 1, device)
    return max(1, math.ceil(seconds / max(one, 1e-9)))


def time_window(work: Callable[[], object], steps: int, device: torch.device) -> tuple[float, float]:
    """Seconds that so many steps take, including a final wait for the device, and CPU seconds of this process."""
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


HERE: dict[str, Any] = {}  # in a timing process: its trainer, and a step of each of `KINDS`


def prepare(
    parent: int,
    gpu: int | None,
    threads: int,
    device: torch.device,
    config: Mapping[str, Any],
    data_dir: str,
    memory: str,
) -> None:
    """In a new timing process: set it up, on the GPU that the parent has claimed, and make its untrained model."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # handled by the parent
    end_when(lambda: os.getppid() != parent)
    os.environ.pop(CLAIM, None)
    if gpu is not None:
        torch.cuda.set_device(gpu)
    pick_device(device.type)
    set_threads(threads)
    model = build(config)
    set_memory(model, memory)
    trainer = Trainer(model, config, open_split(data_dir, "train"), open_split(data_dir, "val"), device)
    trainer.initialise(trainer.batch)  # not 256 images: paper-size Glow takes a CPU a minute and more
    trainer.compile()
    upcoming, sums, generator = all_batches(trainer), {}, step_generator(0, TIMED_SAMPLES, 0, device)

    def train() -> None:
        step, index = next(upcoming)
        trainer.train_step(index, step, sums)

    HERE.update(trainer=trainer, training=train, sampling=lambda: draw(model, trainer.batch, generator))


def warm_up(what: str, warmup: int, seconds: float) -> tuple[int, dict[str, Any]]:
    """In a timing process: `steps_to_fill` of one of `KINDS`, and the model's other values in timing.json."""
    trainer: Trainer = HERE["trainer"]
    trainer.model.train(what == "training")
    steps = steps_to_fill(HERE[what], warmup, seconds, trainer.device)
    memory, memory_of = peak_memory(trainer.device)
    return steps, {
        "batch_size": trainer.batch,
        "compile_seconds": trainer.position.compile_seconds,  # not in the windows
        "peak_memory_bytes": memory,
        "peak_memory_of": memory_of,
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
    }


def window(what: str, steps: int) -> tuple[float, float]:
    """In a timing process: `time_window` of one of `KINDS`."""
    return time_window(HERE[what], steps, HERE["trainer"].device)


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
        Model -> the values of `warm_up` after training and, for each of `KINDS`, `steps` of a window, its `seconds`
        and `cpu_seconds` [rounds].

    Raises:
        UserError: a process was killed.
    """
    spawn = multiprocessing.get_context("spawn")
    place = (os.getpid(), torch.cuda.current_device() if device.type == "cuda" else None, threads, device)
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        pools = {config["model"]: stack.enter_context(ProcessPoolExecutor(1, spawn)) for config in configs}
        stack.callback(lambda: [process.kill() for process in multiprocessing.active_children()])

        def ask(model: str, function: Callable[..., Any], *arguments: Any) -> Any:
            try:
                return pools[model].submit(function, *arguments).result()
            except BrokenProcessPool:
                reason = "was killed, probably out of memory: lower timing.*.batch_size"
                raise UserError(f"the process that timed {model} {reason}") from None

        for config in configs:
            batch = windows["batch_size"] or config["training"]["batch_size"]
            changed = {**config, "training": {**config["training"], "batch_size": batch, "snapshots": []}}
            ask(config["model"], prepare, *place, changed, data_dir, memory)
        for what in KINDS:
            warm = {m: ask(m, warm_up, what, windows["warmup_steps"], windows["window_seconds"]) for m in pools}
            rounds = [[ask(m, window, what, warm[m][0]) for m in pools] for _ in range(windows["windows"])]
            for model, timed in zip(pools, zip(*rounds, strict=True), strict=True):
                seconds, cpu_seconds = zip(*timed, strict=True)
                steps, facts = warm[model]
                one = {"steps": steps, "seconds": seconds, "cpu_seconds": cpu_seconds}
                found[model] = {**found.get(model, facts), what: one}
    return found
