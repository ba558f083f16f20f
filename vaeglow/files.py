"""Files that are either complete or absent: write to a temporary file, then rename it. No torch here."""

import contextlib
import csv
import errno
import hashlib
import json
import os
import secrets
import shutil
import tokenize
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vaeglow.errors import MAKE_AGAIN, UserError

# What numpy and zipfile raise on a damaged or hostile file.
DAMAGED = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError)


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, for a file or a folder; on success it is renamed to `path`, a file synced.

    On any exception the temporary is removed and an existing `path` stays as it was.

    Raises:
        UserError: no room or no permission to write there.
    """
    path = Path(path)
    token = f"{os.getpid()}-{secrets.token_hex(3)}"  # two hosts may have the same process number
    temporary = path.with_name(f".{path.name}.{token}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if not temporary.is_dir():
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)  # some libraries create files that only their owner can read
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        if os.path.isdir(temporary):
            shutil.rmtree(temporary)
        elif os.path.lexists(temporary):
            temporary.unlink()


def explain_os_error(error: OSError, path: str | Path) -> Exception:
    """Turn the error of a full disk, a read-only folder, a missing permission or a limit into one line; others pass."""
    alike = {errno.EPERM: errno.EACCES, errno.ENFILE: errno.EMFILE, errno.EEXIST: errno.ENOTDIR}
    number = alike.get(error.errno, error.errno)
    if number is None and "written" in str(error):  # numpy's error for a full disk has no number
        number = errno.ENOSPC
    lines = {
        errno.ENOSPC: f"cannot write {path}: the disk is full: free some room and run the same command again",
        errno.EDQUOT: f"cannot write {path}: the disk quota is used up: free some room and run the same command again",
        errno.EROFS: f"cannot write {path}: the file system is read-only: choose another folder",
        errno.EFBIG: f"cannot write {path}: the file would be larger than is allowed here: raise the limit (ulimit -f)",
        errno.EACCES: f"no permission to use {path}: check the owner and mode of the file and of its folder",
        errno.ENOTDIR: f"cannot write {path}: a folder in this path is a file: choose another path",
        errno.ENAMETOOLONG: f"cannot write {path}: the name is too long: choose a shorter one",
        errno.EMFILE: f"too many files are open to use {path}: raise the limit (ulimit -n)",
    }
    return UserError(lines[number]) if number in lines else error


def unreadable(error: Exception, path: str | Path, says: str) -> UserError:
    """An error with the line `says`, unless the file may be intact: no permission, too many open files."""
    known = explain_os_error(error, path) if isinstance(error, OSError) else error
    return known if isinstance(known, UserError) else UserError(says)


def local_path(place: str) -> Path:
    """The path that a place on this machine names: a path, in which `~` is the home, or a `file:` URL."""
    path = urllib.parse.unquote(urllib.parse.urlsplit(place).path) if place.startswith("file:") else place
    return Path(os.path.expanduser(path))


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically. NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The content of a JSON file; UserError where it is missing, cannot be read or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run the step that makes it first") from None
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): check what it is, its owner and its mode") from None
    except (ValueError, RecursionError) as error:  # in the JSON or in its encoding
        raise UserError(f"{path} is not valid JSON ({error}): {MAKE_AGAIN}") from None


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV as text, column -> cell; csv.Error where a quote is open."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def sha256_file(path: str | Path) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON value, independent of key order and white space."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
