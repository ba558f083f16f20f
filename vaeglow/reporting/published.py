"""The numbers of the papers, as printed: rows of resources/published.csv. No torch."""

from __future__ import annotations

from pathlib import Path

from vaeglow.config import nearest
from vaeglow.errors import UserError

COLUMNS = ["table", "model", "dataset", "fid", "bits_per_dim", "bound"]
COLUMNS += ["seconds_per_epoch", "speed_up", "device", "origin", "note"]


def read_published(path: str | Path, table: str | None) -> list[dict[str, str]]:
    """The published rows of one table, numbers as printed.

    Args:
        path: of resources/published.csv.
        table: a name in its first column; None for no rows.

    Returns:
        A row each, `source` being `published`.

    Raises:
        UserError: no such file, another header, or no row of that table.
    """
    if table is None:
        return []
    import pandas as pd

    try:
        content = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as CSV ({' '.join(str(error).split())}): restore it from git") from None
    if list(content.columns) != COLUMNS:
        raise UserError(f"{path} has columns {', '.join(content.columns)}; it needs {', '.join(COLUMNS)}")
    chosen = content[content["table"] == table]
    if chosen.empty:
        legal = list(content["table"].unique())
        raise UserError(f"{path} has no rows of '{table}'{nearest(table, legal)}: it has {', '.join(legal)}")
    return chosen.assign(source="published").to_dict("records")
