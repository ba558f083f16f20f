"""Re-hash a results folder and report what no longer matches: `python -m vaeglow.verify results --data resources/data`.

One line a mismatch (file, what is wrong, expected, found, what to do), then what is missing or was not checked, then
the counts (docs/provenance.md). Exit status: 0 all that is there matches, 1 something does not, 2 no results.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import defaultdict
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
    """The lines that `main` prints; `every`: name every file, not the first and how many more.

    Raises:
        UserError: no results, or no data, where they should be.
    """
    infos = sorted(data.glob(f"*/{INFO_FILE}")) if data else []
    if data and not infos:
        raise UserError(f"{data} holds no prepared data: give the folder of the datasets' folders (resources/data)")
    found = [Path(at, name) for at, _, names in os.walk(root, followlinks=True) for name in names]
    if not (files := sorted(path for path in found if not path.name.startswith("."))):
        raise UserError(f"{root} holds no results: give the folder that holds the presets' folders, such as results")
    copies = [path for path in files if path.parent in (root, root / "tables", root / "figures")]
    says: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)  # file, its hash -> files that name them
    wrong: dict[Path, str] = {}
    absent: defaultdict[Path, list[Path]] = defaultdict(list)
    unchecked, hash_of = [], functools.cache(hash_now)
    for path in [*infos, *(path for path in files if path not in copies)]:
        try:
            hashes = read(path, root, data)
        except Exception as error:  # a library may raise anything on a damaged file
            why = str(error) if isinstance(error, UserError) else repr(error)
            wrong[path] = f"damaged, changed or misplaced: expected what was written there, found {why}"
            continue
        if hashes is None:
            unchecked.append(path)
        for named in (hashes or {}).items():
            says[named].append(path)
    for path in copies:
        of = [file for file in files if file.name == path.name and file not in copies]
        if not of:
            unchecked.append(path)
        elif not wrong.keys() & {*of} and hash_of(path) not in map(hash_of, of):
            hashes = f"expected {shorten(hash_of(of[0]))}, found {shorten(hash_of(path))}"
            wrong[path] = f"not a copy of {' or '.join(map(str, of))}: {hashes}"
    for (path, expected), users in says.items():
        if not path.is_file():
            absent[path] += users
        elif path not in wrong and hash_of(path) != expected:
            by = f"its content has changed (says {counted(users, every)})"
            wrong[path] = f"{by}: expected {shorten(expected)}, found {shorten(hash_of(path))}"
    for path, what in sorted(wrong.items()):
        yield " ".join(f"mismatch: {path}: {what}: {REDO}".split())
    for path, users in sorted(absent.items()):
        yield f"not there: {path}, named by {counted(users, every)}"
    if unchecked:
        yield f"not checked: {counted(unchecked, every)}: texts, resume state, and what is no result"
    if data is None:
        yield "not checked: prepared data: give their folder with --data"
    counts = f"{len(wrong)} mismatches, {len(absent)} not there, {len(unchecked)} not checked"
    yield f"{len(infos + files) - len(unchecked)} files checked: {counts}"


def read(path: Path, root: Path, data: Path | None) -> dict[Path, str] | None:
    """The hashes of others that a file holds, its own and its path checked; None: not checked. A bad one raises."""
    if root not in path.parents:
        about, names = read_info(path.parent), {"name": path.parent.name}
        inputs = {path.with_name(f"{split}.npy"): digest for split, digest in about["sha256"].items()}
    else:
        parts = path.relative_to(root).parts
        what, names = names_in("/".join(parts))
        if path.suffix in (".png", ".csv") and what != "history":
            named = traced.read_figure(path) if path.suffix == ".png" else traced.read_table(path)
            if named is None and (what or path.parent.name in ("tables", "figures") or path.stem == "claims"):
                raise UserError("it has no hash of its content")
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
    """The description in a result or a file of weights, checked against its hashes.

    Raises:
        UserError: damaged, or not what was written.
    """
    if path.suffix == ".safetensors":
        from vaeglow.weights import KEY, read_tensors  # imported late: it imports torch

        _, about = read_tensors(path, KEY if path.stem == "model" else f"{KEY}_{path.stem}")
        return {**about, **about["config"], "data_sha256": sha256_json(about["data"]["sha256"])}
    result = read_result(path, None)
    written, found = result.value("provenance", SEAL), content_sha256(result.content, result.arrays)
    if found != written:
        raise UserError(f"{path} is not what was written: its hash is {shorten(found)}, expected {shorten(written)}")
    return result.content


def hash_now(path: Path) -> str:
    """The hash by which others name a file: of its bytes; of prepared data, those of the arrays."""
    try:
        if path.name == INFO_FILE:
            return sha256_json(read_info(path.parent)["sha256"])
        return array_sha256(np.lib.format.open_memmap(path, mode="r")) if path.suffix == ".npy" else sha256_file(path)
    except (UserError, ValueError, OSError, EOFError) as error:
        return repr(error)


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
