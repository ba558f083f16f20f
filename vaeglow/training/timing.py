"""How long training steps and samples take (paper, section 4.3 and Table 4): all models of a comparison in turns.

A step is all of it: data, dequantisation, forward, backward, clipping, optimiser; it is the trainer's own. Each model
has a process of its own, so that memory and CPU time are its own, and one works at a time: a round is a window of each
(A B C, A B C), so that changing machine load affects all alike. Weights do not matter: none are trained.
"""

import itertools
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from vaeglow.data.arrays import open_split
from vaeglow.data.loader import TIMED_SAMPLES, batches, epoch_order, step_generator
from vaeglow.device import CLAIM, pick_device, set_threads
from vaeglow.errors import UserError
from vaeglow.models.base import GenerativeModel, build
from vaeglow.models.network import exact
from vaeglow.training.optimise import set_memory
from vaeglow.training.step import TrainingStep

WORK = ("training", "sampling")  # what is timed


def steps_to_fill(work: Callable[[], object], warmup: int, seconds: float, device: torch.device) -> int:
    """Take `warmup` steps (`work` is one), and return how many fill `seconds` (at least 1), judged by the last."""
    for _ in range(warmup):
        one, _ = time_window(work, 1, device)
    return max(1, math.ceil(seconds / max(one, 1e-9)))


def time_window(work: Callable[[], object], steps: int, device: torch.device) -> tuple[float, float]:
    """Seconds that so many steps take, including a final wait for the device, and CPU seconds of this process."""
    start, cpu_start = time.perf_counter(), time.process_time()
    for _ in range(steps):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
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


def turns(config: Mapping[str, Any], windows: Mapping[str, Any], gpu: int | None, **place: Any) -> Iterator[Any]:
    """What a timing process does, a turn at a time, on the GPU that the parent has claimed: set-up, warm-ups, windows.

    Yields:
        What it has found so far (`time_in_turns`), after the first warm-up also the `losses` of its steps.
    """
    os.environ.pop(CLAIM, None)
    if gpu is not None:
        torch.cuda.set_device(gpu)
    device = pick_device(place["device"])
    set_threads(place["threads"])
    model = build(config)
    set_memory(model, place["memory"])
    step = TrainingStep(model, config, open_split(place["data_dir"], "train"), device)
    step.initialise(step.batch)  # not 256 images: paper-size Glow takes a CPU a minute and more
    step.compile()
    order = epoch_order(len(step.data), step.seed, 0, device)
    upcoming, sums, totals = itertools.cycle(enumerate(batches(order, step.batch))), {}, []
    generator = step_generator(0, TIMED_SAMPLES, 0, device)

    def train() -> None:
        number, index = next(upcoming)
        step.train_step(index, number, sums)
        if len(totals) < windows["warmup_steps"]:
            totals.append(sums[step.objective])

    found: dict[str, Any] = {}
    yield found
    for what, work in zip(WORK, (train, lambda: draw(model, step.batch, generator)), strict=True):
        model.train(work is train)
        steps = steps_to_fill(work, windows["warmup_steps"], windows["window_seconds"], device)
        if work is train:
            used, used_by = peak_memory(device)
            found |= {"batch_size": step.batch, "peak_memory_bytes": used, "peak_memory_of": used_by}
            found["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        yield found | {"losses": np.diff([0.0, *(total.item() for total in totals)]).tolist()}
        found[what] = {"steps": steps, "seconds": [], "cpu_seconds": []}
        for _ in range(windows["windows"]):
            seconds, cpu_seconds = time_window(work, steps, device)
            found[what]["seconds"].append(seconds)
            found[what]["cpu_seconds"].append(cpu_seconds)
            yield found


def serve(pipe: Connection, config: Mapping[str, Any], place: Mapping[str, Any]) -> None:
    """In a timing process: one of its `turns`, or what it raises, for each message, as long as the parent lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # handled by the parent
    found = turns(config, **place)
    with suppress(EOFError, OSError):
        while pipe.recv():
            try:
                pipe.send(next(found))
            except Exception as error:
                error.add_note(traceback.format_exc())
                pipe.send(error)


@contextmanager
def worker(config: Mapping[str, Any], until: float = math.inf, **place: Any) -> Iterator[Callable[[], dict[str, Any]]]:
    """A timing process for the length of a block; yields `turn()`: the next of its `turns`, or what that raises.

    A turn raises UserError where the process was killed, or is not done by `until` (of `time.monotonic`).
    """
    spawn = multiprocessing.get_context("spawn")
    place |= {"gpu": torch.cuda.current_device() if place["device"] == "cuda" else None}
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs, config, place), daemon=True)  # ends with this one
    process.start()
    theirs.close()

    def turn() -> dict[str, Any]:
        try:
            ours.send(True)
            seconds = None if until == math.inf else max(0, until - time.monotonic())
            answer = ours.recv() if ours.poll(seconds) else UserError("not done in the time there was")
        except (EOFError, OSError):
            answer = UserError(f"timing {config['model']}: killed, probably out of memory: lower its batch size")
        if isinstance(answer, Exception):
            raise answer
        return answer

    try:
        yield turn
    finally:
        process.kill()
        process.join()


def time_in_turns(configs: Sequence[Mapping[str, Any]], windows: Mapping[str, Any], **place: Any) -> dict[str, Any]:
    """Time training steps of all models in turns, then sampling.

    Args:
        configs: of the models, resolved.
        windows: the config's `timing` for this kind of device.
        place: the step's `data_dir`, `device`, `memory` and `threads`.

    Returns:
        Model -> its facts after training's warm-up and, for each of `WORK`, `steps` of a window, its `seconds` and
        `cpu_seconds` [rounds].

    Raises:
        UserError: a process was killed.
    """
    with ExitStack() as stack:
        models = {}
        for config in configs:
            batch = windows["batch_size"] or config["training"]["batch_size"]
            changed = {**config, "training": {**config["training"], "batch_size": batch, "snapshots": []}}
            models[config["model"]] = stack.enter_context(worker(changed, windows=windows, **place))
            models[config["model"]]()
        for _ in range(len(WORK) * (1 + windows["windows"])):
            found = {model: turn() for model, turn in models.items()}
    return found
