"""What order, gathering and dequantisation cost, as a share of the training step of case `glow`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.case import Case, Measured, Peer, Row, Setting, Work
from benchmarks.cases import glow
from benchmarks.data import make_trainer, photographs
from benchmarks.steps import training_work

IMAGES = {False: 50_000, True: 256}  # by `quick`; an epoch's order is made anew for all of them


def images(quick: bool) -> Any:
    """As many images as CIFAR-10 has, the same few over and over."""
    few = photographs(256, 32)
    return few[[i % len(few) for i in range(IMAGES[quick])]]


def whole(setting: Setting) -> Work:
    """The whole step."""
    return training_work(glow.config(setting.quick), setting, images(setting.quick))


def data_alone(setting: Setting) -> Work:
    """Its data alone: the order of each epoch, the batch, the noise."""
    trainer = make_trainer(glow.config(setting.quick), images(setting.quick), setting)
    batches = glow.upcoming(trainer)
    return Work(lambda: next(batches), trainer.batch)


def check(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Nothing to compare: one is a part of the other."""


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """The share."""
    pairs = zip(measured["data"].seconds, measured["step"].seconds, strict=True)
    return [Row("data / whole step, seconds", [part / whole for part, whole in pairs], 0.02, at_least=False)]


CASE = Case(
    name="data",
    title="Order, gathering and dequantisation of batches of 32 from 50,000 images",
    peers=(Peer("step", "whole step", whole), Peer("data", "data alone", data_alone)),
    check=check,
    rows=rows,
)
