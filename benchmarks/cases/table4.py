"""Table 4 of the paper: seconds an epoch of Glow over the average of our two phases, at the paper's sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.case import Case, Measured, Peer, Row, Setting, Work
from benchmarks.cases.layer import SMALL
from benchmarks.data import run_config
from benchmarks.steps import training_work

BATCH = {False: 16, True: 2}  # by `quick`
MODELS = ("glow", "vae", "vaeglow", "vaeglow_as_written")
LAYERS = ("vaeglow", "vaeglow_as_written")
PAPER = 3.65
TINY = {
    **SMALL,
    "glow": {"network": {"depth": 1, "width": 8}},
    "vaeglow": {"layer": {"depth": 2, "width": 8}},
    "vaeglow_as_written": {"layer": {"depth": 2, "width": 8}},
}


def work(model: str, setting: Setting) -> Work:
    """Whole training steps of one model; see `vaeglow.training.timing` for what is in them."""
    config = run_config(model, {"models": TINY} if setting.quick else {}, batch_size=BATCH[setting.quick])
    return training_work(config, setting, traced=1, counted=True)


def check(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Different models: nothing has to agree."""


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """For each Glow layer the ratio of times, and those of FLOPs and of bytes: what the hardware is asked for."""
    glow, vae = measured["glow"], measured["vae"]
    found = []
    for name in LAYERS:
        layer = measured[name]
        rounds = zip(glow.seconds, vae.seconds, layer.seconds, strict=True)
        times = [whole / ((first + second) / 2) for whole, first, second in rounds]
        found.append(Row(f"Glow / average of vae and {name}, seconds", times, note=f"paper: {PAPER}"))
        for what in ("flops", "bytes"):
            average = (vae.facts[what] + layer.facts[what]) / 2
            title = {"flops": "FLOPs", "bytes": "bytes moved"}[what]
            found.append(Row(f"Glow / average of vae and {name}, {title}", [glow.facts[what] / average]))
    return found


def peer(model: str) -> Peer:
    """One model."""
    return Peer(model, model, lambda setting: work(model, setting))


CASE = Case(
    name="table4",
    title="Training steps at the paper's sizes (Table 4), batch 16",
    peers=tuple(peer(model) for model in MODELS),
    check=check,
    rows=rows,
)
