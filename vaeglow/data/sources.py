"""Where a dataset's files come from: paths and URLs, tried in order; every file is checked against its pinned hash.

A download grows as `<name>.part` and gets its name once its hash is right. After a broken connection this run, or the
next, continues from the bytes it has.
"""

import http.client
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from vaeglow.data.seeds import PATH
from vaeglow.errors import UserError
from vaeglow.files import Config, explain_os_error, local_path, sha256_file
from vaeglow.progress import Lines

DOWNLOADS = "download"  # subfolder of a dataset's folder; files in it are not downloaded again
SOURCES = {  # schema of the keys of datasets whose files are published
    "local": {
        "$ref": "#/$defs/path_or_null",
        "default": None,
        "description": "the files on this machine, used instead of `sources`; `null`: none",
    },
    "sources": {
        "type": "array",
        "items": PATH,
        "uniqueItems": True,
        "default": [],
        "description": "paths and URLs (`http`, `https`, `file`), tried in this order; a list in an overlay replaces "
        "this one. Every file is checked by hash, and the prepared data do not depend on the source: see "
        "[docs/data.md](../docs/data.md)",
    },
}
TRIES = 5
BACK_OFF = 1.0  # seconds before the second try; doubled before each further one
TIMEOUT = 30.0  # seconds without a byte
TRANSIENT = (408, 425, 429)  # HTTP statuses, besides 5xx, after which another try may succeed
CHUNK = 2**18


class Unavailable(UserError):
    """A place does not have the file: try the next one."""


@dataclass(frozen=True)
class PinnedFile:
    """A file identified by its hash.

    Attributes:
        name: file name.
        digest: what `measure` must return.
        max_bytes: upper limit of its size; stops a runaway or hostile download.
        measure: from a path to a hex digest.
    """

    name: str
    digest: str
    max_bytes: int
    measure: Callable[[Path], str] = sha256_file

    def mismatch(self, path: Path) -> str:
        """How the file at `path` differs: expected and found; empty if it does not."""
        digest = self.measure(path)
        return "" if digest == self.digest else f"its sha256 is {digest} instead of {self.digest}"


def obtain(name: str, settings: Config, files: Collection[PinnedFile], where: str, output_dir: Path) -> list[Path]:
    """Get a dataset's files from the first place that has them.

    Args:
        name: the dataset's, in config.
        settings: its `local`, a path that must have the files, or None; its `sources`, otherwise tried in order.
        files: which.
        where: a user can get them by hand, for messages.
        output_dir: the dataset's folder; downloads are kept in it.

    Returns:
        The files' paths; their hashes are right.

    Raises:
        UserError: no place has the files (the message gives the reason for each), or a file is another one.
    """
    failures = []
    places = [settings["local"]] if settings["local"] else settings["sources"]
    for place in places:
        try:
            paths = [get(place, file, output_dir / DOWNLOADS) for file in files]
        except Unavailable as error:
            failures.append(str(error))
            print(f"dataset {name}: {error}", file=sys.stderr)
        else:
            print(f"dataset {name}: from {place}")
            return paths
    wanted = " and ".join(file.name for file in files)
    shelf = "into resources/by_hand/, or" if "resources/by_hand" in places else "and"
    raise UserError(
        f"dataset {name}: no source has the data ({'; '.join(failures) or '`local` and `sources` are empty'}): "
        f"fetch {wanted} by hand ({where}) {shelf} set datasets.{name}.local to the file or its folder"
    )


def get(place: str, file: PinnedFile, folder: Path) -> Path:
    """A file from a place: a path, a `file:` URL, or an address in the network, of the file or of its folder.

    Raises:
        Unavailable: it is not there.
        UserError: what is there on this machine is another file.
    """
    if re.match("https?://", place):
        is_file = urllib.parse.urlsplit(place).path.endswith(f"/{file.name}")
        return fetch(place if is_file else f"{place.rstrip('/')}/{file.name}", file, folder)
    where = local_path(place)
    path = where / file.name if where.is_dir() else where
    if not path.is_file():
        raise Unavailable(f"{where} has no {file.name}" if where.is_dir() else f"{where} does not exist")
    wrong = file.mismatch(path)
    if wrong:
        raise UserError(f"{path} is cut short or another file ({wrong}): delete it or fetch it again")
    return path


def fetch(url: str, file: PinnedFile, folder: Path) -> Path:
    """Download a file to a folder, unless it was downloaded before.

    Raises:
        Unavailable: the URL gives nothing, or another file, which is deleted. After a broken connection the bytes
            received so far are kept.
        UserError: no room or no permission to write there.
    """
    target = folder / file.name
    part = folder / f"{file.name}.part"
    if target.is_file() and not file.mismatch(target):
        return target
    resumed = part.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _download(url, part, file.max_bytes)
        wrong = file.mismatch(part)
        if not wrong:
            return part.replace(target)
        part.unlink()
    except OSError as error:
        raise explain_os_error(error, part) from error
    if resumed:  # the bytes from an earlier run may be wrong
        return fetch(url, file, folder)
    raise Unavailable(f"{url} returned another file ({wrong}), which was deleted")


def _download(url: str, part: Path, max_bytes: int) -> None:
    """Fill `part`, in several tries."""
    for wait in [*(BACK_OFF * 2**k for k in range(TRIES - 1)), 0.0]:
        try:
            return _continue(url, part, max_bytes)
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():  # no more bytes than these: their hash decides
                return None
            reason = f"HTTP {error.code} {error.reason}"
            if error.code < 500 and error.code not in TRANSIENT:
                break
        except (OSError, ValueError, http.client.HTTPException) as error:
            known = explain_os_error(error, part) if isinstance(error, OSError) else error
            if isinstance(known, UserError):
                raise known from error  # the disk, not the network
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if wait:
            print(f"{url}: {reason}; next try in {wait:g} s", file=sys.stderr, flush=True)
            time.sleep(wait)
    kept = f"; {part} is kept, the same command continues from there" if part.exists() else ""
    raise Unavailable(f"cannot download {url} ({' '.join(reason.split())}{kept})")


def _continue(url: str, part: Path, max_bytes: int) -> None:
    """One try: request the bytes missing from `part`, or all if the server does not support ranges."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "vaeglow"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            have = 0
        total = None if answer.length is None else have + answer.length
        lines = Lines(part.stem)
        with open(part, "ab" if have else "wb") as target:
            for chunk in iter(lambda: answer.read1(CHUNK), b""):  # what has arrived; `read` would wait for all of it
                have += len(chunk)
                if have > max_bytes:
                    part.unlink()
                    raise Unavailable(f"{url} gives more than the {max_bytes:,} bytes that the file can have")
                target.write(chunk)
                if lines.is_due():
                    lines.tell(f"{have:,} of {total or max_bytes:,} bytes")
        if total is not None and have < total:
            raise ConnectionError(f"broke off after {have:,} of {total:,} bytes")
