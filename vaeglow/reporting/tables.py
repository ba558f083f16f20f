"""A table of config's `tables`: as CSV for machines, and in the form that Markdown and LaTeX print. No torch.

What a table holds is the matter of its kind, a module of `vaeglow.reporting.table_kinds` with

    build(spec, published, results_root) -> all columns and rows, every cell a text
    readable(table, spec)                -> the columns that a reader sees, under their headers
    notes_of(table, spec)                -> how the numbers were measured and what may not be compared
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from vaeglow.errors import UserError
from vaeglow.reporting.labels import LABELS
from vaeglow.reporting.measured import commit_of
from vaeglow.reporting.table_kinds.quality import COLUMNS

__all__ = ["COLUMNS", "KINDS", "LABELS", "build_table", "commit_of", "kind_module"]

KINDS = (
    *("quality", "timing", "sampling", "information", "likelihood", "layer_action", "linear_reference"),
    "differences",
)


def kind_module(spec: Mapping[str, Any]) -> ModuleType:
    """The module of a table's kind.

    Raises:
        UserError: no such kind.
    """
    kind = spec.get("kind")
    if kind not in KINDS:
        raise UserError(f"tables.{spec.get('name')}: kind is {kind!r}; it is one of {', '.join(KINDS)}")
    return importlib.import_module(f"vaeglow.reporting.table_kinds.{kind}")


def build_table(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows, every cell a text as it will be printed.

    Args:
        spec: see `vaeglow.config.plan.spec`.
        published: path of resources/published.csv.
        results_root: the folder that holds the presets' folders.

    Returns:
        The columns of its kind; published rows, then the spec's rows in its order.

    Raises:
        UserError: an unknown kind; see `vaeglow.reporting.published.read_published` and
            `vaeglow.reporting.measured.read_groups`.
    """
    return kind_module(spec).build(spec, published, results_root)
