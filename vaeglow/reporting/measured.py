"""Checks of result files, for the claims until they read by `vaeglow.results`. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaeglow.errors import UserError
from vaeglow.results import REMEDY


def value_of(path: Path, content: Any, key: str) -> Any:
    """`content[key]`.

    Raises:
        UserError: the file has no such key.
    """
    if not isinstance(content, dict) or key not in content:
        raise UserError(f"{path} lacks '{key}': {REMEDY}")
    return content[key]


def expect(path: Path, content: Any, expected: Mapping[str, Any]) -> None:
    """Every key of `expected` has that value in the file.

    Raises:
        UserError: one has not; the message names key, found and expected value.
    """
    for key, wanted in expected.items():
        found = value_of(path, content, key)
        if found != wanted:
            raise UserError(f"{path}: {key} is {shorten(found)}, wanted is {shorten(wanted)}: {REMEDY}")


def finite(path: Path, content: Mapping[str, Any], key: str) -> None:
    """The value is a finite number.

    Raises:
        UserError: it is not.
    """
    value = value_of(path, content, key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{path}: {key} is {value}, not a finite number: evaluate the run again")


def commit_of(provenance: Mapping[str, Any]) -> str:
    """The commit in a file's provenance; `+dirty` when the source differed from it."""
    return provenance["commit"] + ("+dirty" if provenance.get("dirty") else "")


def shorten(value: Any) -> str:
    """A value for a message: the first 12 digits of a hash."""
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else repr(value)
