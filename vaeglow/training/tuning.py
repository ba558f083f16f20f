"""The settings of training that are fastest on this machine and keep float32's losses, by measurement (`make tune`).

An option is compared with the plain settings (float32, uncompiled, the configured threads), in turns, so that changing
machine load affects both alike. It is left out, for all models, where it fails for one, takes too long, or where a loss
of the first steps lies too far from float32's.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from time import monotonic

import numpy as np
from pandas import DataFrame

from vaeglow.config import phases
from vaeglow.data.arrays import open_split
from vaeglow.data.loader import batch_count
from vaeglow.errors import first_line
from vaeglow.files import Config, Facts
from vaeglow.training.timing import timing_worker

# The largest relative difference of a loss from float32's, compiled or not. bf16: 1.2e-2 was seen while a loss fell by
# a third, and processors and compilers round differently.
BOUNDS = {"float32": 1e-4, "bf16": 2e-2}
FIRST = 4  # steps; later ones may differ by LATER if that is larger: rounding alone can make 2e-3 of 1e-7 (a VAE)
LATER = 1e-2
WORTH = 1.05  # so many times as fast, or nothing is changed: what is chosen changes the bits of all runs
STEPS = 20  # whose losses are compared
ROUNDS = 5  # windows that are timed
SECONDS = 1.0  # length of a window
THREADS_SHARE = 0.25  # of the time, for numbers of threads

Turn = Callable[[], Facts]  # of a timing process
Option = Facts  # precision, compile and threads as in the config
Options = Mapping[str, Option]  # by name
Configs = Mapping[str, Config]  # model -> its resolved config
Trials = dict[str, dict[str, Facts]]  # option -> model -> what was measured, see `compare`


def trial(config: Config, option: Option, place: Facts, until: float | None = None) -> AbstractContextManager[Turn]:
    """A timing process of a model under an option, see `timing_worker`; `place`: data_dir, device and memory."""
    settings = {"warmup_steps": STEPS, "windows": 10**9, "window_seconds": SECONDS, "threads": option["threads"]}
    return timing_worker({**config, "training": config["training"] | option}, place | settings, until)


def training_hours(config: Config, images: int, turn: Turn) -> float:
    """The hours of a model's training on so many images, at the speed of a window that is timed now."""
    measured = turn()
    window = measured["training"]
    steps = config["training"]["epochs"] * batch_count(images, measured["batch_size"])
    return window["seconds"][-1] / window["steps"] * steps / 3600


def beyond_rounding(losses: Sequence[float], exact: Sequence[float], precision: str) -> Facts:
    """`why` an option with these losses is left out, beside those of float32; empty where they differ by rounding."""
    away = np.abs(np.divide(losses, exact) - 1)
    first = away[:FIRST].max()
    largest = away.max()
    bound = BOUNDS[precision]
    if first <= bound and largest <= max(bound, LATER):  # NaN is not
        return {}
    return {"why": f"losses differ by {first:.1e} at first, by {largest:.1e} in all"}


def compare(configs: Configs, plain: Option, options: Options, end: float, place: Facts) -> Trials:
    """Measure each model under each option beside the plain one, until `end` (by `time.monotonic`).

    Returns:
        Option (and `plain`) -> model -> by rounds, the `hours` of its training and those `beside`, of the plain one;
        `why` it is left out, if it is.
    """
    trials: Trials = {name: {} for name in ("plain", *options)}
    for number, (model, config) in enumerate(configs.items()):
        now = monotonic()
        until = now + (end - now) / (len(configs) - number)
        images = config["data"]["train_subset"] or len(open_split(place["data_dir"], "train"))
        hours = partial(training_hours, config, images)
        with trial(config, plain, place) as plain_turn:
            plain_turn()
            exact = plain_turn()["losses"]
            alone = [hours(plain_turn) for _ in range(ROUNDS)]
            trials["plain"][model] = {"hours": alone, "beside": alone}
            for name, option in options.items():
                print(f"{model}: {name}")
                try:
                    with trial(config, option, place, until) as turn:
                        turn()
                        measured = beyond_rounding(turn()["losses"], exact, option["precision"])
                        pairs = [(hours(plain_turn), hours(turn)) for _ in range(ROUNDS)]
                    measured["beside"], measured["hours"] = np.transpose(pairs)
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


