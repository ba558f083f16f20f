"""Kinds of probes, a module each: measurements on a trained run, for tables, figures and claims.

A module declares
- `READS`: its inputs: keys of `vaeglow.paths.RESULTS`, splits of the data, `weights` for the Inception weights;
- `RESULT`: the path of its result in the run's folder;
- `SCHEMA`: of its entry in the config's `probes`;
- `measure(run, reads, settings)`: the values and the arrays of its result. UserError for a model of another kind, other
  data, fewer images than requested, or a value that is not finite.
Nothing heavy is imported before `measure` is called.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

NAMES = tuple(module.name for module in pkgutil.iter_modules(__path__))
FEATURES = {"enum": [64, 192, 768, 2048], "description": "the Inception layer in which distances are measured"}


def probe(name: str) -> ModuleType:
    """The module of a kind, one of `NAMES`."""
    return importlib.import_module(f"{__name__}.{name}")


def count(description: str, minimum: int = 1) -> dict[str, Any]:
    """The schema of a whole number."""
    return {"type": "integer", "minimum": minimum, "description": description}
