"""Kinds of probes, a module each: what is looked into of a trained run, for tables, figures and claims.

A module declares `READS` (what it is given: keys of `vaeglow.paths.RESULTS`, splits of the data, `weights` for the
Inception weights), `SCHEMA` (of its entry in the config's `probes`) and `measure(run, reads, settings)`, which returns
the values and the arrays of its result. Nothing heavy is imported before `measure` is called.
"""

from __future__ import annotations

import importlib
from types import ModuleType

NAMES = (
    "latents",
    "layer_draws",
    "layer_action",
    "interpolation",
    "noise_maps",
    "linear_reference",
    "nearest_training",
)


def probe(name: str) -> ModuleType:
    """The module of a kind, one of `NAMES`."""
    return importlib.import_module(f"{__name__}.{name}")
