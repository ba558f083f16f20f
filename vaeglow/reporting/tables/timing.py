"""Seconds per epoch of Glow and of our two phases, and the speed-up: Table 4.

The paper's "Ours (Avg.)" is the mean of the VAE's and the Glow layer's time per epoch, as both train for equally many
epochs (section 4.3); the speed-up is Glow's time over that.

Models are timed in turns, a window each in a round. Changing machine load affects adjacent windows alike, so a ratio is
of two windows of one round. It is a ratio of CPU seconds on a CPU, which leave out what other processes take, and of
seconds on the clock on a GPU. Other processes also slow a CPU's caches, and threads that wait for each other use CPU
time: rounds then disagree. So a ratio is by all timings of the same networks, whatever they say: by `pooled`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from vaeglow.config import phases
from vaeglow.errors import UserError
from vaeglow.paths import with_timings
from vaeglow.reporting.columns import Column, named, same, significant
from vaeglow.reporting.frame import Lines, Spec, finite_values, first, results_frame
from vaeglow.results import Result, read_result

READS = ("timing",)
SCHEMA = {
    "published": {"$ref": "#/$defs/published_name"},
    "presets": {
        "$ref": "#/$defs/models",
        "description": "the presets whose networks are timed, each row under each of them",
    },
    "rows": {"$ref": "#/$defs/plain_rows"},
}
CLOCKS = {"seconds": "seconds on the clock", "cpu_seconds": "CPU seconds"}
DISAGREE = 1.5  # a larger factor between the ratios of two rounds comes from a busy machine
SETTINGS = ("device", "threads", "memory", "config_sha256", "batch_size")  # of a timing and of its models
Pool = tuple[dict[str, np.ndarray], list[str]]  # what `pooled` returns
PHASES = {"vae": " (phase 1)", "vae_glow": ": Glow layer (phase 2)"}  # the part of ours that a row times


def clock_of(device_kind: str) -> str:
    """Which of `CLOCKS` ratios are of."""
    return "cpu_seconds" if device_kind == "cpu" else "seconds"


def rounds(result: Result, models: Sequence[str], clock: str = "seconds", what: str = "training") -> np.ndarray:
    """Seconds per image, the mean over models, in each round of a timing.json: [rounds].

    `clock` is one of `CLOCKS`, `what` is `training` or `sampling`.
    """
    each = []
    for model in models:
        one = result.value("models", model)
        each.append(finite_values(result, "models", model, what, clock) / one[what]["steps"] / one["batch_size"])
    return np.mean(each, axis=0)


def settings(timing: Result, models: Iterable[str]) -> list:
    """What ratios of these models depend on."""
    parts = [timing.content, *(timing.content["models"].get(model, {}) for model in models)]
    return [part.get(key) for part in parts for key in SETTINGS]


def time_of(timing: Result, epochs: Mapping[str, int]) -> np.ndarray:
    """Seconds that so many epochs of models take for an image, in each round: [rounds]."""
    clock = clock_of(timing.value("device_kind"))
    return np.sum([count * rounds(timing, [model], clock) for model, count in epochs.items()], axis=0)


def pooled(timing: Result, over: Mapping[str, int], under: Mapping[str, int]) -> Pool:
    """How many times as long some epochs take as others, by a timing.json and all timings kept beside it.

    Args:
        timing: the timing.json.
        over: model -> epochs.
        under: the same, of those compared with.

    Returns:
        When a timing began -> the ratio in each of its rounds; and when those began that do not count, because they
        differ from timing.json in the `settings` of these models.
    """
    found = [read_result(path) for path in with_timings(timing.path)]
    counted = {}
    others = []
    for one in found:
        start = one.value("provenance", "started")
        if settings(one, over | under) == settings(found[-1], over | under):
            counted[start] = time_of(one, over) / time_of(one, under)
        else:
            others.append(start)
    return counted, others


def log_ratios(counted: Mapping[str, np.ndarray]) -> np.ndarray:
    """What intervals are over: the mean log ratio of each timing; of one alone the log ratio of each round."""
    logs = [np.log(ratios) for ratios in counted.values()]
    return np.array([one.mean() for one in logs]) if len(logs) > 1 else np.ravel(logs)


def epochs_of(config: Result) -> dict[str, int]:
    """Model -> epochs, of each phase of a run, by its config.json."""
    return {phase["model"]: phase["training"]["epochs"] for phase in phases(config.content)}


def training_time(config: Result, training: Result, timing: Result) -> tuple[float, float]:
    """Seconds of the phases before a run's own, and of an epoch of its own, by the timing.json of its dataset.

    As steps take that are timed in turns: those of the run do not compare, other jobs on its machine can double them.
    """
    each = [np.median(time_of(timing, {model: count})) for model, count in epochs_of(config).items()]
    *before, own = np.array(each) * training.value("train_images")
    return float(sum(before)), float(own / config.value("training", "epochs"))


def timings(spec: Spec, results_root: str | Path) -> Lines:
    """The results frame of a table of times, preset by preset: a line a row, `timing` with its model's own values.

    Its column `base` names the VAE of a Glow layer.
    """
    rows = sorted(spec["rows"], key=lambda row: spec.get("presets", [spec["preset"]]).index(row["preset"]))
    frame = results_frame(rows, results_root, READS, {**spec, "seeds": [None]})
    own = [result.value("models", model) for result, model in zip(frame["timing"], frame["model"], strict=True)]
    results = [replace(one, content=one.content | of) for one, of in zip(frame["timing"], own, strict=True)]
    return frame.assign(timing=results, kind=[of["kind"] for of in own], base=[row.get("base") for row in rows])


def rows(spec: Spec, results_root: str | Path) -> Iterator[Lines]:
    """Each model's line, preset by preset; after each Glow layer the paper's "Ours (Avg.)", its mean with its VAE.

    A mean has the lines of both models and, where one was timed, Glow's, which its time is compared with.

    Raises:
        UserError: a file is missing or of something else; a Glow layer whose VAE has no row.
    """
    import pandas as pd

    for _, lines in timings(spec, results_root).groupby(["preset", "dataset"], sort=False):
        glow = lines[lines["kind"] == "glow"][:1]
        for index, model, kind, name, base in lines[["model", "kind", "label", "base"]].itertuples():
            one = lines.loc[[index]]
            yield one.assign(label=name + PHASES.get(kind, ""))
            if kind == "vae_glow":
                if (vae := lines[lines["model"] == base]).empty:
                    raise UserError(f"tables.{spec['name']}: model {model} has base {base}: give {base} a row too")
                yield pd.concat([one, vae, glow]).assign(label=f"{name}: average of both phases")


def of_row(lines: Lines, **which: str) -> np.ndarray:
    """Seconds per image of a row's model, or of the two it is the mean of: see `rounds`."""
    return rounds(first(lines, "timing"), lines["model"][:2], **which)


