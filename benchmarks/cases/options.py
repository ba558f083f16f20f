"""A training step of our models under each option for how it is computed, against the defaults; deeper flows."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.case import Case, Facts, Measured, Peer, Row, Setting, Work, divide
from benchmarks.work import SMALL_VAE, run_config, training_work

BATCH = {False: 16, True: 2}  # by `quick`
# Losses compared. Adam divides by the root of its second moments, which makes rounding grow from step to step: on the
# demo's VAE two threads instead of one are 4e-5 apart at the third loss and 4e-4 at the fourth.
TRACED = 3
SAME, NEAR = 1e-4, 0.02  # largest relative difference of losses: float32 options; bf16
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "default": ("default", {}),
    "memory_given_back": ("freed memory goes back to the system", {}),  # the process is not set up as a step's
    "bf16": ("precision: bf16", {"precision": "bf16"}),
    "checkpoint": ("memory: checkpoint", {"memory": "checkpoint"}),
    "compile": ("compile: True", {"compile": True}),
}
DEPTHS = {False: (32, 128), True: (2, 8)}  # steps of flow, by `quick`
WIDTH = 64  # parameters, gradients and moments grow with depth however it is trained: with this width they are small
DEEP_BATCH = {False: 64, True: 4}


def work(setting: Setting, model: str, preset: str = "paper", option: str = "default", deep: int = -1) -> Work:
    """The package's trainer under an option; `deep`, 0 or 1, chooses of `DEPTHS` for a flow of one level."""
    quick = setting.quick
    _, training = OPTIONS[option]
    training = dict(training)
    memory = training.pop("memory", "stored")
    batch = BATCH[quick]
    change = {}
    if deep >= 0:
        batch = DEEP_BATCH[quick]
        size = {"depth": DEPTHS[quick][deep], "width": WIDTH}
        change = {**SMALL_VAE, "vaeglow": {"layer": size}, "glow": {"network": {"levels": 1, **size}}}
    config = run_config(model, change, "demo" if quick else preset, batch_size=batch, **training)
    return training_work(config, setting, TRACED, memory=memory)


def check(facts: Mapping[str, Facts]) -> None:
    """The losses of the first steps agree."""
    expected = facts["default"]["losses"]
    for name, peer in facts.items():
        np.testing.assert_allclose(peer["losses"], expected, NEAR if "bf16" in name else SAME, 0, False, name)


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """Each option's speed over the defaults', and its share of their memory."""
    default = measured["default"]
    rows = []
    for name, option in measured.items():
        if name != "default":
            seconds = option.facts["compile_seconds"]
            note = f"compiled in {seconds:.0f} s" if seconds else ""
            rows.append(Row(f"{name} / default, images/s", divide(default.seconds, option.seconds), note=note))
            memory = (option.memory - option.memory_before) / (default.memory - default.memory_before)
            rows.append(Row(f"{name} / default, peak memory above imports", [memory]))
    return rows


def case(model: str, preset: str, *names: str) -> Case:
    """The case of one model and preset under the options of these names."""
    peers = []
    for name in ("default", "memory_given_back", *names):
        label, _ = OPTIONS[name]
        build = functools.partial(work, model=model, preset=preset, option=name)
        peers.append(Peer(name, label, build, package=name != "memory_given_back"))
    title = f"Training step of {model} at preset {preset}'s size, batch {BATCH[False]}, under its options"
    return Case(f"{model}-{preset}", title, peers, rows, check)


def deep_rows(measured: Mapping[str, Measured]) -> list[Row]:
    """Memory by depth, and time a step of flow, each against stored activations."""
    rows = []
    for memory, target in (("stored", None), ("checkpoint", 1.25)):
        ratio = measured[f"{memory}_deep"].memory / measured[f"{memory}_shallow"].memory
        rows.append(Row(f"{memory}: peak memory, deep / shallow", [ratio], target, False))
    for depth in ("shallow", "deep"):
        seconds = divide(measured[f"checkpoint_{depth}"].seconds, measured[f"stored_{depth}"].seconds)
        rows.append(Row(f"seconds a layer, checkpoint / stored, {depth}", seconds, 1.5, False))
    return rows


def deep_case(model: str) -> Case:
    """The case of one model: 32 and 128 steps of flow, their activations stored and recomputed."""
    peers = []
    for memory, option in (("stored", "default"), ("checkpoint", "checkpoint")):
        for deep, name in enumerate(("shallow", "deep")):
            build = functools.partial(work, model=model, option=option, deep=deep)
            peers.append(Peer(f"{memory}_{name}", f"{memory}, {DEPTHS[False][deep]} steps of flow", build))
    size = f"one level of width {WIDTH}, batch {DEEP_BATCH[False]}"
    return Case(f"depth-{model}", f"Training step of {model}, {size}: memory against depth", peers, deep_rows)


CASES = (
    case("vae", "demo", "bf16", "compile"),
    case("vaeglow", "demo", "bf16", "checkpoint", "compile"),
    case("glow", "demo", "bf16", "checkpoint", "compile"),
    case("vae", "paper", "bf16"),
    case("vaeglow", "paper", "bf16", "checkpoint"),
    case("vaeglow_as_written", "paper", "bf16", "checkpoint"),
    case("glow", "paper", "bf16", "checkpoint"),
    deep_case("vaeglow"),
    deep_case("glow"),
)
