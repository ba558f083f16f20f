"""Prepared data that outlive the workflow's own rules, and two workflows that prepare the same data at once.

Snakemake deletes a rule's outputs before the rule runs. So each file that is made is also kept in the folder `.kept`
beside it, as a second name of the same bytes (a hard link: no disk space). When the data are asked for again and
nothing they are made of has changed, they come back from there; a run with other settings that fails loses nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vaeglow.config.check import PLACES, source_paths
from vaeglow.data.arrays import INFO_FILE, SPLITS, open_split
from vaeglow.data.prepare import complete, prepare
from vaeglow.errors import UserError
from vaeglow.files import NO_LOCKS, atomic_path, read_json, sha256_json, write_json

KEPT, CARD = ".kept", "made_of.json"
FILES = (*(f"{split}.npy" for split in SPLITS), INFO_FILE)  # dataset.json last: where it is, all is
PACKAGES = ("numpy", "pillow", "scikit-image", "scikit-learn", "torchvision")  # whose decoders made the arrays


def prepare_or_reuse(name: str, settings: dict[str, Any], output_dir: Path, workers: int = 1) -> bool:
    """Make a dataset with `prepare`, or put back what was made before of the same settings, files and code.

    Args:
        name: the dataset's name in config.
        settings: its entry there.
        output_dir: where the arrays and dataset.json go.
        workers: processes that read image files; no value depends on it.

    Returns:
        Whether the arrays were there already.

    Raises:
        UserError: whatever `prepare` raises; what was kept stays.
    """
    complete(name, settings)  # a slip is said before anything is waited for
    kept = output_dir / KEPT
    with alone(kept):
        for left in output_dir.glob(".*.tmp"):  # of a job that was killed
            left.unlink(missing_ok=True)
        made_of = fingerprint(name, settings)
        if holds(kept, made_of):
            link(kept, output_dir)
            return True
        prepare(name, settings, output_dir, workers)
        (kept / CARD).unlink(missing_ok=True)
        link(output_dir, kept)
        write_json(kept / CARD, {"made_of": made_of})
        return False


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process prepares the same data (two workflows may share the folder resources)."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process prepares {folder.parent}: waiting for it", flush=True)
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()


def fingerprint(name: str, settings: dict[str, Any]) -> str:
    """Hex sha256 of all that the arrays are made of: settings, code, decoders, the user's files by size and time."""
    code = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    places = [Path(settings[key]).expanduser() for key in PLACES if settings.get(key)]
    places += [Path(path) for path in source_paths(settings)]  # what comes by the network is checked by hash
    return sha256_json(
        {
            "name": name,
            "settings": complete(name, settings),
            "code": hashlib.sha256(b"\0".join(code)).hexdigest(),
            "versions": {package: metadata.version(package) for package in PACKAGES},
            "files": [entry for place in places for entry in listing(place)],
        }
    )


def listing(place: Path) -> list[list[Any]]:
    """Path, size and time of change of a file, or of all files in a folder, sorted."""
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    found = []
    for path in files:
        status = path.stat()
        found.append([path.as_posix(), status.st_size, status.st_mtime_ns])
    return sorted(found)


def holds(kept: Path, made_of: str) -> bool:
    """Whether whole arrays of this fingerprint are kept."""
    try:
        if read_json(kept / CARD)["made_of"] != made_of:
            return False
        for split in SPLITS:
            open_split(kept, split)
    except (UserError, KeyError, TypeError):
        return False
    return True


def link(source: Path, target: Path) -> None:
    """Give the files of one folder a second name in another; a copy where the file system has no such links."""
    (target / INFO_FILE).unlink(missing_ok=True)
    for name in FILES:
        with atomic_path(target / name) as temporary:
            try:
                os.link(source / name, temporary)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
                    raise
                shutil.copyfile(source / name, temporary)
