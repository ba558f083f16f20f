"""A training step of our models under each option that says how it is computed, beside the defaults."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from benchmarks.case import Case, Measured, Peer, Row, Setting, Work, times_faster
from benchmarks.data import make_trainer, photographs, run_config
from benchmarks.steps import numbers, parameters, trainer_step

BATCH = {False: 16, True: 2}  # by `quick`
# Losses compared. Adam divides by the root of its second moments, which makes rounding grow from step to step: on the
# demo's VAE two threads instead of one are 4e-5 apart at the third loss and 4e-4 at the fourth.
TRACED = 3
SAME, NEAR = 1e-4, 0.02  # largest relative difference of losses: float32 options; bf16
OPTIONS: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16"},
    "checkpoint": {"memory": "checkpoint"},
    "compile": {"compile": True},
}


def work(setting: Setting, model: str, preset: str, option: Mapping[str, Any]) -> Work:
    """The package's trainer under an option."""
    training = {key: value for key, value in option.items() if key != "memory"}
    preset = "demo" if setting.quick else preset
    config = run_config(model, preset=preset, batch_size=BATCH[setting.quick], **training)
    trainer = make_trainer(config, photographs(256, 32), setting, option.get("memory", "stored"))
    step = trainer_step(trainer)
    losses = numbers([step() for _ in range(TRACED)])
    facts = {"parameters": parameters(trainer.model), "losses": losses}
    return Work(step, trainer.batch, facts | {"compile_seconds": trainer.position.compile_seconds})


def check(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """The losses of the first steps agree."""
    for name, found in facts.items():
        allowed = NEAR if "bf16" in name else SAME
        for one, other in zip(found["losses"], facts["default"]["losses"], strict=True):
            if not abs(one - other) <= allowed * abs(other):
                raise ValueError(f"{name}: a loss of {one:.6g} bits/dim, {other:.6g} by default")


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """Each option's speed over the defaults', and its share of their memory."""
    default = measured["default"]
    found = []
    for name, one in measured.items():
        if name == "default":
            continue
        seconds = one.facts["compile_seconds"]
        note = f"compiled in {seconds:.0f} s" if seconds else ""
        found.append(Row(f"{name} / default, images/s", times_faster(one, default), note=note))
        memory = (one.memory - one.memory_before) / (default.memory - default.memory_before)
        found.append(Row(f"{name} / default, peak memory above imports", [memory]))
    return found


def case(model: str, preset: str, *names: str) -> Case:
    """The case of one model and preset."""

    def peer(name: str, title: str, option: Mapping[str, Any], package: bool = True) -> Peer:
        build = functools.partial(work, model=model, preset=preset, option=option)
        return Peer(name, title, build, package=package)

    return Case(
        name=f"{model}-{preset}",
        title=f"Training step of {model} at preset {preset}'s size, batch {BATCH[False]}, under its options",
        peers=(
            peer("default", "default", {}),
            peer("memory_given_back", "freed memory goes back to the system", {}, package=False),
            *(
                peer(name, "; ".join(f"{key}: {value}" for key, value in OPTIONS[name].items()), OPTIONS[name])
                for name in names
            ),
        ),
        check=check,
        rows=rows,
    )


CASES = (
    case("vae", "demo", "bf16", "compile"),
    case("vaeglow", "demo", "bf16", "checkpoint", "compile"),
    case("glow", "demo", "bf16", "checkpoint", "compile"),
    case("vae", "paper", "bf16"),
    case("vaeglow", "paper", "bf16", "checkpoint"),
    case("vaeglow_as_written", "paper", "bf16", "checkpoint"),
    case("glow", "paper", "bf16", "checkpoint"),
)
