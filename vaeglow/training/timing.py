"""How long training steps and samples take (paper, section 4.3 and Table 4): all models of a comparison in turns.

A step is all of it: data, dequantisation, forward, backward, clipping, optimiser; it is the trainer's own. Each model
has a process of its own, so that memory and CPU time are its own, and one works at a time: a round is a window of each
(A B C, A B C), so that changing machine load affects all alike. Weights do not matter: none are trained.
"""

import functools
import itertools
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from vaeglow.data.arrays import open_split
from vaeglow.data.loader import TIMED_SAMPLES, batches, epoch_order, step_generator
from vaeglow.device import CLAIM, pick_device, set_threads
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


def untrained(
    config: Mapping[str, Any], gpu: int | None, **place: Any
) -> tuple[Trainer, Callable[[dict[str, Tensor]], None]]:
    """In a timing process, on the GPU that the parent has claimed: an untrained model's trainer, and its next step."""
    os.environ.pop(CLAIM, None)
    if gpu is not None:
        torch.cuda.set_device(gpu)
    device = pick_device(place["device"])
    set_threads(place["threads"])
    model = build(config)
    set_memory(model, place["memory"])
    trainer = Trainer(model, config, *(open_split(place["data_dir"], split) for split in ("train", "val")), device)
    trainer.initialise(trainer.batch)  # not 256 images: paper-size Glow takes a CPU a minute and more
    trainer.compile()
    order = epoch_order(len(trainer.data), trainer.seed, 0, device)
    upcoming = itertools.cycle(enumerate(batches(order, trainer.batch)))

    def train(sums: dict[str, Tensor]) -> None:
        step, index = next(upcoming)
        trainer.train_step(index, step, sums)

    return trainer, train


def turns(config: Mapping[str, Any], windows: Mapping[str, Any], **place: Any) -> Iterator[Any]:
    """What a timing process does, a turn at a time.

    Yields:
        None, once the untrained model is made; then for each of `KINDS`, after a warm-up, the steps in a window and the
        model's other values in timing.json, and `time_window` of each window.
    """
    trainer, step = untrained(config, **place)
    model, device, train = trainer.model, trainer.device, functools.partial(step, {})
    generator = step_generator(0, TIMED_SAMPLES, 0, device)
    yield None
    for work in (train, lambda: draw(model, trainer.batch, generator)):
        model.train(work is train)
        steps = steps_to_fill(work, windows["warmup_steps"], windows["window_seconds"], device)
        used, used_by = peak_memory(device)
        facts = {"batch_size": trainer.batch, "compile_seconds": trainer.position.compile_seconds}  # not in the windows
        facts |= {"peak_memory_bytes": used, "peak_memory_of": used_by}
        yield steps, facts | {"parameters": sum(parameter.numel() for parameter in model.parameters())}
        for _ in range(windows["windows"]):
            yield time_window(work, steps, device)


def serve(
    pipe: Connection, turns: Callable[..., Iterator[Any]], config: Mapping[str, Any], place: Mapping[str, Any]
) -> None:
    """In a timing process: one of its `turns`, or what it raises, for each message, as long as the parent lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # handled by the parent
    found = turns(config, **place)
    with suppress(EOFError, OSError):
        while pipe.recv():
            try:
                pipe.send(next(found))
            except Exception as error:
                pipe.send(error)


def time_in_turns(configs: Sequence[Mapping[str, Any]], windows: Mapping[str, Any], **place: Any) -> dict[str, Any]:
    """Time training steps of all models in turns, then sampling.

    Args:
        configs: of the models, resolved.
        windows: the config's `timing` for this kind of device.
        place: the step's `data_dir`, `device`, `memory` and `threads`.

    Returns:
        Model -> the values of `turns` after training's warm-up and, for each of `KINDS`, `steps` of a window, its
        `seconds` and `cpu_seconds` [rounds].

    Raises:
        UserError: a process was killed.
    """
    spawn, pipes, found = multiprocessing.get_context("spawn"), {}, {}
    place |= {"windows": windows, "gpu": torch.cuda.current_device() if place["device"] == "cuda" else None}

    def turn(model: str) -> Any:
        try:
            pipes[model].send(True)
            answer = pipes[model].recv()
        except (EOFError, OSError):
            reason = "was killed, probably out of memory: lower timing.*.batch_size"
            raise UserError(f"the process that timed {model} {reason}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    for config in configs:
        batch = windows["batch_size"] or config["training"]["batch_size"]
        changed = {**config, "training": {**config["training"], "batch_size": batch, "snapshots": []}}
        pipes[config["model"]], theirs = spawn.Pipe()
        spawn.Process(target=serve, args=(theirs, turns, changed, place), daemon=True).start()  # ends with this process
        theirs.close()
        turn(config["model"])
    for what in KINDS:
        warm = {model: turn(model) for model in pipes}
        rounds = [[turn(model) for model in pipes] for _ in range(windows["windows"])]
        for model, timed in zip(pipes, zip(*rounds, strict=True), strict=True):
            seconds, cpu_seconds = zip(*timed, strict=True)
            steps, facts = warm[model]
            one = {"steps": steps, "seconds": seconds, "cpu_seconds": cpu_seconds}
            found[model] = {**found.get(model, facts), what: one}
    return found
