"""Files that are either complete or absent: write to a temporary file, then rename it. No torch here."""

import csv
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from errno import EACCES, EDQUOT, EEXIST, EFBIG, EISDIR, EMFILE, ENAMETOOLONG, ENFILE, ENOSPC, ENOTDIR, EPERM, EROFS
from hashlib import file_digest, sha256
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from tokenize import TokenError
from typing import Any
from urllib.parse import unquote, urlsplit
from zipfile import BadZipFile

from vaeglow.errors import MAKE_AGAIN, UserError

AnyPath = str | Path
Config = Mapping[str, Any]  # a config or a part of one; is not changed
Facts = dict[str, Any]  # a JSON object
# What numpy and zipfile raise on a damaged or hostile file.
DAMAGED = (OSError, EOFError, ValueError, RuntimeError, BadZipFile, zlib.error, TokenError)

OS_ERRORS = {
    ENOSPC: "cannot write {path}: the disk is full: free some room and run the same command again",
    EDQUOT: "cannot write {path}: the disk quota is used up: free some room and run the same command again",
    EROFS: "cannot write {path}: the file system is read-only: choose another folder",
    EFBIG: "cannot write {path}: the file would be larger than is allowed here: raise the limit (ulimit -f)",
    EISDIR: "cannot write {path}: it is a folder: choose another name",
    EACCES: "no permission to use {path}: check the owner and mode of the file and of its folder",
    ENOTDIR: "cannot write {path}: a folder in this path is a file: choose another path",
    ENAMETOOLONG: "cannot write {path}: the name is too long: choose a shorter one",
    EMFILE: "too many files are open to use {path}: raise the limit (ulimit -n)",
}


@contextmanager
def atomic_path(path: AnyPath) -> Iterator[Path]:
    """Yield a temporary path next to `path`, for a file or a folder; on success it is renamed to `path`, a file synced.

    On any exception the temporary is removed and an existing `path` stays as it was.

    Raises:
        UserError: no room or no permission to write there.
    """
    path = Path(path)
    # two hosts may have the same process number
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{token_hex(3)}.tmp")
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
            rmtree(temporary)
        elif os.path.lexists(temporary):
            temporary.unlink()


def explain_os_error(error: OSError, path: AnyPath) -> Exception:
    """Turn the error of a full disk, a read-only folder, a missing permission or a limit into one line; others pass."""
    alike = {EPERM: EACCES, ENFILE: EMFILE, EEXIST: ENOTDIR}
    number = alike.get(error.errno, error.errno)
    if number is None and "written" in str(error):  # numpy's error for a full disk has no number
        number = ENOSPC
    return UserError(OS_ERRORS[number].format(path=path)) if number in OS_ERRORS else error


def unreadable(error: Exception, path: AnyPath, says: str) -> UserError:
    """An error with the line `says`, unless the file may be intact: no permission, too many open files."""
    known = explain_os_error(error, path) if isinstance(error, OSError) else error
    return known if isinstance(known, UserError) else UserError(says)


def local_path(place: str) -> Path:
    """The path that a place on this machine names: a path, in which `~` is the home, or a `file:` URL."""
    path = unquote(urlsplit(place).path) if place.startswith("file:") else place
    return Path(os.path.expanduser(path))


def write_text(path: AnyPath, text: str) -> None:
    """Write `text` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: AnyPath, value: Any) -> None:
    """Write `value` as readable JSON, atomically. NaN and infinity are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: AnyPath) -> Any:
    """The content of a JSON file; UserError where it is missing, cannot be read or is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: run the step that makes it first") from None
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): check what it is, its owner and its mode") from None
    except (ValueError, RecursionError) as error:  # in the JSON or in its encoding
        raise UserError(f"{path} is not valid JSON ({error}): {MAKE_AGAIN}") from None


def read_csv(path: AnyPath) -> list[dict[str, str]]:
    """The rows of a CSV as text, column -> cell; csv.Error where a quote is open."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def sha256_file(path: AnyPath) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON value, independent of key order and white space."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
