"""The cases, in the order of the table."""

from __future__ import annotations

from benchmarks.case import Case
from benchmarks.cases import data, features, glow, layer, sampling, table4
from vaeglow.errors import UserError

CASES: tuple[Case, ...] = (glow.CASE, layer.CASE, features.CASE, sampling.CASE, data.CASE, table4.CASE)


def find(name: str) -> Case:
    """The case of that name.

    Raises:
        UserError: there is none.
    """
    for case in CASES:
        if case.name == name:
            return case
    raise UserError(f"unknown case '{name}': there are {', '.join(case.name for case in CASES)}")
