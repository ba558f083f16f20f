"""The cases, in the order of the table."""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import data, depth, features, glow, layer, options, sampling, table4
from vaeglow.errors import UserError

CASES: tuple[Case, ...] = (glow.CASE, layer.CASE, features.CASE, sampling.CASE, data.CASE, table4.CASE)

# How a step of our own is computed; run when asked for by name (docs/performance.md).
EXTRA: tuple[Case, ...] = (*options.CASES, *depth.CASES)


def find(name: str) -> Case:
    """The case of that name.

    Raises:
        UserError: there is none.
    """
    for case in (*CASES, *EXTRA):
        if case.name == name:
            return case
    raise UserError(f"unknown case '{name}': there are {', '.join(case.name for case in (*CASES, *EXTRA))}")
