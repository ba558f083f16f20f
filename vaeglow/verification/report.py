"""What a verification found: mismatches, files that are not there, files that nothing can be said of. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

REDO = "delete it and run snakemake again"


@dataclasses.dataclass(eq=False)
class Mismatch(Exception):
    """A file is not what it should be.

    Attributes:
        what: is wrong.
        expected: a hash or a value.
        found: likewise.
        todo: what to do.
    """

    what: str
    expected: str
    found: str
    todo: str = REDO


class Report:
    """Gathers what is found.

    Attributes:
        bad: files that do not match; what depends on them is not blamed as well.
        files: how many were checked.
    """

    def __init__(self) -> None:
        self.bad: set[Path] = set()
        self.files = 0
        self._mismatches: dict[tuple[Path, str, str], tuple[Mismatch, list[Path]]] = {}
        self._absent: dict[str, dict[Path, Path]] = {}
        self._unchecked: dict[str, list[Path]] = {}

    def mismatch(self, path: Path, mismatch: Mismatch, said_by: Sequence[Path] = ()) -> None:
        """A file is wrong, by itself or by what others say of it (`said_by`); the same said by several is one line."""
        key = (path, mismatch.what, mismatch.expected)
        self._mismatches.setdefault(key, (mismatch, []))[1].extend(said_by)
        if not said_by:
            self.bad.add(path)

    def absent(self, path: Path, what: str, named_by: Path) -> None:
        """A file of the kind `what` is not there, which another one names: nothing to compare, and no mismatch."""
        self._absent.setdefault(what, {}).setdefault(path, named_by)

    def unchecked(self, path: Path, why: str) -> None:
        """Nothing can be said of a file."""
        self._unchecked.setdefault(why, []).append(path)

    def lines(self, every: bool = False) -> Iterator[str]:
        """One line a mismatch, then what is not there and what was not checked, each kind in a line, then the counts.

        Args:
            every: name every file meant, not the first and how many more.
        """
        for (path, _, _), (found, users) in sorted(self._mismatches.items(), key=lambda item: item[0]):
            said = f" (says {counted(users, every)})" if users else ""
            values = f"expected {shorten(found.expected)}, found {shorten(found.found)}"
            yield one_line(f"mismatch: {path}: {found.what}{said}: {values}: {found.todo}")
        for what, files in sorted(self._absent.items()):
            yield f"not there: {counted(files, every)} ({what}), named by {counted(set(files.values()))}"
        for why, paths in sorted(self._unchecked.items()):
            yield f"not checked: {counted(paths, every)}: {why}"
        absent = sum(map(len, self._absent.values()))
        unchecked = sum(map(len, self._unchecked.values()))
        counts = f"{len(self._mismatches)} mismatches, {absent} not there, {unchecked} not checked"
        yield f"{self.files} files checked: {counts}"

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self._mismatches


def counted(paths: Collection[Path], every: bool = False) -> str:
    """Several files in a few words: the first and how many more, or all."""
    first, *more = sorted(set(paths))
    if every:
        return ", ".join(map(str, (first, *more)))
    return f"{first} and {len(more)} more" if more else str(first)


def shorten(value: str) -> str:
    """A hash as its first 12 digits, anything else as it is."""
    return f"{value[:12]}..." if len(value) == 64 and value.isalnum() else value


def one_line(text: str) -> str:
    """A text without line breaks."""
    return " ".join(text.split())
