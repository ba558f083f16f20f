"""The one downloader: a file from a URL, whole and of the pinned hash, or one line that says why not.

A file grows as `<name>.part` beside its final name and gets that name once its hash is right. Where a connection breaks
off, this run or the next one goes on from the bytes that are there.
"""

from __future__ import annotations

import http.client
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vaeglow.data.progress import progress
from vaeglow.errors import UserError
from vaeglow.files import explain_os_error, sha256_file

TRIES = 5  # of one URL, one after the other without headway
HEADWAY = 1_000_000  # bytes more than there ever were: a try that brought them does not count as failed
BACK_OFF = 1.0  # seconds before the second try; twice as many before each further one
TIMEOUT = 30.0  # seconds without a byte
SLOW_BYTES, SLOW_SECONDS = 30_000, 30.0  # fewer bytes in so many seconds count as a connection that broke off
PASSING = (408, 425, 429)  # beside 5xx: HTTP statuses that another try may better
CHUNK = 2**18


class Unreachable(UserError):
    """A URL does not give the file; another source may."""


class BrokenOff(Exception):
    """One try failed in a way that may pass."""


@dataclass(frozen=True)
class PinnedFile:
    """A file that is known by its hash.

    Attributes:
        name: of the file.
        digest: what `measure` must give.
        max_bytes: no copy is larger; stops a runaway or hostile download.
        measure: from a path to a hex digest.
        measured: what that is, for messages.
    """

    name: str
    digest: str
    max_bytes: int
    measure: Callable[[Path], str] = sha256_file
    measured: str = "sha256"

    def mismatch(self, path: Path) -> str:
        """How the file at `path` differs: expected and found; empty if it does not."""
        found = self.measure(path)
        return "" if found == self.digest else f"its {self.measured} is {found} instead of {self.digest}"


def fetch(url: str, file: PinnedFile, folder: Path) -> Path:
    """Download a file, unless an earlier download is there.

    Args:
        url: http or https.
        file: what it must be.
        folder: where it goes, and meanwhile its `.part`; made if need be.

    Returns:
        Its path; the hash is right.

    Raises:
        Unreachable: the URL gives nothing, or something else, which is deleted. What came before the connection broke
            off for the last time is kept, and the message says so.
        UserError: no room or no permission to write there.
    """
    target, part = folder / file.name, folder / f"{file.name}.part"
    if target.is_file():
        if not file.mismatch(target):
            return target
        target.unlink()
    left_over = part.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _download(url, part, file.max_bytes)
        wrong = file.mismatch(part)
        if not wrong:
            os.replace(part, target)
            return target
        part.unlink()
    except OSError as error:
        raise explain_os_error(error, part) from error
    if left_over:  # from an earlier run, perhaps of another source: its bytes may be to blame
        return fetch(url, file, folder)
    raise Unreachable(f"{url} gives another file ({wrong}), which was deleted")


def _download(url: str, part: Path, max_bytes: int) -> None:
    """Fill `part`, try after try as long as they bring something."""
    transfer, most, failed = _Transfer(url, part, max_bytes), _size(part), 0
    while True:
        try:
            return transfer.go_on()
        except BrokenOff as error:
            reason = " ".join(str(error).split())
        if _size(part) >= most + HEADWAY:
            most, failed = _size(part), 0
        failed += 1
        if failed == TRIES:
            break
        wait = BACK_OFF * 2 ** (failed - 1)
        print(f"{url}: {reason}; next try in {wait:g} s", file=sys.stderr, flush=True)
        time.sleep(wait)
    kept = _size(part)
    keep = f"; {_megabytes(kept)} are kept in {part}, the same command goes on from there" if kept else ""
    raise Unreachable(f"cannot download {url} ({reason}; {TRIES} tries{keep})")


class _Transfer:
    """The tries at one file: each asks for what the one before left out."""

    def __init__(self, url: str, part: Path, max_bytes: int) -> None:
        self.url, self.part, self.max_bytes = url, part, max_bytes
        self.etag = ""  # the version that the bytes in `part` are of, as far as the server told

    def go_on(self) -> None:
        """One try.

        Raises:
            BrokenOff: another try may help.
            Unreachable: none will.
        """
        have = _size(self.part)
        headers = {"User-Agent": "vaeglow"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.etag:
                headers["If-Range"] = self.etag
        try:
            answer = urllib.request.urlopen(urllib.request.Request(self.url, headers=headers), timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            return self._refused(error, have)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise BrokenOff(str(reason) or type(reason).__name__) from error
        except ValueError as error:
            raise Unreachable(f"cannot download {self.url} ({error})") from error
        with answer:
            start, total = self._range(answer, have)
            if total is not None and total > self.max_bytes:
                self._too_large(total)
            etag = answer.headers.get("ETag", "")
            self.etag = "" if etag.startswith("W/") else etag  # a weak one cannot be asked for
            with open(self.part, "ab" if start else "wb") as target:
                self._copy(answer, target, start, total)

    def _refused(self, error: urllib.error.HTTPError, have: int) -> None:
        if error.code == 416:  # no bytes beyond those we have: all of them, or another file's
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
            self.part.unlink()
            raise BrokenOff("the file there is not the one that was begun")
        if error.code in PASSING or error.code >= 500:
            raise BrokenOff(f"HTTP {error.code} {error.reason}")
        raise Unreachable(f"cannot download {self.url} (HTTP {error.code} {error.reason})")

    def _range(self, answer: Any, have: int) -> tuple[int, int | None]:
        """Which byte the answer starts at, and how many the whole file has, where the server says so."""
        if have and answer.status == 206:
            told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
            if told is None or int(told[1]) != have:
                self.part.unlink()
                raise BrokenOff("the server answered with another range than was asked for")
            return have, None if told[2] == "*" else int(told[2])
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None

    def _copy(self, answer: Any, target: IO[bytes], have: int, total: int | None) -> None:
        mark, since = have, time.monotonic()
        with progress(self.part.stem, total, "B", have) as advance:
            while True:
                try:
                    chunk = answer.read1(CHUNK)  # what has arrived: `read` would wait for all of it
                except (OSError, http.client.HTTPException) as error:
                    raise BrokenOff(f"broke off after {_megabytes(have)}: {error}") from error
                if not chunk:
                    break
                have += len(chunk)
                if have > self.max_bytes:
                    self._too_large(have)
                target.write(chunk)
                advance(len(chunk))
                if time.monotonic() - since > SLOW_SECONDS:
                    if have - mark < SLOW_BYTES:
                        raise BrokenOff(f"fewer than {SLOW_BYTES:,} bytes in {SLOW_SECONDS:g} s")
                    mark, since = have, time.monotonic()
        if total is not None and have < total:
            raise BrokenOff(f"broke off after {_megabytes(have)} of {_megabytes(total)}")

    def _too_large(self, found: int) -> None:
        self.part.unlink(missing_ok=True)
        limit = _megabytes(self.max_bytes)
        raise Unreachable(f"{self.url} gives {_megabytes(found)} or more, the file has at most {limit}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.3g} MB" if count < 1e7 else f"{count / 1e6:,.0f} MB"
