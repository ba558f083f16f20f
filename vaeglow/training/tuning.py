"""The settings of training that are fastest on this machine and keep float32's losses, by measurement (`make tune`).

An option is compared with the plain settings (float32, uncompiled, the configured threads), in turns, so that changing
machine load affects both alike. It is left out, for all models, where it fails for one, takes too long, or where a loss
of the first steps lies too far from float32's.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import torch

from vaeglow.config import phases
from vaeglow.data.arrays import open_split
from vaeglow.data.loader import batch_count
from vaeglow.device import allow_tf32
from vaeglow.training.checkpoint import GOOD, NEWEST
from vaeglow.training.timing import time_window, worker

# The largest relative difference of a loss from float32's, compiled or not. tf32: 10 bits of mantissa are 5e-4 off at
# most. bf16: 1.2e-2 was seen while a loss fell by a third, and processors and compilers round differently.
BOUNDS = {"float32": 1e-4, "tf32": 2e-3, "bf16": 2e-2}
FIRST, LATER = 4, 1e-2  # after so many steps rounding alone can make 2e-3 of 1e-7 (a VAE): there this, if it is larger
WORTH = 1.05  # so many times as fast, or nothing is changed: what is chosen changes the bits of all runs
STEPS, ROUNDS, SECONDS = 20, 5, 1.0  # steps whose losses are compared; windows that are timed, and their length
COMPILED = {False: "", True: ", compiled", "graphs": ", CUDA graphs"}

Option = dict[str, Any]  # precision, compile, threads and memory as in the config; `times` the batch size
Configs = Mapping[str, Mapping[str, Any]]  # model -> its resolved config
Trials = dict[str, dict[str, dict[str, Any]]]  # option -> model -> what was measured, see `compare`


def limits(device: str) -> dict[str, float]:
    """What the device's large matrix products reach, in TFLOP/s by precision, and copies of its memory, in GB/s."""
    gpu, found = device == "cuda", {}
    side, count = (8192, 2**28) if gpu else (1024, 2**25)

    def best(work: Callable[[], object]) -> float:
        return min(time_window(work, 1, torch.device(device))[0] for _ in range(6))

    for name in BOUNDS if gpu else ("float32", "bf16"):
        matrix = torch.randn(side, side, device=device).to(torch.bfloat16 if name == "bf16" else torch.float32)
        allow_tf32(name == "tf32")
        found[name] = 2 * side**3 / best(lambda matrix=matrix: matrix @ matrix) / 1e12
    allow_tf32(False)
    values = torch.zeros(2, count, device=device)
    return found | {"copies": 2 * 4 * count / best(lambda: values[0].copy_(values[1])) / 1e9}


def trial(config: Mapping[str, Any], option: Option, **place: Any) -> Any:
    """A timing process of a model under an option, see `worker`."""
    training = {**config["training"], "devices": 1, "snapshots": [], "validate_every": 0}
    training |= {key: option[key] for key in ("precision", "compile", "threads")}
    training["batch_size"] *= option["times"]
    windows = {"warmup_steps": STEPS, "windows": 10**9, "window_seconds": SECONDS}
    place |= {"windows": windows, "threads": option["threads"], "memory": option["memory"]}
    return worker({**config, "training": training}, **place)


