"""Re-hash a results folder and say what no longer matches: `python -m vaeglow.verify results --data resources/data`.

One line a mismatch (file, what is wrong, expected, found, what to do), then what is not there or was not checked, then
the counts (docs/provenance.md). Exit status: 0 all that is there matches, 1 something does not, 2 no results.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import INFO_FILE, array_sha256, read_info
from vaeglow.errors import UserError
from vaeglow.files import read_json, sha256_file, sha256_json
from vaeglow.paths import names_in
from vaeglow.reporting import traced
from vaeglow.results import SEAL, content_sha256, read_result, shorten
from vaeglow.steps import cli

REDO = "put back the file that was there, or delete it and run snakemake again"
UNSEALED = (".md", ".tex", ".html", ".pdf", "state", "tensorboard")  # texts (their CSV or PNG is checked), folders


def verify(root: Path, data: Path | None = None, every: bool = False) -> Iterator[str]:
    """The lines that `main` prints; `every`: name every file meant, not the first and how many more.

    Raises:
        UserError: no results, or no data, where they should be.
    """
    infos = sorted(data.glob(f"*/{INFO_FILE}")) if data else []
    if data and not infos:
        raise UserError(f"{data} holds no prepared data: give the folder of the datasets' folders (resources/data)")
    if not (files := files_of(root)):
        raise UserError(f"{root} holds no results: give the folder that holds the presets' folders, such as results")
    said: dict[Path, dict[Path, str] | None] = {}  # file -> of which file it says which hash; None: not checked
    wrong: dict[tuple[Path, str, str, str], list[Path]] = {}  # file, what, expected, found -> who says so
    absent: dict[Path, list[Path]] = {}
    copies = [path for path in files if path.parent in (root, root / "tables", root / "figures")]
    for path in [*infos, *(path for path in files if path not in copies)]:
        try:
            said[path] = read(path, root, data)
        except Exception as error:  # anything can stand in a damaged file, and its reader is a library
            why = str(error) if isinstance(error, UserError) else repr(error)
            wrong[path, "damaged, changed or misplaced", "what was written there", why] = []
    bad, hash_of = {path for path, *_ in wrong}, functools.cache(hash_now)
    for path in copies:
        of = [found for found in files if found.name == path.name and found not in copies]
        said[path] = {} if of else None
        if of and not bad & {*of} and hash_of(path) not in map(hash_of, of):
            wrong[path, f"not a copy of {' or '.join(map(str, of))}", hash_of(of[0]), hash_of(path)] = []
    for path, says in said.items():
        for target, expected in (says or {}).items():
            if not target.is_file():
                absent.setdefault(target, []).append(path)
            elif target not in bad and (found := hash_of(target)) != expected:
                wrong.setdefault((target, "its content is not what it was", expected, found), []).append(path)
    for (path, what, expected, found), users in sorted(wrong.items()):
        by = f" (says {counted(users, every)})" if users else ""
        values = ", found ".join(shorten(value) if len(value) == 64 else value for value in (expected, found))
        yield " ".join(f"mismatch: {path}: {what}{by}: expected {values}: {REDO}".split())
    for target, users in sorted(absent.items()):
        yield f"not there: {target}, named by {counted(users, every)}"
    if unchecked := [path for path, says in said.items() if says is None]:
        yield f"not checked: {counted(unchecked, every)}: texts, resume state, and what is no result"
    if data is None:
        yield "not checked: prepared data: give their folder with --data"
    counts = f"{len(wrong)} mismatches, {len(absent)} not there, {len(unchecked)} not checked"
    yield f"{len(infos + files) - len(unchecked)} files checked: {counts}"


def read(path: Path, root: Path, data: Path | None) -> dict[Path, str] | None:
    """The hashes a file gives of others, once its own and its path are checked; None: not checked. A bad one raises."""
    if root not in path.parents:
        about, names = read_info(path.parent), {"name": path.parent.name}
        inputs = {path.with_name(f"{split}.npy"): digest for split, digest in about["sha256"].items()}
    else:
        parts = path.relative_to(root).parts
        what, names = names_in("/".join(parts))
        if path.suffix in (".png", ".csv") and what != "history":
            named = traced.read_figure(path) if path.suffix == ".png" else traced.read_table(path)
            if named is None and (what or path.parent.name in ("tables", "figures") or path.stem == "claims"):
                raise UserError("no hash of its content stands in it")
            about = None if named is None else {"inputs": named}
        elif what in ("config", "history"):  # no hash of their own: training.json names them
            about = read_json(path) if what == "config" else {}
        else:
            about = read_checked(path) if what and not {path.suffix, *parts} & {*UNSEALED} else None
        if about is None:
            return None
        named = {Path(name): digest for name, digest in about.get("inputs", {}).items()}
        moved = {name: root / name.relative_to("results") for name in named if name.parts[0] == "results"}
        inputs = {moved.get(name, root.parent / name): digest for name, digest in named.items()}
        if data and "data_sha256" in about:
            inputs[data / about["dataset"] / INFO_FILE] = about["data_sha256"]
    for key in names.keys() & about.keys():
        if str(about[key]) != names[key]:
            raise UserError(f"{key} in the file and in its path differ: {about[key]} and {names[key]}")
    return inputs


def read_checked(path: Path) -> dict[str, Any]:
    """What a result, or a file of weights, says of itself, checked against the hashes in it.

    Raises:
        UserError: damaged, or not what was written.
    """
    if path.suffix == ".safetensors":
        from vaeglow.weights import KEY, read_tensors  # here: it imports torch

        _, about = read_tensors(path, KEY if path.stem == "model" else f"{KEY}_{path.stem}")
        return {**about, **about["config"], "data_sha256": sha256_json(about["data"]["sha256"])}
    result = read_result(path, None)
    written, found = result.value("provenance", SEAL), content_sha256(result.content, result.arrays)
    if found != written:
        raise UserError(f"{path} is not what was written: its hash is {shorten(found)}, wanted is {shorten(written)}")
    return result.content


def hash_now(path: Path) -> str:
    """The hash that others give of a file: of its bytes; of prepared data, those of the arrays."""
    try:
        if path.name == INFO_FILE:
            return sha256_json(read_info(path.parent)["sha256"])
        return array_sha256(np.lib.format.open_memmap(path, mode="r")) if path.suffix == ".npy" else sha256_file(path)
    except (UserError, ValueError, OSError, EOFError) as error:
        return repr(error)


def files_of(folder: Path) -> list[Path]:
    """All files below a folder in order, hidden ones left out; links to folders are followed."""
    found = [Path(at, name) for at, _, names in os.walk(folder, followlinks=True) for name in names]
    return sorted(path for path in found if not path.name.startswith("."))


def counted(paths: Collection[Path], every: bool) -> str:
    """Several files in a few words: the first and how many more, or all."""
    first, *more = map(str, sorted(set(paths)))
    return ", ".join([first, *more]) if every or not more else f"{first} and {len(more)} more"


def main(argv: Sequence[str] | None = None) -> None:
    """Verify and print; status 1 where something does not match."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("results", type=Path, help="the folder that holds the presets' folders")
    parser.add_argument("--data", type=Path, help="the folder that holds the prepared datasets' folders")
    parser.add_argument("--all", action="store_true", help="name every file that is not there or was not checked")
    options = parser.parse_args(argv)
    lines = list(verify(options.results, options.data, options.all))
    print("\n".join(lines))
    if lines[0].startswith("mismatch: "):
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)
