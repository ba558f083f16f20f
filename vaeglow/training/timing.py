"""How long a training step takes, and a sample (paper, section 4.3 and Table 4).

A step is all of it: data, dequantisation, forward, backward, clipping, optimiser; it is the trainer's own. Steps are
timed in windows after a warm-up, each window closed by a wait for the device. Weights do not matter: none are trained.
"""

from __future__ import annotations

import itertools
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from vaeglow.data.loader import batches, epoch_order, step_generator
from vaeglow.models.base import GenerativeModel
from vaeglow.models.network import exact
from vaeglow.training.loop import Trainer

TIMING = -8  # the "epoch" of the noise of timed samples


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
        one = time_window(work, 1, device)
    return max(1, math.ceil(seconds / max(one, 1e-9)))


def time_window(work: Callable[[], object], steps: int, device: torch.device) -> float:
    """Seconds that so many steps take, closed by a wait for the device."""
    start = time.perf_counter()
    for _ in range(steps):
        work()
    wait(device)
    return time.perf_counter() - start


def time_windows(
    work: Callable[[], object], warmup: int, windows: int, seconds: float, device: torch.device
) -> list[tuple[int, float]]:
    """Time repeated work in windows of equally many steps; arguments as in `steps_to_fill`.

    Returns:
        (steps, seconds) of each window.
    """
    steps = steps_to_fill(work, warmup, seconds, device)
    return [(steps, time_window(work, steps, device)) for _ in range(windows)]


def rates(timed: list[tuple[int, float]], batch: int) -> list[float]:
    """Images a second of each window."""
    return [steps * batch / seconds for steps, seconds in timed]


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def all_batches(trainer: Trainer) -> Iterator[tuple[int, Tensor]]:
    """(step, index) of the batches of epoch after epoch."""
    for epoch in itertools.count():
        order = epoch_order(len(trainer.data), trainer.seed, epoch, trainer.device)
        yield from enumerate(batches(order, trainer.batch))


def time_training(trainer: Trainer, windows: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Time whole training steps of an untrained model.

    Args:
        trainer: fresh; it is left with a few steps taken.
        windows: `warmup_steps`, `windows` and `window_seconds`.
    """
    trainer.initialise(trainer.batch)  # not 256 images: at the paper's sizes that takes a CPU a minute and more
    trainer.compile()
    upcoming, sums = all_batches(trainer), {}

    def work() -> None:
        step, index = next(upcoming)
        trainer.train_step(index, step, sums)

    return time_windows(work, windows["warmup_steps"], windows["windows"], windows["window_seconds"], trainer.device)


@torch.no_grad()
def time_sampling(
    model: GenerativeModel, batch: int, windows: Mapping[str, Any], device: torch.device
) -> list[tuple[int, float]]:
    """Time the drawing of `batch` images at temperature 1; arguments as in `time_training`."""
    model.eval()
    generator = step_generator(0, TIMING, 0, device)

    def work() -> None:
        model.sample(batch, 1.0, generator)

    with exact(model):
        return time_windows(work, windows["warmup_steps"], windows["windows"], windows["window_seconds"], device)


def peak_memory(device: torch.device) -> tuple[int, str]:
    """The most memory used so far, in bytes, and of what: the GPU's tensors, or on a CPU all of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), "tensors on the GPU"
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "the whole process"


def measure(trainer: Trainer, windows: Mapping[str, Any], epoch_images: int) -> dict[str, Any]:
    """All that timing.json says of a model's speed.

    Args:
        trainer: fresh.
        windows: see `time_training`.
        epoch_images: the images of the epoch that times are scaled to.
    """
    device, batch = trainer.device, trainer.batch
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    training = time_training(trainer, windows)
    memory, memory_of = peak_memory(device)
    sampling = time_sampling(trainer.model, batch, windows, device)
    seconds = [1 / rate for rate in rates(training, batch)]
    return {
        "batch_size": batch,
        "windows": len(training),
        "steps_per_window": [steps for steps, _ in training],
        "window_seconds_per_image": seconds,
        "images_per_second": spread(rates(training, batch)),
        "epoch_images": epoch_images,
        "seconds_per_epoch": spread([epoch_images * one for one in seconds]),
        "compile_seconds": trainer.position.compile_seconds,  # not in the windows
        "peak_memory_bytes": memory,
        "peak_memory_of": memory_of,
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "sampling": {"images_per_second": spread(rates(sampling, batch)), "batch_size": batch},
    }
