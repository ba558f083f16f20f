"""All of a results folder: each file by itself, then each against the others. No torch; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from vaeglow.data.arrays import INFO_FILE
from vaeglow.errors import UserError
from vaeglow.verification import copies, links, prepared
from vaeglow.verification.places import COPIES, NO_HASH, Place, place_of
from vaeglow.verification.reading import Content, read
from vaeglow.verification.report import Mismatch, Report


def verify(root: Path, data: Path | None = None) -> Report:
    """Check everything that can be.

    Args:
        root: the results folder, which holds the presets' folders.
        data: the folder that holds the prepared datasets' folders; None: data are not re-hashed.

    Raises:
        UserError: a folder is not there, or holds no results or no data.
    """
    report = Report()
    places = list(placed(root, report))
    known = {}
    for folder in progress(prepared.datasets(data) if data else [], "data"):
        digest = prepared.check(folder, report)
        if digest is not None:
            known[folder.name] = folder / INFO_FILE, digest
    contents: dict[Path, Content] = {}
    for place in progress(places, "results"):
        if place.what in NO_HASH:
            report.unchecked(place.path, NO_HASH[place.what])
        elif place.what not in COPIES and (content := opened(place, report)) is not None:
            contents[place.path] = content
    links.check(root, contents, report, known)
    for place in places:
        if place.what in COPIES:
            try:
                copies.check(root, place, report)
            except OSError as error:
                report.mismatch(place.path, unreadable(error))
    return report


def progress(items: list, what: str) -> Iterator:
    """The items, with a bar on a terminal where they take longer than a moment."""
    return iter(tqdm(items, desc=what, unit=" files", delay=1, leave=False, disable=None))


def placed(root: Path, report: Report) -> Iterator[Place]:
    """The files whose kind is known; the others are reported as not checked.

    Raises:
        UserError: no such folder, or no result in it.
    """
    found = 0
    for path in files_of(root) if root.is_dir() else ():
        place = place_of(root, path)
        if place is not None:
            found += place.what not in COPIES
            yield place
        elif not path.name.startswith("."):  # .gitkeep, .snakemake_timestamp, temporaries of a process that was killed
            report.unchecked(path, "no kind of result")
    if not found:
        raise UserError(f"{root} holds no results: give the folder that holds the presets' folders, such as results")


def files_of(root: Path) -> Iterator[Path]:
    """All files below a folder in order, links to folders followed, each folder entered once."""
    entered = set()
    for folder, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names))


def refuse(error: OSError) -> None:
    """A folder that cannot be listed: no silence."""
    raise error


def unreadable(error: Exception) -> Mismatch:
    """A file that its reader gave up on."""
    return Mismatch("it cannot be read", "a whole file", f"{type(error).__name__}: {error}")


def opened(place: Place, report: Report) -> Content | None:
    """A file's content, or None where it is bad by itself."""
    report.files += 1
    try:
        return read(place)
    except Mismatch as mismatch:
        report.mismatch(place.path, mismatch)
    except Exception as error:  # anything can stand in a damaged file, and its reader is a library
        report.mismatch(place.path, unreadable(error))
    return None
