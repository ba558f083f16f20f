"""The reader's form of a table: fewer columns, and below them how each number was measured. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vaeglow.reporting.tables import kind_module


def to_markdown(table: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    """The table and its notes.

    Args:
        table: what `vaeglow.reporting.tables.build_table` returned.
        spec: see `vaeglow.config.plan.spec`.
    """
    kind = kind_module(spec)
    # Everything is text already: `disable_numparse` keeps 46.90 from becoming 46.9.
    text = kind.readable(table, spec).to_markdown(index=False, disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in kind.notes_of(table, spec))
    return f"# {spec['title']}\n\n{text}\n\n{notes}\n"
