"""The settings of training that are fastest on this machine and keep float32's losses, by measurement (`make tune`).

An option is compared with the plain settings (float32, uncompiled, the configured threads), in turns, so that changing
machine load affects both alike. It is left out, for all models, where it fails for one, takes too long, or where a loss
of the first steps lies too far from float32's.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from shutil import disk_usage
from time import monotonic
from typing import Any

import numpy as np
import torch
from pandas import DataFrame

from vaeglow.config import phases
from vaeglow.data.arrays import open_split
from vaeglow.data.loader import batch_count
from vaeglow.errors import first_line
from vaeglow.files import Config, Facts
from vaeglow.training.checkpoint import GOOD_KEPT, NEWEST_KEPT
from vaeglow.training.timing import Work, time_window, timing_worker

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
Option = Facts  # precision, compile, threads and memory as in the config; `times` the batch size
Configs = Mapping[str, Config]  # model -> its resolved config
Trials = dict[str, dict[str, Facts]]  # option -> model -> what was measured, see `compare`


def limits(device: str) -> dict[str, float]:
    """What the device's large matrix products reach, in TFLOP/s by precision, and copies of its memory, in GB/s."""
    side, count = (8192, 2**28) if device == "cuda" else (1024, 2**25)

    def shortest(work: Work) -> float:
        return min(time_window(work, 1, torch.device(device))[0] for _ in range(6))

    rates = {}
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        matrix = torch.randn(side, side, device=device).to(dtype)
        rates[name] = 2 * side**3 / shortest(partial(torch.matmul, matrix, matrix)) / 1e12
    values = torch.zeros(2, count, device=device)
    rates["copies"] = 2 * 4 * count / shortest(lambda: values[0].copy_(values[1])) / 1e9
    return rates


def trial(config: Config, option: Option, device: str, data_dir: Path, **until: float) -> AbstractContextManager[Turn]:
    """A timing process of a model under an option, see `timing_worker`."""
    training = config["training"] | {key: option[key] for key in ("precision", "compile", "threads")}
    training["batch_size"] *= option["times"]
    settings = {
        "warmup_steps": STEPS,
        "windows": 10**9,
        "window_seconds": SECONDS,
        "data_dir": data_dir,
        "device": device,
        "threads": option["threads"],
        "memory": option["memory"],
    }
    return timing_worker({**config, "training": training}, settings, **until)


def training_hours(config: Config, images: int, turn: Turn) -> float:
    """The hours of a model's training on so many images, at the speed of a window that is timed now."""
    measured = turn()
    window = measured["training"]
    steps = config["training"]["epochs"] * batch_count(images, measured["batch_size"])
    return window["seconds"][-1] / window["steps"] * steps / 3600


def beyond_rounding(losses: Sequence[float], exact: Sequence[float], precision: str) -> Facts:
    """The largest relative `difference` of losses from those of float32, and `why` they are left out if it is large."""
    away = np.abs(np.divide(losses, exact) - 1)
    first = away[:FIRST].max()
    largest = away.max()
    bound = BOUNDS[precision]
    if first <= bound and largest <= max(bound, LATER):  # NaN is not
        return {"difference": largest.item()}
    return {"difference": largest.item(), "why": f"losses differ by {first:.1e} at first, by {largest:.1e} in all"}


def compare(configs: Configs, plain: Option, options: Mapping[str, Option], end: float, **place: Any) -> Trials:
    """Measure each model under each option beside the plain one, until `end` (by `time.monotonic`).

    The first model, best the slowest (Glow in our config), may take twice the share of another in the time left.

    Returns:
        Option (and `plain`) -> model -> `timing.turns` after the warm-up, the largest relative `difference` of its
        losses and, by rounds, the `hours` of its training and those `beside`, of the plain one; or `why` not.
    """
    trials: Trials = {name: {} for name in ("plain", *options)}
    for number, (model, config) in enumerate(configs.items()):
        now = monotonic()
        if number and now > end:
            break
        model_end = now + 2 * (end - now) / (len(configs) - number + 1)
        images = config["data"]["train_subset"] or len(open_split(place["data_dir"], "train"))
        hours = partial(training_hours, config, images)
        with trial(config, plain, **place) as plain_turn:
            plain_turn()
            exact = plain_turn()
            alone = [hours(plain_turn) for _ in range(ROUNDS)]
            trials["plain"][model] = {**exact, "difference": 0.0, "hours": alone, "beside": alone}
            for done, (name, option) in enumerate(options.items()):
                if any("why" in other for other in trials[name].values()):
                    continue
                print(f"{model}: {name}")
                now = monotonic()
                until = now + (model_end - now) / (len(options) - done)
                try:
                    with trial(config, option, until=until, **place) as turn:
                        turn()
                        measured = turn()
                        pairs = [(hours(plain_turn), hours(turn)) for _ in range(ROUNDS)]
                    measured["beside"], measured["hours"] = np.transpose(pairs).tolist()
                    if option["times"] == 1:  # else its images are others
                        measured |= beyond_rounding(measured["losses"], exact["losses"], option["precision"])
                except Exception as error:  # whatever a compiler or a device may raise
                    measured = {"why": first_line(error)}
                trials[name][model] = measured
    return trials


def whole(configs: Configs, hours: Mapping[str, Sequence[float]], side_by_side: int) -> np.ndarray:
    """Hours until all models are trained, so many side by side, by rounds, from each one's; a model waits for bases."""
    each = {model: np.array(rounds) for model, rounds in hours.items()}
    chains = []
    for model in each:
        chains.append(sum(each.get(run["model"], 0) for run in phases(configs[model])))
    return np.maximum(sum(each.values()) / side_by_side, np.max(chains, 0))


