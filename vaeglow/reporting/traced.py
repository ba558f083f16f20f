"""What makes a table, the claims or a figure traceable: the files it was read from and their hashes. No torch.

In a CSV these are the last columns, in a PNG an entry of its metadata. `python -m vaeglow.verify` reads them back.
A table has two CSVs: its first columns with their intervals, and beside them, in `FULL`, all.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vaeglow.files import read_csv, sha256_file, sha256_json
from vaeglow.paths import with_timings
from vaeglow.reporting.frame import Lines
from vaeglow.results import Result

FILES, HASHES, SEAL = "evidence", "evidence_sha256", "row_sha256"
RUN_HASHES = ("config_sha256", "data_sha256", "weights_sha256")
TIMES = {"started": min, "finished": max}
COLUMNS = (*RUN_HASHES, "source_sha256", *TIMES, FILES, HASHES, SEAL)
SHORT, FULL = 15, ".full.csv"  # columns of the one; how the other's name ends
BETWEEN = "; "
FIGURE_KEY = "Evidence"  # of a PNG's metadata


def trace_cells(results: Sequence[Result]) -> dict[str, str]:
    """The cells that trace a row's numbers.

    Returns:
        The hashes of config, data, weights and code that the results name, their first start and last end, and the
        files with their hashes.
    """
    made = [result.content["provenance"] for result in results if "provenance" in result.content]  # none in config.json
    cells = {key: distinct(result.content.get(key) for result in results) for key in RUN_HASHES}
    cells |= {"source_sha256": distinct(one["source_sha256"] for one in made)}
    cells |= {key: extreme(one[key] for one in made) for key, extreme in TIMES.items()}
    return cells | evidence_cells(result.path for result in results)


def evidence_cells(paths: Iterable[Path]) -> dict[str, str]:
    """The cells that name the files a row was read from, and their hashes in the same order."""
    named = evidence(paths)
    return {FILES: BETWEEN.join(named), HASHES: BETWEEN.join(named.values())}


def evidence(paths: Iterable[Path]) -> dict[str, str]:
    """Each file with its hash, `with_timings`."""
    every = [one for path in paths for one in with_timings(path)]
    return {str(path): sha256_file(path) for path in dict.fromkeys(every)}


def evidence_of(row: Mapping[str, str]) -> dict[str, str]:
    """The inverse of `evidence_cells`: path -> hash.

    Raises:
        ValueError: not as many hashes as files.
    """
    return dict(zip(row[FILES].split(BETWEEN), row[HASHES].split(BETWEEN), strict=True)) if row[FILES] else {}


def distinct(values: Iterable[str | None], between: str = BETWEEN) -> str:
    """The values that occur, each once, in order; None and empty ones are left out."""
    return between.join(dict.fromkeys(value for value in values if value))


def sealed(table: Lines) -> Lines:
    """A table of texts with the column `row_sha256` filled in."""
    return table.assign(**{SEAL: row_hashes(table.to_dict("records"))})


def csv_forms(table: Lines) -> tuple[str, str]:
    """A sealed table as CSV: its first columns, and all."""
    return table[first_columns(table.to_dict("records"))].to_csv(index=False), table.to_csv(index=False)


def first_columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns of the plain CSV: a table's first `SHORT`, then the ends of their intervals, if a row has any."""
    own = [name for name in rows[0] if name not in COLUMNS]
    ends = {f"{name}_{end}" for name in own[:SHORT] for end in ("lower", "upper")}
    return own[:SHORT] + [name for name in own[SHORT:] if name in ends and any(row[name] for row in rows)]


def row_hashes(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """For each row the hex sha256 of its header, its texts and the number of rows; however a CSV quotes them."""
    return [sha256_json([len(rows), [[key, cell] for key, cell in row.items() if key != SEAL]]) for row in rows]


def read_table(path: Path) -> dict[str, str] | None:
    """What the rows of a CSV were read from, path -> hash; None for one without evidence, {} for first columns alone.

    Raises:
        ValueError: a row is not what was written, or first columns are not those of the whole table beside them.
    """
    rows, full = read_csv(path), path.with_suffix(FULL)
    if rows and SEAL not in rows[0] and full.is_file():
        whole = read_csv(full)
        if rows != [{name: row[name] for name in first_columns(whole)} for row in whole]:
            raise ValueError(f"it is not the first columns of {full.name}")
        return {}
    if not rows or SEAL not in rows[0]:
        return None
    for number, (row, digest) in enumerate(zip(rows, row_hashes(rows), strict=True), 1):
        if row[SEAL] != digest:
            raise ValueError(f"row {number} ({', '.join(list(row.values())[:2])}) is not what was written")
    return {path: digest for row in rows for path, digest in evidence_of(row).items()}


def read_figure(path: Path) -> dict[str, str] | None:
    """The files a PNG was made from, path -> hash; None without evidence. Every chunk's checksum is checked.

    Raises:
        OSError, SyntaxError, ValueError: the file is damaged.
    """
    from PIL import Image

    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        text = image.text.get(FIGURE_KEY)
    return None if text is None else dict(json.loads(text))
