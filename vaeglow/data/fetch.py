"""The one downloader: a file from a URL, whole and with the pinned hash, or one line that says why not.

A file grows as `<name>.part` and gets its name once its hash is right. After a broken connection this run, or the next,
continues from the bytes that are there.
"""

from __future__ import annotations

import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vaeglow.data.progress import progress
from vaeglow.errors import UserError
from vaeglow.files import explain_os_error, sha256_file

TRIES = 5
BACK_OFF = 1.0  # seconds before the second try; doubled before each further one
TIMEOUT = 30.0  # seconds without a byte
TRANSIENT = (408, 425, 429)  # HTTP statuses, besides 5xx, after which another try may succeed
CHUNK = 2**18


class Unreachable(UserError):
    """A URL does not give the file; another source may."""


@dataclass(frozen=True)
class PinnedFile:
    """A file that is known by its hash.

    Attributes:
        name: file name.
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
        folder: where it goes, and meanwhile its `.part`; made if needed.

    Returns:
        Its path; the hash is right.

    Raises:
        Unreachable: the URL gives nothing, or another file, which is deleted. What came before the connection broke
            off is kept.
        UserError: no room or no permission to write there.
    """
    target, part = folder / file.name, folder / f"{file.name}.part"
    if target.is_file() and not file.mismatch(target):
        return target
    resumed = part.exists()
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
    if resumed:  # what an earlier run left may be to blame
        return fetch(url, file, folder)
    raise Unreachable(f"{url} gives another file ({wrong}), which was deleted")


def _download(url: str, part: Path, max_bytes: int) -> None:
    """Fill `part`, in several tries."""
    for wait in [BACK_OFF * 2**k for k in range(TRIES - 1)] + [0.0]:
        try:
            return _continue(url, part, max_bytes)
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():  # no more bytes than these: their hash decides
                return None
            reason = f"HTTP {error.code} {error.reason}"
            if error.code < 500 and error.code not in TRANSIENT:
                break
        except (ValueError, http.client.InvalidURL) as error:
            reason = str(error)
            break
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and isinstance(known := explain_os_error(error, part), UserError):
                raise known from error  # the disk, not the network
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if wait:
            print(f"{url}: {reason}; next try in {wait:g} s", file=sys.stderr, flush=True)
            time.sleep(wait)
    kept = f"; {part} is kept, the same command continues from there" if part.exists() else ""
    raise Unreachable(f"cannot download {url} ({' '.join(reason.split())}{kept})")


def _continue(url: str, part: Path, max_bytes: int) -> None:
    """One try: ask for the bytes that `part` lacks, or for all where the server gives no ranges."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "vaeglow"} | ({"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
        have = have if answer.status == http.client.PARTIAL_CONTENT else 0
        total = None if answer.length is None else have + answer.length
        with open(part, "ab" if have else "wb") as target, progress(part.stem, total, "B", initial=have) as bar:
            while chunk := answer.read1(CHUNK):  # what has arrived: `read` would wait for all of it
                have += len(chunk)
                if have > max_bytes:
                    part.unlink()
                    raise Unreachable(f"{url} gives more than the {max_bytes:,} bytes that the file can have")
                target.write(chunk)
                bar.update(len(chunk))
        if total is not None and have < total:
            raise ConnectionError(f"broke off after {have:,} of {total:,} bytes")
