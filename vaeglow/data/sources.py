"""Where a dataset's files are looked for: one place that the user names, else a list of folders and URLs in order."""

from __future__ import annotations

import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vaeglow.data.fetch import PinnedFile, Unreachable, fetch
from vaeglow.errors import UserError

T = TypeVar("T")
DOWNLOADS = "download"  # folder of a dataset's folder; what is in it needs no network again
SOURCES = {  # schema of the keys of datasets whose files are published
    "local": {
        "type": ["string", "null"],
        "minLength": 1,
        "format": "path",
        "default": None,
        "description": "the files on this machine: then these and nothing else are used; `null`: `sources`",
    },
    "sources": {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "uniqueItems": True,
        "default": [],
        "description": "paths and URLs (`http`, `https`, `file`), tried in this order; a list in an overlay replaces "
        "this one. Every file is checked by hash, and nothing that is prepared depends on where it came from: see "
        "[docs/data.md](../docs/data.md)",
    },
}


class NotThere(UserError):
    """A place does not have the data; the next one may."""


def obtain(
    name: str,
    settings: Mapping[str, Any],
    files: Sequence[PinnedFile],
    look: Callable[[Path], T],
    by_hand: str,
    output_dir: Path,
) -> T:
    """Get a dataset's files from the first place that has them.

    Args:
        name: the dataset's, in config.
        settings: its `local`, a path that must have the data, or None; and its `sources`, tried in order where `local`
            is None. A URL names the folder of the files, or the one file.
        files: what is downloaded from a URL.
        look: from a path to the data there, files checked by hash; raises NotThere where there are none.
        by_hand: what the user can do, for messages.
        output_dir: the dataset's folder.

    Returns:
        What `look` returned.

    Raises:
        UserError: no place has the data; the message names each and why. Or a file that is there is not the right one.
    """
    if settings["local"] is not None:
        try:
            return look(Path(settings["local"]).expanduser())
        except NotThere as error:
            raise UserError(f"datasets.{name}.local: {error}: correct the path") from None
    failures = []
    for source in settings["sources"]:
        try:
            where = local_path(source)
            if where is None:
                where = output_dir / DOWNLOADS
                for file in files:
                    whole = urllib.parse.urlsplit(source).path.endswith(f"/{file.name}")
                    fetch(source if whole else f"{source.rstrip('/')}/{file.name}", file, where)
            found = look(where)
            print(f"dataset {name}: from {source}")
            return found
        except (NotThere, Unreachable) as error:
            failures.append(str(error))
            print(f"dataset {name}: {error}; the next source is tried", file=sys.stderr)
    tried = "; ".join(failures) or "`local` and `sources` are empty"
    raise UserError(f"dataset {name}: no source has the data ({tried}): {by_hand}")


def local_path(source: str) -> Path | None:
    """The path that a source names, as such or as a `file:` URL; None for an address in the network."""
    if source.startswith("file:"):
        return Path(urllib.request.url2pathname(urllib.parse.urlsplit(source).path))
    return None if re.match("https?://", source) else Path(source).expanduser()


def pick(where: Path, file: PinnedFile) -> Path:
    """A file in a folder, or the file itself, once its hash is checked.

    Raises:
        NotThere: no such file.
        UserError: it is another file, or damaged.
    """
    path = where / file.name if where.is_dir() else where
    if not path.is_file():
        raise NotThere(f"{where} has no {file.name}" if where.is_dir() else f"{where} does not exist")
    wrong = file.mismatch(path)
    if wrong:
        raise UserError(f"{path} is cut short or another file ({wrong}): delete it or fetch it again")
    return path