def compare(configs: Configs, plain: Option, options: Mapping[str, Option], end: float, **place: Any) -> Trials:
    """Measure each model under each option beside the plain one, until `end` (by `time.monotonic`).

    The first model, best the slowest (Glow in our config), may take twice the share of another in the time left.

    Returns:
        Option (and `plain`) -> model -> `timing.turns` after the warm-up, the largest relative `difference` of its
        losses and, by rounds, the `hours` of its training and those `beside`, of the plain one; or `why` not.
    """
    found: Trials = {"plain": {}, **{name: {} for name in options}}

    def hours(one: Mapping[str, Any]) -> float:
        steps = config["training"]["epochs"] * batch_count(images, one["batch_size"])
        return one["training"]["seconds"][-1] / one["training"]["steps"] * steps / 3600

    for number, (model, config) in enumerate(configs.items()):
        stop = (now := time.monotonic()) + 2 * (end - now) / (len(configs) - number + 1)
        if number and now > end:
            break
        images = config["data"]["train_subset"] or len(open_split(place["data_dir"], "train"))
        with trial(config, plain, **place) as beside:
            _, exact = beside(), beside()
            alone = [hours(beside()) for _ in range(ROUNDS)]
            found["plain"][model] = {**exact, "difference": 0.0, "hours": alone, "beside": alone}
            for done, (name, option) in enumerate(options.items()):
                if any("why" in one for one in found[name].values()):
                    continue
                print(f"{model}: {name}", flush=True)
                until = (now := time.monotonic()) + (stop - now) / (len(options) - done)
                try:
                    with trial(config, option, until=until, **place) as turn:
                        _, one = turn(), turn()
                        pairs = [(hours(beside()), hours(turn())) for _ in range(ROUNDS)]
                    one["beside"], one["hours"] = np.transpose(pairs).tolist()
                except Exception as error:  # whatever a compiler or a device may raise
                    one = {"why": (str(error).strip() or type(error).__name__).splitlines()[0]}
                found[name][model] = one
                if "why" in one or option["times"] != 1:  # other images
                    continue
                away = np.abs(np.divide(one["losses"], exact["losses"]) - 1)
                one["difference"] = away.max().item()
                bound = BOUNDS[option["precision"]]
                if not (away[:FIRST].max() <= bound and away.max() <= max(bound, LATER)):  # NaN is not
                    one["why"] = f"losses differ by {away[:FIRST].max():.1e} at first, by {away.max():.1e} in all"
    return found


def whole(configs: Configs, models: Mapping[str, Any], which: str, side_by_side: int) -> np.ndarray:
    """Hours (or those `beside`) until all are trained, so many side by side, by rounds; a model waits for its bases."""
    each = {model: np.array(one[which]) for model, one in models.items()}
    chains = [sum(each.get(run["model"], 0) for run in phases(configs[model])) for model in each]
    return np.maximum(sum(each.values()) / side_by_side, np.max(chains, 0))


