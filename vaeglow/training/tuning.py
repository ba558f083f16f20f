"""The settings of training that are fastest on this machine and keep float32's losses, by measurement (`make tune`).

An option is compared with the plain settings (float32, uncompiled, the configured threads), each in a process of its
own, in turns, so that changing machine load affects both alike. It is left out where it fails, takes too long, or
where a loss of its first steps lies too far from float32's.
"""

import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from vaeglow.device import allow_tf32
from vaeglow.errors import UserError, memory_used_up
from vaeglow.training.timing import peak_memory, serve, steps_to_fill, time_window, untrained
from vaeglow.training.trainer import mean_of

CHECKED = 20  # first steps whose losses are compared with float32's
BOUNDS = {"float32": 1e-4, "tf32": 2e-3, "bf16": 1e-2}  # largest relative difference of a loss; compiled bf16: twice
ROUNDS = 5  # windows of a model under an option
WORTH = 1.05  # so many times as fast, or nothing is changed: what is chosen changes the bits of all runs
COMPILED = {False: "", True: ", compiled", "graphs": ", CUDA graphs"}

Option = dict[str, Any]  # precision, compile, threads, memory, as in the config; batch, a factor of the batch size
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


def trial(config: Mapping[str, Any], seconds: float, **place: Any) -> Iterator[Any]:
    """What a timing process does: the first steps, then windows of so many seconds.

    Yields:
        What the first steps show; then the seconds that a step of each window takes.
    """
    trainer, step = untrained(config, **place)
    sums: list[dict[str, torch.Tensor]] = [{} for _ in range(CHECKED)]
    for one in sums:
        step(one)
    losses = [mean_of(one, "bits_per_dim") for one in sums]
    steps = steps_to_fill(lambda: step({}), 2, seconds, trainer.device)
    memory, parameters = peak_memory(trainer.device)[0], sum(each.numel() for each in trainer.model.parameters())
    compiled = trainer.position.compile_seconds
    yield {"losses": losses, "memory": memory, "parameters": parameters, "epoch": trainer.steps, "compiled": compiled}
    while True:
        yield time_window(lambda: step({}), steps, trainer.device)[0] / steps


@contextmanager
def process(config: Mapping[str, Any], option: Option, place: Mapping[str, Any]) -> Iterator[Callable[[float], Any]]:
    """A process of `trial` under an option; yields `turn(seconds)`: its next turn, or an error after so many."""
    training = {**config["training"], "devices": 1, "snapshots": [], "validate_every": 0}
    training |= {key: option[key] for key in ("precision", "compile", "threads")}
    training["batch_size"] *= option["batch"]
    place = {**place, "threads": option["threads"], "memory": option["memory"]}
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    other = spawn.Process(target=serve, args=(theirs, trial, {**config, "training": training}, place), daemon=True)
    other.start()
    theirs.close()

    def turn(seconds: float) -> Any:
        try:
            ours.send(True)
            answer = ours.recv() if ours.poll(max(0, seconds)) else UserError(f"not done after {max(0, seconds):.0f} s")
        except (EOFError, OSError):
            answer = UserError("its process was killed")
        if isinstance(answer, Exception):
            raise answer
        return answer

    try:
        yield turn
    finally:
        other.kill()
        other.join()


def compare(
    configs: Configs, plain: Option, options: Mapping[str, Option], end: float, **place: Any
) -> dict[str, Found]:
    """Measure each model under each option beside the plain one, an equal share of the time for each model.

    Args:
        configs: of the models.
        plain: what the options are compared with.
        options: by name; what differs from `plain`.
        end: when to stop, by `time.monotonic`.
        place: `data_dir`, `device`, `gpu`, and the `seconds` of a window.

    Returns:
        Option (and `plain`) -> model -> what `trial` yields first, the largest relative `difference` of its losses, and
        [rounds] `seconds` a step and `beside`, those of the plain one; and, where it is left out, `why`.
    """
    found: dict[str, Found] = {"plain": {}, **{name: {} for name in options}}
    for number, (model, config) in enumerate(configs.items()):
        left = end - time.monotonic()
        stop = time.monotonic() + left / (len(configs) - number)
        if number and left < 0:
            break
        with process(config, plain, place) as beside:
            reference = beside(max(60, left))
            windows = [beside(max(60, left)) for _ in range(2)]
            found["plain"][model] = {**reference, "difference": 0.0, "seconds": windows, "beside": windows}
            for name, option in options.items():
                if any("why" in one for one in found[name].values()):
                    continue  # for all models or none
                print(f"{model}: {name}", flush=True)
                full = plain | option
                try:
                    with process(config, full, place) as turn:
                        one = turn(stop - time.monotonic())
                        pairs = [(beside(60 + left), turn(stop - time.monotonic())) for _ in range(ROUNDS)]
                except Exception as error:  # whatever a compiler or a device may raise
                    found[name][model] = {"why": (str(error).strip() or type(error).__name__).splitlines()[0]}
                    continue
                one["beside"], one["seconds"] = map(list, zip(*pairs, strict=True))
                losses, exact = np.array(one["losses"]), np.array(reference["losses"])
                one["difference"] = np.abs(losses / exact - 1).max().item()
                bound = BOUNDS[full["precision"]] * (1 + (full["precision"] == "bf16" and full["compile"] is not False))
                if full["batch"] == 1 and not one["difference"] <= bound:  # NaN is not
                    one["why"] = f"losses differ by {one['difference']:.1e}, more than {bound:.0e}"
                found[name][model] = one
    return found


