"""Tables of config's `tables`, a module for each kind. No torch; pandas is imported when a table is made.

A kind's module has

READS                      -> what it reads of each row (keys of `vaeglow.paths.RESULTS`)
SCHEMA                     -> its entries' own keys in config, a JSON schema each
COLUMNS, or columns_of(spec, frame)
                           -> its columns; or, where a row is not of one model's runs,
                              build(spec, published, results_root) -> the whole table
SHOWN, or readable(table, spec)
                           -> the columns that a reader sees
notes_of(table, spec)      -> how the numbers were measured and what may not be compared
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

KINDS: dict[str, ModuleType] = {
    module.name: importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
}


def kind_module(spec: Mapping[str, Any]) -> ModuleType:
    """The module of a table's kind.

    Raises:
        UserError: no such kind.
    """
    kind = spec.get("kind")
    if kind not in KINDS:
        raise UserError(f"tables.{spec.get('name')}: kind is {kind!r}; it is one of {', '.join(KINDS)}")
    return KINDS[kind]


def build_table(spec: Mapping[str, Any], published: str | Path, results_root: str | Path) -> pd.DataFrame:
    """The table's rows, every cell a text as it will be printed.

    Args:
        spec: see `vaeglow.config.plan.spec`.
        published: path of resources/published.csv.
        results_root: the folder that holds the presets' folders.

    Returns:
        The columns of its kind; published rows, then the spec's rows in its order.

    Raises:
        UserError: an unknown kind, a published table that does not exist, or files that are missing, damaged or do not
            belong in one table (see `vaeglow.reporting.frame.results_frame`).
    """
    kind = kind_module(spec)
    if hasattr(kind, "build"):
        return kind.build(spec, published, results_root)
    from vaeglow.reporting import columns, frame
    from vaeglow.reporting.published import read_published

    read = frame.results_frame(spec["rows"], results_root, kind.READS, spec)
    found = kind.columns_of(spec, read) if hasattr(kind, "columns_of") else kind.COLUMNS
    rows = [columns.row_of(found, group) for group in frame.groups(read)]
    return columns.table_of([*read_published(published, spec["published"]), *rows], found)
