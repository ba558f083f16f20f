"""A training step of a flow of 32 and of 128 steps, its activations stored and recomputed."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from benchmarks.case import Case, Measured, Peer, Row, Setting, Work
from benchmarks.data import make_trainer, photographs, run_config
from benchmarks.steps import trainer_step

DEPTHS = {False: (32, 128), True: (2, 8)}  # by `quick`
WIDTH = 64  # parameters, gradients and moments grow with depth however it is trained: with this width they are small
SMALL_VAE = {"vae": {"network": {"base_dim": 4, "fc_dim": 16}, "prior": {"layers": 2, "width": 8}}}
MODELS = {
    "vaeglow": lambda depth: {**SMALL_VAE, "vaeglow": {"layer": {"depth": depth, "width": WIDTH}}},
    "glow": lambda depth: {"glow": {"network": {"levels": 1, "depth": depth, "width": WIDTH}}},
}
BATCH = {False: 64, True: 4}


def work(setting: Setting, model: str, deep: bool, memory: str) -> Work:
    """The package's trainer."""
    depth = DEPTHS[setting.quick][deep]
    change = {"models": MODELS[model](depth)}
    config = run_config(model, change, batch_size=BATCH[setting.quick])
    trainer = make_trainer(config, photographs(256, 32), setting, memory)
    return Work(trainer_step(trainer), trainer.batch, {"depth": depth})


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """Memory from depth to depth, and time a step of flow beside the stored version's."""
    found = []
    for memory, target in (("stored", None), ("checkpoint", 1.25)):
        shallow, deep = measured[f"{memory}_shallow"], measured[f"{memory}_deep"]
        found.append(Row(f"{memory}: peak memory, deep / shallow", [deep.memory / shallow.memory], target, False))
    for depth in ("shallow", "deep"):
        pairs = zip(measured[f"checkpoint_{depth}"].seconds, measured[f"stored_{depth}"].seconds, strict=True)
        found.append(Row(f"seconds a layer, checkpoint / stored, {depth}", [a / b for a, b in pairs], 1.5, False))
    return found


def case(model: str) -> Case:
    """The case of one model."""
    peers = tuple(
        Peer(
            f"{memory}_{name}",
            f"{memory}, {DEPTHS[False][deep]} steps of flow",
            functools.partial(work, model=model, deep=deep, memory=memory),
        )
        for memory in ("stored", "checkpoint")
        for deep, name in enumerate(("shallow", "deep"))
    )
    return Case(
        name=f"depth-{model}",
        title=f"Training step of {model}, one level of width {WIDTH}, batch {BATCH[False]}: memory against depth",
        peers=peers,
        check=lambda facts: None,
        rows=rows,
    )


CASES = tuple(case(model) for model in MODELS)