def tune(configs: Configs, others: Configs, cores: int, memory: str, minutes: float, **place: Any) -> dict[str, Any]:
    """Find the settings with which `configs` train fastest, the same for all; then measure `others` with them.

    On a CPU as many models train side by side as have room on `cores`, on a GPU one at a time.

    Returns:
        `limits`; the name of the `chosen` option, or `plain`; and by option all its values (`options`), its `trials`
        (see `compare`) and, if it is valid, its `gains`: how many times as fast all train, by rounds.
    """
    end, gpu = time.monotonic() + 60 * minutes, place["device"] == "cuda"
    cores, threads = (1 if gpu else cores), next(iter(configs.values()))["training"]["threads"]
    plain = {"precision": "float32", "compile": False, "threads": threads, "memory": memory, "times": 1}
    found: dict[str, Any] = {"options": {"plain": plain}, "trials": {}, "gains": {}}

    def measure(of: Configs, options: Mapping[str, Option], share: float) -> None:
        stop = (now := time.monotonic()) + share * (end - now)
        found["options"] |= options
        for name, models in compare(of, plain, options, stop, **place).items():
            found["trials"][name] = found["trials"].get(name, {}) | models
            if of is configs and len(models) == len(of) and not any("why" in one for one in models.values()):
                sides = {"beside": plain, "hours": found["options"][name]}
                before, after = (whole(of, models, w, max(1, cores // o["threads"])) for w, o in sides.items())
                found["gains"][name] = (before / after).tolist()

    def choose() -> Option:
        medians = {"plain": WORTH} | {name: np.median(by) for name, by in found["gains"].items() if min(by) > 1}
        found["chosen"] = max(medians, key=medians.__getitem__)
        return found["options"][found["chosen"]]

    counts = [] if gpu else sorted(({2**n for n in range(cores.bit_length())} | {cores}) - {threads})
    measure(configs, {f"{count} threads": plain | {"threads": count} for count in counts}, 0.2)
    best = choose()
    precisions, compiled = (BOUNDS, COMPILED) if gpu else (("float32", "bf16"), (False, True))
    sets = {f"{p}{COMPILED[c]}": best | {"precision": p, "compile": c} for c in compiled for p in precisions}
    measure(configs, {name: option for name, option in sets.items() if name != "float32"}, 0.8)
    best, of = choose(), found["chosen"]
    changes = {"checkpoint": {"memory": "checkpoint"}, "double batch": {"times": 2}}  # for information
    measure(configs, {f"{of}, {name}": best | change for name, change in changes.items()}, 0.5)
    rest = [model for model in others if model not in configs]
    for number, model in enumerate(rest):
        if time.monotonic() < end:
            with suppress(Exception):  # whatever a device may raise: the report has the others
                measure({model: others[model]}, {} if of == "plain" else {of: best}, 1 / (len(rest) - number))
    return found | {"limits": limits(place["device"])}  # last: a process inherits the peak memory of its parent


def report(found: Mapping[str, Any], configs: Configs, provenance: Mapping[str, Any]) -> list[str]:
    """The paragraphs and tables of the report; `found`: what `tune` returned."""

    def spread(values: Any) -> str:
        return "{1:.2f} [{0:.2f}, {2:.2f}]".format(*np.quantile(values, [0, 0.5, 1]))

    chosen, options, takes = found["chosen"], {}, {model: {} for model in configs}
    for name, models in found["trials"].items():
        gained = {"all": spread(found["gains"][name])} if name in found["gains"] else {}
        apart = [one["difference"] for one in models.values() if "difference" in one]
        cells = {m: one.get("why") or spread(np.divide(one["beside"], one["hours"])) for m, one in models.items()}
        options[name] = gained | {"losses apart": f"{max(apart):.0e}" if apart else ""} | cells
    for model, plain in found["trials"]["plain"].items():
        best = found["trials"][chosen].get(model, {})
        hours, memory = np.median(best.get("hours", np.nan)), best.get("peak_memory_bytes", np.nan)
        snapshots = len(configs[model]["training"]["snapshots"])
        tensors = 1 + snapshots + (NEWEST + GOOD) * (3 + snapshots)  # a state: weights, two moments, snapshots so far
        takes[model] = {"hours, plain": np.median(plain["hours"]), "hours": hours, "three seeds": 3 * hours}
        takes[model] |= {"MiB of memory": memory / 2**20, "MiB of disk": 4 * plain["parameters"] * tensors / 2**20}
    total = pd.DataFrame(takes).T
    total.loc["one after another"] = total.sum(skipna=False).mask(total.columns == "MiB of memory")
    failed = [model for model, one in found["trials"][chosen].items() if "why" in one]
    warning = f"**Warning**: it does not work for {', '.join(failed)}. " if failed else ""
    rates = ", ".join(f"{name} {rate:.3g}" for name, rate in found["limits"].items())
    return [
        f"# Training on {provenance['device']}",
        "Preset {preset}, dataset {dataset}; ".format(**next(iter(configs.values())))
        + "{started}, {platform}, commit {commit}, torch {versions[torch]}.".format(**provenance),
        f"Large matrix products in TFLOP/s, and copies in memory in GB/s: {rates}.",
        f"## Options: {chosen} is chosen",
        warning
        + "How many times as fast as `plain` (float32, uncompiled, the configured threads) a model trains, and all "
        "together: median [lowest, highest]; the largest relative difference of a loss; or why the option is left out.",
        pd.DataFrame(options).T.fillna("").to_markdown(disable_numparse=True),
        "## What the preset takes here",
        f"Training only, on this dataset. Free on this disk: {shutil.disk_usage('.').free / 2**30:.0f} GiB.",
        total.map("{:.4g}".format).replace("nan", "").to_markdown(disable_numparse=True),
    ]
