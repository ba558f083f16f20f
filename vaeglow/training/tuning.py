"""The settings of training that are fastest on this machine and keep float32's losses, by measurement (`make tune`).

An option is compared with the plain settings (float32, uncompiled, the configured threads), in turns, so that changing
machine load affects both alike. It is left out, for all models, where it fails for one, takes too long, or where a loss
of the first steps lies too far from float32's.
"""

import functools
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vaeglow.config import phases
from vaeglow.data.arrays import open_split
from vaeglow.data.loader import batch_count
from vaeglow.models.kinds import Config
from vaeglow.training.checkpoint import GOOD, NEWEST
from vaeglow.training.timing import Facts, Settings, time_window, timing_worker

# The largest relative difference of a loss from float32's, compiled or not. bf16: 1.2e-2 was seen while a loss fell by
# a third, and processors and compilers round differently.
BOUNDS = {"float32": 1e-4, "bf16": 2e-2}
FIRST = 4  # steps; later ones may differ by LATER if that is larger: rounding alone can make 2e-3 of 1e-7 (a VAE)
LATER = 1e-2
WORTH = 1.05  # so many times as fast, or nothing is changed: what is chosen changes the bits of all runs
STEPS = 20  # whose losses are compared
ROUNDS = 5  # windows that are timed
SECONDS = 1.0  # length of a window

Turn = Callable[[], Facts]  # of a timing process
Option = dict[str, Any]  # precision, compile, threads and memory as in the config; `times` the batch size
Configs = Mapping[str, Config]  # model -> its resolved config
Trials = dict[str, dict[str, Facts]]  # option -> model -> what was measured, see `compare`


def limits(device: str) -> dict[str, float]:
    """What the device's large matrix products reach, in TFLOP/s by precision, and copies of its memory, in GB/s."""
    side, count = (8192, 2**28) if device == "cuda" else (1024, 2**25)

    def shortest(work: Callable[..., object], *arguments: torch.Tensor) -> float:
        step = functools.partial(work, *arguments)
        return min(time_window(step, 1, torch.device(device))[0] for _ in range(6))

    rates = {}
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        matrix = torch.randn(side, side, device=device).to(dtype)
        rates[name] = 2 * side**3 / shortest(torch.matmul, matrix, matrix) / 1e12
    values = torch.zeros(2, count, device=device)
    rates["copies"] = 2 * 4 * count / shortest(torch.Tensor.copy_, values[0], values[1]) / 1e9
    return rates


def trial(config: Config, option: Option, device: str, data_dir: Path, **until: float) -> AbstractContextManager[Turn]:
    """A timing process of a model under an option, see `timing_worker`."""
    training = {**config["training"], "devices": 1, "snapshots": [], "validate_every": 0}
    training |= {key: option[key] for key in ("precision", "compile", "threads")}
    training["batch_size"] *= option["times"]
    windows = {"warmup_steps": STEPS, "windows": 10**9, "window_seconds": SECONDS}
    place = {"device": device, "data_dir": data_dir, "threads": option["threads"], "memory": option["memory"]}
    return timing_worker({**config, "training": training}, windows, place, **until)


def training_hours(config: Config, images: int, measured: Facts) -> float:
    """The hours of a model's training on so many images, at the speed of the last window that was `measured`."""
    steps = config["training"]["epochs"] * batch_count(images, measured["batch_size"])
    window = measured["training"]
    return window["seconds"][-1] / window["steps"] * steps / 3600


def measure_beside(
    plain_turn: Turn, turn: Turn, hours: Callable[[Any], float], exact: Sequence[float], option: Option
) -> Facts:
    """What is measured of a model under an option, see `compare`; `exact`: the losses of float32."""
    turn()
    measured = turn()
    pairs = [(hours(plain_turn()), hours(turn())) for _ in range(ROUNDS)]
    measured["beside"], measured["hours"] = np.transpose(pairs).tolist()
    if option["times"] == 1:  # else its images are others
        away = np.abs(np.divide(measured["losses"], exact) - 1)
        first = away[:FIRST].max()
        largest = away.max()
        measured["difference"] = largest.item()
        bound = BOUNDS[option["precision"]]
        if not (first <= bound and largest <= max(bound, LATER)):  # NaN is not
            measured["why"] = f"losses differ by {first:.1e} at first, by {largest:.1e} in all"
    return measured