def gains_of(trials: Trials, configs: Configs, options: Mapping[str, Option], cores: int) -> dict[str, list[float]]:
    """How many times as fast `configs` all train under each option that is valid for all of them, by rounds."""
    gains = {}
    for name, models in trials.items():
        measured = {model: models.get(model, {"why": "no time"}) for model in configs}
        if not any("why" in facts for facts in measured.values()):
            totals = {}
            for which, option in (("beside", "plain"), ("hours", name)):
                hours = {model: facts[which] for model, facts in measured.items()}
                totals[which] = whole(configs, hours, max(1, cores // options[option]["threads"]))
            gains[name] = (totals["beside"] / totals["hours"]).tolist()
    return gains


def fastest(gains: Mapping[str, Sequence[float]]) -> str:
    """The option that gains most in the median, of those that gain in every round; plain if that is too little."""
    medians = {"plain": WORTH} | {name: np.median(rounds) for name, rounds in gains.items() if min(rounds) > 1}
    return max(medians, key=medians.__getitem__)


def tune(configs: Configs, others: Configs, cores: int, memory: str, minutes: float, **place: Any) -> Facts:
    """Find the settings with which `configs` train fastest, the same for all; then measure `others` with them.

    On a CPU as many models train side by side as have room on `cores`, on a GPU one at a time.

    Returns:
        `limits`; the name of the `chosen` option, or `plain`; and by option all its values (`options`), its `trials`
        (see `compare`) and, if it is valid, its `gains`: how many times as fast all train, by rounds.
    """
    end = monotonic() + 60 * minutes
    on_gpu = place["device"] == "cuda"
    beside = 1 if on_gpu else cores
    first, *_ = configs.values()
    threads = first["training"]["threads"]
    plain = {"precision": "float32", "compile": False, "threads": threads, "memory": memory, "times": 1}
    options = {"plain": plain}
    trials: Trials = {}

    def measure(models: Configs, tried: Mapping[str, Option], share: float) -> tuple[str, Option]:
        """Measure models under options in a share of the time left; the best option for all of `configs` so far."""
        options.update(tried)
        now = monotonic()
        for name, measured in compare(models, plain, tried, now + share * (end - now), **place).items():
            trials.setdefault(name, {}).update(measured)
        chosen = fastest(gains_of(trials, configs, options, beside))
        return chosen, options[chosen]

    counts = set() if on_gpu else {2**n for n in range(cores.bit_length())} | {cores}
    _, best = measure(configs, {f"{n} threads": plain | {"threads": n} for n in sorted(counts - {threads})}, 0.2)
    sets = {
        "bf16": best | {"precision": "bf16"},
        "float32, compiled": best | {"compile": True},
        "bf16, compiled": best | {"precision": "bf16", "compile": True},
    }
    chosen, best = measure(configs, sets, 0.8)
    information = {
        f"{chosen}, checkpoint": best | {"memory": "checkpoint"},
        f"{chosen}, double batch": best | {"times": 2},
    }
    measure(configs, information, 0.5)
    rest = {model: config for model, config in others.items() if model not in configs}
    for number, (model, config) in enumerate(rest.items()):
        if monotonic() < end:
            with suppress(Exception):  # whatever a device may raise: the report has the others
                measure({model: config}, {} if chosen == "plain" else {chosen: best}, 1 / (len(rest) - number))
    return {
        "options": options,
        "trials": trials,
        "gains": gains_of(trials, configs, options, beside),
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
    # a state: weights, two moments, snapshots so far
    tensors = 1 + snapshots + (NEWEST_KEPT + GOOD_KEPT) * (3 + snapshots)
    return {
        "hours, plain": np.median(plain["hours"]),
        "hours": hours,
        "three seeds": 3 * hours,
        "MiB of memory": best.get("peak_memory_bytes", np.nan) / 2**20,
        "MiB of disk": 4 * plain["parameters"] * tensors / 2**20,
    }


def report(tuned: Facts, configs: Configs, provenance: Facts) -> list[str]:
    """The paragraphs and tables of the report; `tuned`: what `tune` returned."""
    trials = tuned["trials"]
    chosen = trials[tuned["chosen"]]
    options = {name: option_row(models, tuned["gains"].get(name)) for name, models in trials.items()}
    needs = {model: {} for model in configs}
    for model, plain in trials["plain"].items():
        needs[model] = needs_row(configs[model], plain, chosen.get(model, {}))
    total = DataFrame(needs).T
    total.loc["one after another"] = total.sum(skipna=False).mask(total.columns == "MiB of memory")
    failed = [model for model, measured in chosen.items() if "why" in measured]
    warning = f"**Warning**: it does not work for {', '.join(failed)}. " if failed else ""
    rates = ", ".join(f"{name} {rate:.3g}" for name, rate in tuned["limits"].items())
    config, *_ = configs.values()
    return [
        f"# Training on {provenance['device']}",
        "Preset {preset}, dataset {dataset}; ".format(**config)
        + "{started}, {platform}, commit {commit}, torch {versions[torch]}.".format(**provenance),
        f"Large matrix products in TFLOP/s, and copies in memory in GB/s: {rates}.",
        f"## Options: {tuned['chosen']} is chosen",
        warning
        + "How many times as fast as `plain` (float32, uncompiled, the configured threads) a model trains, and all "
        "together: median [lowest, highest]; the largest relative difference of a loss; or why the option is left out.",
        DataFrame(options).T.fillna("").to_markdown(disable_numparse=True),
        "## What the preset takes here",
        f"Training only, on this dataset. Free on this disk: {disk_usage('.').free / 2**30:.0f} GiB.",
        total.map("{:.4g}".format).replace("nan", "").to_markdown(disable_numparse=True),
    ]
