"""The settings of training that are fastest on this machine and keep float32's losses, by measurement (`make tune`).

An option is compared with the plain settings (float32, uncompiled, the configured threads), in turns, so that changing
machine load affects both alike. It is left out, for all models, where it fails for one, takes too long, or where a loss
of the first steps lies too far from float32's.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaeglow.data.arrays import open_split
from vaeglow.data.loader import batch_count
from vaeglow.device import allow_tf32
from vaeglow.errors import UserError
from vaeglow.training.timing import time_window, worker

BOUNDS = {"float32": 1e-4, "tf32": 2e-3, "bf16": 1e-2}  # largest relative difference of a loss; compiled bf16: twice
FIRST, LATER = 4, 1e-2  # after so many steps rounding alone can make 2e-3 of 1e-7 (a VAE): there this, if it is larger
WORTH = 1.05  # so many times as fast, or nothing is changed: what is chosen changes the bits of all runs
STEPS, ROUNDS, SECONDS = 20, 5, 1.0  # steps whose losses are compared; windows that are timed, and their length
COMPILED = {False: "", True: ", compiled", "graphs": ", CUDA graphs"}

Option = dict[str, Any]  # precision, compile, threads and memory as in the config; `times` the batch size
Configs = Mapping[str, Mapping[str, Any]]  # model -> its resolved config
Found = dict[str, dict[str, Any]]  # model -> what was measured, see `compare`


def limits(device: torch.device) -> dict[str, float]:
    """What the device's large matrix products reach, in TFLOP/s by precision, and copies of its memory, in GB/s."""
    gpu, found = device.type == "cuda", {}
    side, count = (8192, 2**28) if gpu else (1024, 2**25)

    def best(work: Callable[[], object]) -> float:
        return min(time_window(work, 1, device)[0] for _ in range(6))

    for name in ("float32", "tf32", "bf16") if gpu else ("float32", "bf16"):
        matrix = torch.randn(side, side, device=device).to(torch.bfloat16 if name == "bf16" else torch.float32)
        allow_tf32(name == "tf32")
        found[name] = 2 * side**3 / best(lambda matrix=matrix: matrix @ matrix) / 1e12
    allow_tf32(False)
    values = torch.zeros(count, device=device)
    copy = values.clone()
    return found | {"copies": 2 * 4 * count / best(lambda: copy.copy_(values)) / 1e9}


def trial(config: Mapping[str, Any], option: Option, **place: Any) -> Any:
    """A timing process of a model under an option, see `worker`."""
    training = {**config["training"], "devices": 1, "snapshots": [], "validate_every": 0}
    training |= {key: option[key] for key in ("precision", "compile", "threads")}
    training["batch_size"] *= option["times"]
    windows = {"warmup_steps": STEPS, "windows": 10**9, "window_seconds": SECONDS}
    place |= {"windows": windows, "threads": option["threads"], "memory": option["memory"]}
    return worker({**config, "training": training}, **place)


def compare(
    configs: Configs, plain: Option, options: Mapping[str, Option], end: float, **place: Any
) -> dict[str, Found]:
    """Measure each model under each option beside the plain one, until `end` (by `time.monotonic`).

    The slowest model comes first: of the time that is left it may take twice another's share.

    Returns:
        Option (and `plain`) -> model -> `timing.turns` after the warm-up, the largest relative `difference` of its
        losses and, by rounds, the `hours` of its training and those `beside`, of the plain one; or `why` not.
    """
    found: dict[str, Found] = {"plain": {}, **{name: {} for name in options}}

    def hours(one: Mapping[str, Any]) -> float:
        steps = config["training"]["epochs"] * batch_count(images, one["batch_size"])
        return one["training"]["seconds"][-1] / one["training"]["steps"] * steps / 3600

    for number, (model, config) in enumerate(configs.items()):
        now = time.monotonic()
        stop = now + 2 * (end - now) / (len(configs) - number + 1)
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
                now = time.monotonic()
                until = now + (stop - now) / (len(options) - done)
                print(f"{model}: {name}", flush=True)
                try:
                    if now > stop:
                        raise UserError("no time left")
                    with trial(config, option, **place) as turn:
                        _, one = turn(until), turn(until)
                        pairs = [(hours(beside()), hours(turn(until))) for _ in range(ROUNDS)]
                except Exception as error:  # whatever a compiler or a device may raise
                    found[name][model] = {"why": (str(error).strip() or type(error).__name__).splitlines()[0]}
                    continue
                one["beside"], one["hours"] = map(list, zip(*pairs, strict=True))
                found[name][model] = one
                if option["times"] != 1:  # other images
                    continue
                away = np.abs(np.divide(one["losses"], exact["losses"]) - 1)
                one["difference"] = away.max().item()
                bound = BOUNDS[option["precision"]] * (1 + (option["precision"] == "bf16" and bool(option["compile"])))
                if not (away[:FIRST].max() <= bound and away.max() <= max(bound, LATER)):  # NaN is not
                    one["why"] = f"losses differ by {away[:FIRST].max():.1e} at first, by {away.max():.1e} in all"
    return found