def compare(configs: Configs, plain: Option, options: Mapping[str, Option], end: float, **place: Any) -> Trials:
    """Measure each model under each option beside the plain one, until `end` (by `time.monotonic`).

    The first model, best the slowest (Glow in our config), may take twice the share of another in the time left.

    Returns:
        Option (and `plain`) -> model -> `timing.turns` after the warm-up, the largest relative `difference` of its
        losses and, by rounds, the `hours` of its training and those `beside`, of the plain one; or `why` not.
    """
    trials: Trials = {name: {} for name in ("plain", *options)}
    for number, (model, config) in enumerate(configs.items()):
        now = time.monotonic()
        if number and now > end:
            break
        model_end = now + 2 * (end - now) / (len(configs) - number + 1)
        images = config["data"]["train_subset"] or len(open_split(place["data_dir"], "train"))
        hours = functools.partial(training_hours, config, images)
        with trial(config, plain, **place) as plain_turn:
            plain_turn()
            exact = plain_turn()
            alone = [hours(plain_turn()) for _ in range(ROUNDS)]
            trials["plain"][model] = {**exact, "difference": 0.0, "hours": alone, "beside": alone}
            for done, (name, option) in enumerate(options.items()):
                if any("why" in other for other in trials[name].values()):
                    continue
                print(f"{model}: {name}", flush=True)
                now = time.monotonic()
                until = now + (model_end - now) / (len(options) - done)
                try:
                    with trial(config, option, until=until, **place) as turn:
                        measured = measure_beside(plain_turn, turn, hours, exact["losses"], option)
                except Exception as error:  # whatever a compiler or a device may raise
                    reason = str(error).strip() or type(error).__name__
                    measured = {"why": reason.splitlines()[0]}
                trials[name][model] = measured
    return trials


def chain_hours(hours: Mapping[str, np.ndarray], config: Config) -> np.ndarray:
    """Hours of a model and its bases, one after the other."""
    return sum(hours.get(run["model"], 0) for run in phases(config))


def whole(configs: Configs, hours: Mapping[str, Sequence[float]], side_by_side: int) -> np.ndarray:
    """Hours until all models are trained, so many side by side, by rounds, from each one's; a model waits for bases."""
    each = {model: np.array(rounds) for model, rounds in hours.items()}
    chains = [chain_hours(each, configs[model]) for model in each]
    return np.maximum(sum(each.values()) / side_by_side, np.max(chains, 0))