def epochs(lines: Lines, clock: str) -> np.ndarray | None:
    """Seconds of an epoch in each round: [rounds]; CPU seconds only where the CPU computes."""
    known = clock in ("seconds", clock_of(first(lines, "timing.device_kind")))
    return of_row(lines, clock=clock) * first(lines, "timing.epoch_images") if known else None


def speed_up(lines: Lines) -> Pool:
    """Glow's time over that of a mean: see `pooled`."""
    if len(lines) != 3:
        return {}, []
    layer, vae, glow = lines["model"]
    return pooled(first(lines, "timing"), {glow: 2}, {layer: 1, vae: 1})


def origin(lines: Lines) -> str:
    """The file, or the models of a mean."""
    path = "results/{preset}/{dataset}/timing.json".format(**lines.iloc[0])
    return path if len(lines) == 1 else f"mean of {' and '.join(lines['model'][1::-1])}"


def median(name: str, value: Callable[[Lines], np.ndarray | None], header: str) -> Column:
    """The median of the rounds, where there are any."""
    return Column(name, value, header, significant, summary="median")


def ratios(name: str, pool: Callable[[Lines], Pool], header: str) -> list[Column]:
    """The mean of the `log_ratios` of what `pooled` finds, as a ratio, and by how many timings."""
    return [
        Column(name, lambda lines: log_ratios(pool(lines)[0]), header, lambda log: significant(math.exp(log))),
        Column("timings", lambda lines: len(pool(lines)[0]) or None, "Timings"),
    ]


def alone(*columns: Column) -> list[Column]:
    """The columns, empty for a mean of two models."""
    return [replace(one, value=lambda rows, one=one: one.value(rows) if len(rows) == 1 else None) for one in columns]


# What every table of times has.
TIMED = [
    same("preset", "Networks of preset"),
    *(same("timing.epoch_images"), same("timing.device_kind"), same("timing.threads", "Threads")),
    Column("origin", origin),
    *alone(
        median("sampling_images_per_second", lambda lines: 1 / of_row(lines, what="sampling"), "Sampled images/s"),
        same("timing.batch_size", "Batch", name="sampling_batch_size"),
        same("timing.parameters", "Parameters"),
    ),
]
COLUMNS = named(
    """
    model seconds_per_epoch seconds_per_epoch_low seconds_per_epoch_high cpu_seconds_per_epoch
    speed_up speed_up_low speed_up_high source dataset preset batch_size peak_memory_mib device threads
    images_per_second images_per_second_low images_per_second_high
    sampling_images_per_second sampling_images_per_second_low sampling_images_per_second_high sampling_batch_size
    epoch_images windows steps_per_window peak_memory_of parameters device_kind commit run origin
    speed_up_lower speed_up_upper timings
    """,
    *TIMED,
    median("seconds_per_epoch", partial(epochs, clock="seconds"), "s/epoch"),
    median("cpu_seconds_per_epoch", partial(epochs, clock="cpu_seconds"), "CPU s/epoch"),
    *ratios("speed_up", speed_up, "Glow / this"),
    *alone(
        median("images_per_second", lambda lines: 1 / of_row(lines), "Images/s"),
        same("timing.batch_size", "Batch"),
        same("timing.rounds", name="windows"),
        same("timing.training.steps", name="steps_per_window"),
        same("timing.peak_memory_bytes", "Peak memory (MiB)", lambda size: f"{size / 2**20:.0f}", "peak_memory_mib"),
        same("timing.peak_memory_of"),
    ),
)
SHOWN = """
    model preset seconds_per_epoch cpu_seconds_per_epoch speed_up timings images_per_second sampling_images_per_second
    batch_size peak_memory_mib parameters device threads dataset source
"""


def clocks(rows: Iterable[Mapping[str, str]]) -> str:
    """Which clocks ratios are of, for the notes."""
    found = {clock_of(row["device_kind"]) for row in rows}
    return " and ".join(words for clock, words in CLOCKS.items() if clock in found)