def whole(configs: Configs, found: Found, which: str, side_by_side: int) -> np.ndarray:
    """Hours (or those `beside`) until all are trained, so many side by side, by rounds; a model waits for its base."""
    each = {model: np.array(one[which]) for model, one in found.items()}
    chains = [each[model] + each.get((configs[model]["base"] or {}).get("model"), 0) for model in each]
    return np.maximum(sum(each.values()) / side_by_side, np.max(chains, 0))


def tune(
    configs: Configs, others: Configs, device: torch.device, cores: int, memory: str, minutes: float, data_dir: Path
) -> dict[str, Any]:
    """Find the settings with which `configs` train fastest, the same for all; then measure `others` with them.

    On a CPU as many models train side by side as have `cores` for their threads, on a GPU one at a time.

    Returns:
        `limits`; the name of the `chosen` option, or `plain`; and by option all its values (`options`), its `trials`
        (see `compare`) and, if it is valid, its `gains`: how many times as fast all train, by rounds.
    """
    end, gpu = time.monotonic() + 60 * minutes, device.type == "cuda"
    cores, threads = (1 if gpu else cores), next(iter(configs.values()))["training"]["threads"]
    plain = {"precision": "float32", "compile": False, "threads": threads, "memory": memory, "times": 1}
    found: dict[str, Any] = {"limits": limits(device), "options": {"plain": plain}, "trials": {}, "gains": {}}
    torch.cuda.empty_cache()  # of what `limits` took

    def measure(of: Configs, options: Mapping[str, Option], share: float) -> None:
        stop = time.monotonic() + share * (end - time.monotonic())
        found["options"] |= options
        for name, models in compare(of, plain, options, stop, device=device.type, data_dir=data_dir).items():
            found["trials"][name] = found["trials"].get(name, {}) | models
            if of is configs and len(models) == len(of) and not any("why" in one for one in models.values()):
                sides = {"beside": plain, "hours": found["options"][name]}
                before, after = (whole(of, models, w, max(1, cores // o["threads"])) for w, o in sides.items())
                found["gains"][name] = (before / after).tolist()

    def choose() -> Option:
        medians = {name: statistics.median(gained) for name, gained in found["gains"].items() if min(gained) > 1}
        medians["plain"] = WORTH
        found["chosen"] = max(medians, key=medians.__getitem__)
        return found["options"][found["chosen"]]

    counts = [] if gpu else sorted(({2**n for n in range(cores.bit_length())} | {cores}) - {threads})
    measure(configs, {f"{count} threads": plain | {"threads": count} for count in counts}, 0.2)
    best = choose()
    precisions = ("float32", "tf32", "bf16") if gpu else ("float32", "bf16")
    pairs = itertools.product(COMPILED if gpu else (False, True), precisions)
    sets = {f"{one}{COMPILED[how]}": best | {"precision": one, "compile": how} for how, one in pairs}
    measure(configs, {name: option for name, option in sets.items() if name != "float32"}, 0.8)
    best, of = choose(), found["chosen"]
    changes = {"checkpoint": {"memory": "checkpoint"}, "double batch": {"times": 2}}  # for information
    measure(configs, {f"{of}, {name}": best | change for name, change in changes.items()}, 0.5)
    measure(others, {} if of == "plain" else {of: best}, 1.0)
    return found