class Search:
    """The search for the fastest valid option, the same for all of `configs`.

    Args:
        configs: of the models that are compared.
        plain: the option that all others are compared with.
        cores: on which as many models train side by side as have room.
        end: of its time, by `time.monotonic`.
        place: `device` and `data_dir`.

    Attributes:
        options, trials, gains, chosen: see `tune`.
    """

    def __init__(self, configs: Configs, plain: Option, cores: int, end: float, place: Settings) -> None:
        self.configs = configs
        self.plain = plain
        self.cores = cores
        self.end = end
        self.place = place
        self.options = {"plain": plain}
        self.trials: Trials = {}
        self.gains: dict[str, list[float]] = {}
        self.chosen = "plain"

    def measure(self, configs: Configs, options: Mapping[str, Option], share: float) -> None:
        """Measure models under options in a share of the time left; the gains of those that are valid for all."""
        now = time.monotonic()
        self.options |= options
        trials = compare(configs, self.plain, options, now + share * (self.end - now), **self.place)
        for name, models in trials.items():
            self.trials.setdefault(name, {}).update(models)
            valid = len(models) == len(configs) and not any("why" in measured for measured in models.values())
            if valid and configs is self.configs:
                before = self.all_hours(models, "beside", self.plain)
                after = self.all_hours(models, "hours", self.options[name])
                self.gains[name] = (before / after).tolist()

    def all_hours(self, models: Facts, which: str, option: Option) -> np.ndarray:
        """Hours (or those `beside`) until all models are trained under an option, by rounds."""
        hours = {model: measured[which] for model, measured in models.items()}
        return whole(self.configs, hours, max(1, self.cores // option["threads"]))

    def choose(self) -> Option:
        """The option that gains most in the median, of those that gain in every round; plain if that is too little."""
        medians = {"plain": WORTH}
        for name, rounds in self.gains.items():
            if min(rounds) > 1:
                medians[name] = np.median(rounds)
        self.chosen = max(medians, key=medians.__getitem__)
        return self.options[self.chosen]


def tune(configs: Configs, others: Configs, cores: int, memory: str, minutes: float, **place: Any) -> Facts:
    """Find the settings with which `configs` train fastest, the same for all; then measure `others` with them.

    On a CPU as many models train side by side as have room on `cores`, on a GPU one at a time.

    Returns:
        `limits`; the name of the `chosen` option, or `plain`; and by option all its values (`options`), its `trials`
        (see `compare`) and, if it is valid, its `gains`: how many times as fast all train, by rounds.
    """
    on_gpu = place["device"] == "cuda"
    first, *_ = configs.values()
    threads = first["training"]["threads"]
    plain = {"precision": "float32", "compile": False, "threads": threads, "memory": memory, "times": 1}
    search = Search(configs, plain, 1 if on_gpu else cores, time.monotonic() + 60 * minutes, place)
    counts = set() if on_gpu else {2**n for n in range(cores.bit_length())} | {cores}
    search.measure(configs, {f"{n} threads": plain | {"threads": n} for n in sorted(counts - {threads})}, 0.2)
    best = search.choose()
    sets = {
        "bf16": best | {"precision": "bf16"},
        "float32, compiled": best | {"compile": True},
        "bf16, compiled": best | {"precision": "bf16", "compile": True},
    }
    search.measure(configs, sets, 0.8)
    best = search.choose()
    chosen = search.chosen
    information = {
        f"{chosen}, checkpoint": best | {"memory": "checkpoint"},
        f"{chosen}, double batch": best | {"times": 2},
    }
    search.measure(configs, information, 0.5)
    rest = {model: config for model, config in others.items() if model not in configs}
    for number, (model, config) in enumerate(rest.items()):
        if time.monotonic() < search.end:
            with suppress(Exception):  # whatever a device may raise: the report has the others
                options = {} if chosen == "plain" else {chosen: best}
                search.measure({model: config}, options, 1 / (len(rest) - number))
    return {
        "options": search.options,
        "trials": search.trials,
        "gains": search.gains,
        "chosen": chosen,
        "limits": limits(place["device"]),  # last: a process inherits the peak memory of its parent
    }


def spread(values: Any) -> str:
    """Median and range, as printed."""
    low, median, high = np.quantile(values, [0, 0.5, 1])
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def option_row(models: Facts, gains: Sequence[float] | None) -> dict[str, str]:
    """The report's row of an option, from its trials and its gains."""
    row = {} if gains is None else {"all": spread(gains)}
    apart = [measured["difference"] for measured in models.values() if "difference" in measured]
    row["losses apart"] = f"{max(apart):.0e}" if apart else ""
    for model, measured in models.items():
        row[model] = measured.get("why") or spread(np.divide(measured["beside"], measured["hours"]))
    return row


def needs_row(config: Config, plain: Facts, best: Facts) -> dict[str, float]:
    """What a model's training takes, from its trials under the plain and the chosen option."""
    hours = np.median(best.get("hours", np.nan))
    snapshots = len(config["training"]["snapshots"])
    tensors = 1 + snapshots + (NEWEST + GOOD) * (3 + snapshots)  # a state: weights, two moments, snapshots so far
    return {
        "hours, plain": np.median(plain["hours"]),
        "hours": hours,
        "three seeds": 3 * hours,
        "MiB of memory": best.get("peak_memory_bytes", np.nan) / 2**20,
        "MiB of disk": 4 * plain["parameters"] * tensors / 2**20,
    }


def report(found: Facts, configs: Configs, provenance: Facts) -> list[str]:
    """The paragraphs and tables of the report; `found`: what `tune` returned."""
    trials = found["trials"]
    chosen = trials[found["chosen"]]
    options = {name: option_row(models, found["gains"].get(name)) for name, models in trials.items()}
    needs = {model: {} for model in configs}
    for model, plain in trials["plain"].items():
        needs[model] = needs_row(configs[model], plain, chosen.get(model, {}))
    total = pd.DataFrame(needs).T
    total.loc["one after another"] = total.sum(skipna=False).mask(total.columns == "MiB of memory")
    failed = [model for model, measured in chosen.items() if "why" in measured]
    warning = f"**Warning**: it does not work for {', '.join(failed)}. " if failed else ""
    rates = ", ".join(f"{name} {rate:.3g}" for name, rate in found["limits"].items())
    config, *_ = configs.values()
    return [
        f"# Training on {provenance['device']}",
        "Preset {preset}, dataset {dataset}; ".format(**config)
        + "{started}, {platform}, commit {commit}, torch {versions[torch]}.".format(**provenance),
        f"Large matrix products in TFLOP/s, and copies in memory in GB/s: {rates}.",
        f"## Options: {found['chosen']} is chosen",
        warning
        + "How many times as fast as `plain` (float32, uncompiled, the configured threads) a model trains, and all "
        "together: median [lowest, highest]; the largest relative difference of a loss; or why the option is left out.",
        pd.DataFrame(options).T.fillna("").to_markdown(disable_numparse=True),
        "## What the preset takes here",
        f"Training only, on this dataset. Free on this disk: {shutil.disk_usage('.').free / 2**30:.0f} GiB.",
        total.map("{:.4g}".format).replace("nan", "").to_markdown(disable_numparse=True),
    ]
