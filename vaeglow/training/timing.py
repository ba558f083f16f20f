"""How long training steps and samples take (paper, section 4.3 and Table 4): all models of a comparison in turns.

A step is all of it: data, dequantisation, forward, backward, clipping, optimiser; it is the trainer's own. Each model
has a process of its own (`turns`); a round is a window of each. Weights do not matter: none are trained.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from itertools import cycle
from math import ceil
from os import environ
from resource import RUSAGE_SELF, getrusage
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch import cuda

from vaeglow.data.arrays import open_split
from vaeglow.data.loader import TIMED_SAMPLES, step_generator
from vaeglow.device import CLAIM, pick_device, set_threads
from vaeglow.files import Config, Facts
from vaeglow.models.base import GenerativeModel, build
from vaeglow.models.network import full_precision
from vaeglow.progress import counted
from vaeglow.training.optimise import recompute_activations
from vaeglow.training.step import TrainingStep
from vaeglow.training.turns import worker
from vaeglow.weights import Tensors

WORK = ("training", "sampling")  # what is timed
Work = Callable[[], object]  # a step of it


def steps_to_fill(work: Work, warmup: int, seconds: float, device: torch.device) -> int:
    """Take `warmup` steps (`work` is one), and return how many fill `seconds` (at least 1), judged by the last."""
    for _ in range(warmup):
        step_seconds, _ = time_window(work, 1, device)
    return ceil(seconds / step_seconds)


def time_window(work: Work, steps: int, device: torch.device) -> tuple[float, float]:
    """Seconds that so many steps take, including a final wait for the device, and CPU seconds of this process."""
    start = perf_counter()
    cpu_start = process_time()
    for _ in range(steps):
        work()
    if device.type == "cuda":
        cuda.synchronize(device)
    return perf_counter() - start, process_time() - cpu_start


def peak_memory(device: torch.device) -> tuple[int, str]:
    """The most memory used so far, in bytes, and of what: the GPU's tensors, or on a CPU all of this process."""
    if device.type == "cuda":
        return cuda.max_memory_allocated(device), "tensors on the GPU"
    unit = 1 if sys.platform == "darwin" else 1024
    return getrusage(RUSAGE_SELF).ru_maxrss * unit, "the whole process"


@torch.no_grad()
def draw(model: GenerativeModel, batch: int, generator: torch.Generator) -> None:
    """Draw so many images at temperature 1, as evaluation does."""
    with full_precision(model):
        model.sample(batch, 1.0, generator)


def turns(config: Config, settings: Config, gpu: int | None) -> Iterator[Any]:
    """What a timing process does, a turn at a time, on the GPU that the parent has claimed: set-up, warm-ups, windows.

    Yields:
        The measurements so far (`time_in_turns`), after the first warm-up also the `losses` of its steps.
    """
    environ.pop(CLAIM, None)
    if gpu is not None:
        cuda.set_device(gpu)
    device = pick_device(settings["device"])
    set_threads(settings["threads"])
    model = build(config)
    recompute_activations(model, settings["memory"] == "checkpoint")
    step = TrainingStep(model, config, open_split(settings["data_dir"], "train"), device)
    step.initialise(step.batch)  # not 256 images: paper-size Glow takes a CPU a minute and more
    step.compile()
    upcoming = cycle(enumerate(step.epoch_batches(0)))
    sums: Tensors = {}
    totals: list[torch.Tensor] = []
    generator = step_generator(0, TIMED_SAMPLES, 0, device)

    def train() -> None:
        number, index = next(upcoming)
        step.train_step(index, number, sums)
        if len(totals) < settings["warmup_steps"]:
            totals.append(sums[step.objective])

    def sample() -> None:
        draw(model, step.batch, generator)

    measured: Facts = {}
    yield measured
    for what, work in zip(WORK, (train, sample), strict=True):
        model.train(work is train)
        steps = steps_to_fill(work, settings["warmup_steps"], settings["window_seconds"], device)
        if work is train:
            measured["batch_size"] = step.batch
            measured["peak_memory_bytes"], measured["peak_memory_of"] = peak_memory(device)
            measured["parameters"] = model.parameter_count
        yield measured | {"losses": np.diff([0.0, *(total.item() for total in totals)]).tolist()}
        measured[what] = {"steps": steps, "seconds": [], "cpu_seconds": []}
        for _ in range(settings["windows"]):
            seconds, cpu_seconds = time_window(work, steps, device)
            measured[what]["seconds"].append(seconds)
            measured[what]["cpu_seconds"].append(cpu_seconds)
            yield measured


def timing_worker(
    config: Config, settings: Config, until: float | None = None
) -> AbstractContextManager[Callable[[], Facts]]:
    """A timing process for the length of a block, see `worker`; its `turns`, on this process's GPU."""
    gpu = cuda.current_device() if settings["device"] == "cuda" else None
    return worker(f"timing {config['model']}", turns, config, settings, gpu, until=until)


def time_in_turns(configs: Sequence[Config], windows: Config, **place: Any) -> Facts:
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
            training = {**config["training"]}
            if windows["batch_size"]:
                training["batch_size"] = windows["batch_size"]
            turn = stack.enter_context(timing_worker({**config, "training": training}, windows | place))
            turn()  # one after the other: none is set up while another one warms up
            models[config["model"]] = turn
        for _ in counted(range(len(WORK) * (1 + windows["windows"])), "timing in turns, rounds"):
            measured = {model: turn() for model, turn in models.items()}
    return measured
