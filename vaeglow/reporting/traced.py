"""What makes a table, the claims or a figure traceable: the files it was read from and their hashes. No torch.

In a CSV these are the last columns, in a PNG an entry of its metadata. `python -m vaeglow.verify` reads them back.
A table has two CSVs: its first columns with their intervals, and beside them, in `FULL`, all.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from vaeglow.files import read_csv, sha256_file, sha256_json
from vaeglow.paths import with_timings
from vaeglow.reporting.frame import Lines, Words
from vaeglow.results import Result

Texts = dict[str, str]  # of a table's row: column -> cell
FILES = "evidence"
HASHES = "evidence_sha256"
SEAL = "row_sha256"
RUN_HASHES = ("config_sha256", "data_sha256", "weights_sha256")
TIMES = ("started", "finished")
COLUMNS = (*RUN_HASHES, "source_sha256", *TIMES, FILES, HASHES, SEAL)
SHORT = 15  # columns of the plain CSV
FULL = ".full.csv"  # how the name of the other one ends
BETWEEN = "; "
FIGURE_KEY = "Evidence"  # of a PNG's metadata


def trace_cells(results: Sequence[Result]) -> Texts:
    """The cells that trace a row's numbers.

    Returns:
        The hashes of config, data, weights and code that the results name, their first start and last end, and the
        files with their hashes.
    """
    made = [result.content["provenance"] for result in results if "provenance" in result.content]  # none in config.json
    named = {}
    for key in RUN_HASHES:
        named[key] = distinct(result.content.get(key) for result in results)
    return {
        **named,
        "source_sha256": distinct(provenance["source_sha256"] for provenance in made),
        "started": min(provenance["started"] for provenance in made),
        "finished": max(provenance["finished"] for provenance in made),
        **evidence_cells(results),
    }


def evidence_cells(results: Iterable[Result]) -> Texts:
    """The cells that name the files a row was read from, and their hashes in the same order."""
    files = evidence(results)
    return {FILES: BETWEEN.join(files), HASHES: BETWEEN.join(files.values())}


def evidence(results: Iterable[Result]) -> Texts:
    """The hash of each file by its path; with a timing.json come all timings kept beside it."""
    return {str(path): sha256_file(path) for result in results for path in with_timings(result.path)}


def evidence_of(row: Texts) -> Texts:
    """The inverse of `evidence_cells`: path -> hash.

    Raises:
        ValueError: not as many hashes as files.
    """
    if not row[FILES]:
        return {}
    return dict(zip(row[FILES].split(BETWEEN), row[HASHES].split(BETWEEN), strict=True))


def distinct(values: Iterable[str | None], between: str = BETWEEN) -> str:
    """The values that occur, each once, in order; None and empty ones are left out."""
    return between.join(dict.fromkeys(filter(None, values)))


def sealed(rows: Sequence[Texts], columns: Words) -> Lines:
    """A table with these columns of texts, empty where a row has none, and the column `row_sha256` filled in."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=columns, dtype=object).fillna("")
    return table.assign(**{SEAL: row_hashes(table.to_dict("records"))})


def csv_forms(table: Lines) -> tuple[str, str]:
    """A sealed table as CSV: its first columns, and all."""
    return table[first_columns(table.to_dict("records"))].to_csv(index=False), table.to_csv(index=False)


def first_columns(rows: Sequence[Texts]) -> Words:
    """The columns of the plain CSV: a table's first `SHORT`, then the ends of their intervals, if a row has any."""
    names = [name for name in rows[0] if name not in COLUMNS]
    ends = {f"{name}_{end}" for name in names[:SHORT] for end in ("lower", "upper")}
    filled = {name for row in rows for name in row if row[name]}
    return names[:SHORT] + [name for name in names[SHORT:] if name in ends & filled]


def row_hashes(rows: Sequence[Texts]) -> Words:
    """For each row the hex sha256 of its header, its texts and the number of rows; however a CSV quotes them."""
    hashes = []
    for row in rows:
        hashes.append(sha256_json([len(rows), [[name, text] for name, text in row.items() if name != SEAL]]))
    return hashes


def read_table(path: Path) -> Texts | None:
    """What the rows of a CSV were read from, path -> hash; None for one without evidence, {} for first columns alone.

    Raises:
        ValueError: a row is not what was written, or first columns are not those of the whole table beside them.
    """
    rows = read_csv(path)
    if rows and SEAL in rows[0]:
        files = {}
        for number, (row, digest) in enumerate(zip(rows, row_hashes(rows), strict=True), 1):
            if row[SEAL] != digest:
                raise ValueError(f"row {number} is not what was written")
            files |= evidence_of(row)
        return files
    full = path.with_suffix(FULL)
    if not rows or not full.is_file():
        return None
    whole = read_csv(full)
    names = first_columns(whole)
    if rows != [{name: row[name] for name in names} for row in whole]:
        raise ValueError(f"it is not the first columns of {full.name}")
    return {}


def read_figure(path: Path) -> Texts | None:
    """The files a PNG was made from, path -> hash; None without evidence. Every chunk's checksum is checked.

    Raises:
        OSError, SyntaxError, ValueError: the file is damaged.
    """
    from PIL import Image

    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        text = image.text.get(FIGURE_KEY)
    return None if text is None else json.loads(text)