def hours(config: Mapping[str, Any], one: Mapping[str, Any], which: str) -> np.ndarray:
    """Hours to train a model at the `seconds` of each round, or at those `beside` them."""
    return np.array(one[which]) * one["epoch"] * config["training"]["epochs"] / 3600


def gains(configs: Configs, found: Found, threads: Mapping[str, int], cores: int) -> np.ndarray:
    """How many times as fast all models train under an option, round by round.

    So many train side by side as have cores for their `threads` (of `seconds` and `beside`); one waits for its base.
    """
    whole = {}
    for which, needed in threads.items():
        each = {model: hours(configs[model], one, which) for model, one in found.items()}
        bases = {model: (configs[model]["base"] or {}).get("model") for model in each}
        chains = [each[model] + each.get(bases[model], 0) for model in each]
        whole[which] = np.maximum(sum(each.values()) / max(1, cores // needed), np.max(chains, 0))
    return whole["beside"] / whole["seconds"]


def tune(
    configs: Configs, others: Configs, device: torch.device, cores: int, minutes: float, **place: Any
) -> dict[str, Any]:
    """Find the settings with which `configs` train fastest, the same for all.

    Args:
        configs: of the models that are compared.
        others: of more models, measured with these settings.
        device: where to train.
        cores: CPU cores to use; on a GPU one model trains at a time.
        minutes: how long it may take.
        place: `data_dir`, and the `seconds` of a window.

    Returns:
        `limits`; the name of the `chosen` option, or `plain`; and of each option its full `options`, its `trials` (see
        `compare`) and, if it is valid, its `gains`.
    """
    gpu, end = device.type == "cuda", time.monotonic() + 60 * minutes
    cores, threads = (1 if gpu else cores), next(iter(configs.values()))["training"]["threads"]
    plain = {"precision": "float32", "compile": False, "threads": threads, "memory": "stored", "batch": 1}
    place |= {"device": device.type, "gpu": torch.cuda.current_device() if gpu else None}
    found: dict[str, Any] = {"limits": limits(device), "options": {}, "trials": {}, "gains": {}}

    def measure(of: Configs, options: Mapping[str, Option], share: float = 1.0) -> None:
        stop = time.monotonic() + share * (end - time.monotonic())
        for name, models in compare(of, plain, options, stop, **place).items():
            option = found["options"][name] = plain | options.get(name, {})
            trials = found["trials"].setdefault(name, {})
            trials |= models
            valid = len(models) == len(of) and not any("why" in one for one in models.values())
            if of is configs and name in options and valid:
                needed = {"beside": plain["threads"], "seconds": option["threads"]}
                found["gains"][name] = gains(configs, models, needed, cores).tolist()

    def choose() -> Option:
        medians = {n: statistics.median(one) for n, one in found["gains"].items() if min(one) > 1}
        best = max(medians, key=medians.__getitem__, default="plain")
        found["chosen"] = best if medians.get(best, 0) >= WORTH else "plain"
        return found["options"][found["chosen"]]

    try:
        measure(configs, {})
    except Exception as error:
        if not memory_used_up(error):
            raise
        plain["memory"] = "checkpoint"
        measure(configs, {})
    counts = [] if gpu else sorted(({2**n for n in range(cores.bit_length())} | {cores}) - {threads})
    measure(configs, {f"{count} threads": {"threads": count} for count in counts}, 0.2)
    best = choose()
    precisions = ("float32", "tf32", "bf16") if gpu else ("float32", "bf16")
    pairs = itertools.product(precisions, COMPILED if gpu else (False, True))
    sets = {f"{one}{COMPILED[how]}": best | {"precision": one, "compile": how} for one, how in pairs}
    measure(configs, {name: option for name, option in sets.items() if name != "float32"}, 0.7)
    best = choose()
    of, changes = found["chosen"], {"checkpoint": {"memory": "checkpoint"}, "double batch": {"batch": 2}}
    measure(configs, {f"{of}, {name}": best | change for name, change in changes.items()}, 0.5)  # for information
    measure(others, {} if of == "plain" else {of: best})
    return found
