"""What `make` prints at its end: a table of quality, or what came out of the claims, for a terminal of 100 columns.

python -m vaeglow.reporting.terminal table results/table2.full.csv
python -m vaeglow.reporting.terminal claims results/claims.csv quality_main training_speed
"""

import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from vaeglow.files import read_csv
from vaeglow.reporting.claims.statistics import FAILS, HOLDS, SPLIT, UNDECIDED
from vaeglow.reporting.traced import Texts

WIDTH = 100
HINT = "\n\nwith all notes: "  # where the rest is
HEADINGS = ("Model", "FID", "KID", "bits/dim", "CPU s", "Source")


def cells(row: Texts) -> list[str]:
    """A row of the short table: means only."""
    bound = "≤ " if row["bound"] == "<=" else ""
    bits = bound + row["bits_per_dim"] if row["bits_per_dim"] else ""
    kid = row["kid"] and f"{float(row['kid']):.4f}"
    numbers = [row["fid"], kid, bits, row["train_cpu_seconds"]]
    return [row["model"], *(number or "-" for number in numbers), row["source"]]


def table_text(path: Path) -> str:
    """The short form of a table of kind `quality`: measured rows first, two or three notes, where the rest is.

    Args:
        path: `{name}.full.csv`.
    """
    rows = sorted(read_csv(path), key=lambda row: row["source"])  # measured, published
    measured = [row for row in rows if row["source"] == "measured"]
    first = measured[0]
    body = tabulate(map(cells, rows), HEADINGS, "simple", disable_numparse=True, stralign="right", colalign=["left"])
    notes = [
        f"{first['dataset']}, preset {first['preset']}. FID and KID are of {first['fid_samples']} samples: compare "
        "these rows only with each other.",
        "bits/dim: ≤ is an upper bound, without it the number is exact.",
    ]
    if len(measured) < len(rows):
        notes.append(f"Published rows are cited, on {rows[-1]['dataset']}: do not compare them with the measured ones.")
    stem = str(path).removesuffix(".full.csv")
    return "\n".join([body, "", *map(noted, notes)]) + f"{HINT}{stem}.md; all columns: {path}"


def noted(note: str) -> str:
    """An entry of a list, wrapped."""
    return textwrap.fill(note, WIDTH, initial_indent="- ", subsequent_indent="  ")


def claims_text(path: Path, names: Sequence[str]) -> str:
    """How many claims hold, do not, or cannot be said and why; what came out of those named, if tested here."""
    rows = {row["claim"]: row for row in read_csv(path)}
    counts = Counter(row["verdict"] for row in rows.values())
    open_claims = counts[UNDECIDED] + counts[SPLIT]
    elsewhere = len(rows) - counts[HOLDS] - counts[FAILS] - open_claims
    preset = next(iter(rows.values()))["preset"]
    answer = (
        f"Of {len(rows)} claims, at preset {preset}: {counts[HOLDS]} hold, {counts[FAILS]} do not; {open_claims} "
        f"cannot be said (their notes say why); {elsewhere} need other networks, data or seeds."
    )
    lines = [textwrap.fill(answer, WIDTH)]
    for row in (rows[name] for name in names if name in rows):
        effect = f" ({row['effect']} [{row['low']}, {row['high']}] {row['unit']})" if row["effect"] else ""
        lines.append(noted(f"{row['verdict']}: {row['statement']}{effect}"))
    return "\n".join([*lines, "", f"claim by claim: {path.with_suffix('.md')}"])


if __name__ == "__main__":
    what, path, *names = sys.argv[1:]
    print(table_text(Path(path)) if what == "table" else claims_text(Path(path), names))