def gains_of(trials: Trials, configs: Configs, options: Options, cores: int) -> dict[str, np.ndarray]:
    """How many times as fast `configs` all train under each option that is valid for all of them, by rounds."""
    gains = {}
    for name, models in trials.items():
        if not any("why" in measured for measured in models.values()):
            totals = {}
            for which, option in (("beside", "plain"), ("hours", name)):
                hours = {model: measured[which] for model, measured in models.items()}
                totals[which] = whole(configs, hours, max(1, cores // options[option]["threads"]))
            gains[name] = totals["beside"] / totals["hours"]
    return gains


def fastest(gains: Mapping[str, Sequence[float]]) -> str:
    """The option that gains most in the median, of those that gain in every round; plain if that is too little."""
    medians = {"plain": WORTH} | {name: np.median(rounds) for name, rounds in gains.items() if min(rounds) > 1}
    return max(medians, key=medians.__getitem__)


def tune(configs: Configs, cores: int, minutes: float, place: Facts) -> Facts:
    """Find the settings with which `configs` train fastest, the same for all.

    On a CPU as many models train side by side as have room on `cores`, on a GPU one at a time.

    Returns:
        The name of the `chosen` option, or `plain`; and by option its values (`options`), its `trials` (see `compare`)
        and, if it is valid, its `gains`: how many times as fast all train, by rounds.
    """
    start = monotonic()
    seconds = 60 * minutes
    on_gpu = place["device"] == "cuda"
    beside = 1 if on_gpu else cores
    first, *_ = configs.values()
    threads = first["training"]["threads"]
    plain = {"precision": "float32", "compile": False, "threads": threads}
    trials: Trials = {}
    counts = set() if on_gpu else {2**n for n in range(cores.bit_length())} | {cores}
    options = {f"{n} threads": plain | {"threads": n} for n in sorted(counts - {threads})}
    if options:
        trials = compare(configs, plain, options, start + THREADS_SHARE * seconds, place)
    options["plain"] = plain
    best = options[fastest(gains_of(trials, configs, options, beside))]
    sets = {
        "bf16": best | {"precision": "bf16"},
        "float32, compiled": best | {"compile": True},
        "bf16, compiled": best | {"precision": "bf16", "compile": True},
    }
    options |= sets
    trials |= compare(configs, plain, sets, start + seconds, place)
    gains = gains_of(trials, configs, options, beside)
    return {"options": options, "trials": trials, "gains": gains, "chosen": fastest(gains)}


def spread(values: Sequence[float]) -> str:
    """Median and range, as printed."""
    low, median, high = np.quantile(values, [0, 0.5, 1])
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"


def report(tuned: Facts, configs: Configs, provenance: Facts) -> list[str]:
    """The paragraphs and tables of the report; `tuned`: what `tune` returned."""
    rows = {}
    for name, models in tuned["trials"].items():
        gains = tuned["gains"].get(name)
        rows[name] = {"all": "" if gains is None else spread(gains)}
        for model, measured in models.items():
            rows[name][model] = measured.get("why") or spread(np.divide(measured["beside"], measured["hours"]))
    hours = {}
    for name in dict.fromkeys(("plain", tuned["chosen"])):
        hours[name] = {model: np.median(measured["hours"]) for model, measured in tuned["trials"][name].items()}
    config, *_ = configs.values()
    return [
        f"# Training on {provenance['device']}",
        "Preset {preset}, dataset {dataset}; ".format(**config)
        + "{started}, {platform}, commit {commit}, torch {versions[torch]}.".format(**provenance),
        f"## Options: {tuned['chosen']} is chosen",
        "How many times as fast as `plain` (float32, uncompiled, the configured threads) a model trains, and all "
        "together: median [lowest, highest]; or why the option is left out.",
        DataFrame(rows).T.to_markdown(disable_numparse=True),
        "## Hours of training here",
        DataFrame(hours).map("{:.4g}".format).to_markdown(disable_numparse=True),
    ]
