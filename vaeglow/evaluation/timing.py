"""Seconds that timing.json files hold, and how many times as long one training takes as another. No torch.

Models are timed in turns, a window each in a round. Changing machine load affects adjacent windows alike, so a ratio is
of two windows of one round. It is a ratio of CPU seconds on a CPU, which leave out what other processes take, and of
seconds on the clock on a GPU. Other processes also slow a CPU's caches, and threads that wait for each other use CPU
time: rounds then disagree. So a ratio is by all timings of the same networks, whatever they say: by `ratios`.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy import ndarray

from vaeglow.config import phases
from vaeglow.paths import with_timings
from vaeglow.results import Result, read_result

CLOCKS = {"seconds": "seconds on the clock", "cpu_seconds": "CPU seconds"}
DISAGREE = 1.5  # a larger factor between the ratios of two rounds comes from a busy machine
SETTINGS = ("device", "threads", "memory", "config_sha256", "batch_size")  # of a timing and of its models
Epochs = Mapping[str, int]  # of each model
Ratios = Mapping[str, ndarray]  # when a timing began -> a ratio of times in each of its rounds


def log_ratios(ratios: Ratios) -> ndarray:
    """What intervals are over: the mean log ratio of each timing; of one alone the log ratio of each round."""
    logs = [np.log(rounds) for rounds in ratios.values()]
    if len(logs) <= 1:
        return np.ravel(logs)
    return np.array([rounds.mean() for rounds in logs])


def clock_of(device_kind: str) -> str:
    """Which of `CLOCKS` ratios are of."""
    return "cpu_seconds" if device_kind == "cpu" else "seconds"


def clock_words(timing: Result) -> str:
    """The same in words, of a timing.json."""
    return CLOCKS[clock_of(timing.value("device_kind"))]


def seconds_an_image(timing: Result, models: Iterable[str], clock: str = "seconds", what: str = "training") -> ndarray:
    """Seconds an image, the mean over models, in each round of a timing.json: [rounds].

    `clock` is one of `CLOCKS`, `what` is `training` or `sampling`.
    """
    times = []
    for model in models:
        measured = timing.value("models", model)
        times.append(timing.numbers("models", model, what, clock) / measured[what]["steps"] / measured["batch_size"])
    return np.mean(times, axis=0)


def seconds_of(timing: Result, epochs: Epochs) -> ndarray:
    """Seconds that so many epochs of models take for an image, in each round: [rounds]."""
    clock = clock_of(timing.value("device_kind"))
    return sum(count * seconds_an_image(timing, [model], clock) for model, count in epochs.items())


def settings(timing: Result, models: Iterable[str]) -> list:
    """What ratios of these models depend on."""
    parts = [timing.content, *(timing.content["models"].get(model, {}) for model in models)]
    return [part.get(key) for part in parts for key in SETTINGS]


def ratios(timing: Result, over: Epochs, under: Epochs) -> tuple[Ratios, list[str]]:
    """How many times as long the epochs `over` take as the epochs `under`.

    All timings kept beside a timing.json count that agree with it in the `settings` of these models. Of the others
    when they began is returned, too.
    """
    models = [*over, *under]
    by_start = {}
    others = []
    kept = [read_result(path) for path in with_timings(timing.path)]
    for other in kept:
        start = other.value("provenance", "started")
        if settings(other, models) == settings(kept[-1], models):
            by_start[start] = seconds_of(other, over) / seconds_of(other, under)
        else:
            others.append(start)
    return by_start, others


def epochs_of(config: Result) -> Epochs:
    """The epochs of each phase of a run, by its config.json."""
    return {phase["model"]: phase["training"]["epochs"] for phase in phases(config.content)}


def training_time(config: Result, training: Result, timing: Result) -> tuple[float, float]:
    """Seconds of the phases before a run's own, and of an epoch of its own, by the timing.json of its dataset.

    As steps take that are timed in turns: those of the run do not compare, other jobs on its machine can double them.
    """
    *before, own = np.array(
        [np.median(seconds_of(timing, {model: count})) for model, count in epochs_of(config).items()]
    ) * training.value("train_images")
    return float(sum(before)), float(own / config.value("training", "epochs"))
