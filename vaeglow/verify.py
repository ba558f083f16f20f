"""Re-hash a results folder and report what no longer matches: `python -m vaeglow.verify results --data resources/data`.

One line a mismatch (file, what is wrong, expected, found, what to do), then what is missing or was not checked, then
the counts (docs/provenance.md). Exit status: 0 all that is there matches, 1 something does not, 2 no results.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Collection
from functools import cache
from pathlib import Path

from numpy.lib.format import open_memmap

from vaeglow.data.arrays import INFO_FILE, array_sha256, read_info
from vaeglow.errors import UserError
from vaeglow.files import Facts, read_json, sha256_file, sha256_json
from vaeglow.paths import kind_of
from vaeglow.reporting.traced import read_figure, read_table
from vaeglow.results import SEAL, compared_inputs, content_sha256, read_result, shorten
from vaeglow.steps import cli

REDO = "put back the file that was there, or delete it and run snakemake again"


def read(path: Path, root: Path, data: Path | None) -> dict[Path, str] | None:
    """The hashes of other files that a file records, after a check of its own hash and path; None: not checked.

    A damaged or misplaced file raises.
    """
    if root not in path.parents:
        about = read_info(path.parent)
        check_names(about, {"name": path.parent.name})
        return {path.with_name(f"{split}.npy"): digest for split, digest in about["sha256"].items()}
    what, names = kind_of(path.relative_to(root).as_posix())
    about = described(path, what, root)
    if about is None:
        return None
    check_names(about, names)
    hashes = {}
    for name, digest in compared_inputs(about).items():
        below = name.startswith("results/")  # the folder may have another name now
        hashes[root / name.removeprefix("results/") if below else root.parent / name] = digest
    if data and "data_sha256" in about:
        hashes[data / about["dataset"] / INFO_FILE] = about["data_sha256"]
    return hashes


def described(path: Path, what: str, root: Path) -> Facts | None:
    """What a file below the results folder says of itself, of a kind of result or of none; None: it is not checked."""
    if what == "config":  # no hash of its own, nor has the history: training.json names them
        return read_json(path)
    if what == "history":
        return {}
    if path.suffix not in (".png", ".csv"):
        return read_checked(path) if what else None
    inputs = read_figure(path) if path.suffix == ".png" else read_table(path)
    if inputs is not None:
        return {"inputs": inputs}
    reported = [*root.glob(f"*/tables/{path.name}"), *root.glob(f"*/figures/{path.name}")]
    if what or reported or path.stem in ("claims", "claims.full"):
        raise UserError("it has no hash of its content")
    return None


def check_names(about: Facts, names: dict[str, str]) -> None:
    """Refuse (UserError) a file whose content and path name different things."""
    for key in names.keys() & about.keys():
        if str(about[key]) != names[key]:
            raise UserError(f"{key} in the file and in its path differ: {about[key]} and {names[key]}")


def read_checked(path: Path) -> Facts:
    """The description in a result or a file of weights; UserError where it is damaged, or not what was written."""
    if path.suffix == ".safetensors":
        from vaeglow.weights import KEY, SNAPSHOTS_KEY, read_tensors  # imported late: it imports torch

        _, about = read_tensors(path, SNAPSHOTS_KEY if path.stem == "snapshots" else KEY)
        hashes = {"config_sha256": sha256_json(about["config"]), "data_sha256": sha256_json(about["data"]["sha256"])}
        return {**about["config"], **hashes, **about}
    result = read_result(path, None)
    written = result.value("provenance", SEAL)
    now = content_sha256(result.content, result.arrays)
    if now != written:
        raise UserError(f"{path} is not what was written: its hash is {shorten(now)}, expected {shorten(written)}")
    return result.content


def hash_now(path: Path) -> str:
    """The hash by which others name a file: of its bytes; of prepared data, those of the arrays."""
    try:
        if path.name == INFO_FILE:
            return sha256_json(read_info(path.parent)["sha256"])
        return array_sha256(open_memmap(path, mode="r")) if path.suffix == ".npy" else sha256_file(path)
    except (UserError, ValueError, OSError, EOFError) as error:
        return repr(error)


def in_words(paths: Collection[Path], every: bool) -> str:
    """Several files in a few words: the first and how many more, or all."""
    first, *more = map(str, sorted(set(paths)))
    return ", ".join([first, *more]) if every or not more else f"{first} and {len(more)} more"


@cli.step
def main(results: Path, *, data: Path | None = None, all: bool = False) -> None:
    """Verify and print; status 1 where something does not match.

    Args:
        results: the folder that holds the presets' folders
        data: the folder that holds the prepared datasets' folders
        all: name every file that is not there or was not checked
    """
    infos = sorted(data.glob(f"*/{INFO_FILE}")) if data else []
    if data and not infos:
        raise UserError(f"{data} holds no prepared data: give the folder of the datasets' folders (resources/data)")
    paths = [Path(folder, name) for folder, _, names in os.walk(results, followlinks=True) for name in names]
    files = sorted(path for path in paths if not path.name.startswith("."))
    if not files:
        raise UserError(f"{results} holds no results: give the folder that holds the presets' folders, such as results")
    recorded: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)  # file, its hash -> files that name them
    wrong: dict[Path, str] = {}
    unchecked = []
    for path in infos + files:
        try:
            hashes = read(path, results, data)
        except Exception as error:  # a library may raise anything on a damaged file
            why = str(error) if isinstance(error, UserError) else repr(error)
            wrong[path] = f"damaged, changed or misplaced: expected what was written there, found {why}"
            continue
        if hashes is None:
            unchecked.append(path)
            continue
        for named in hashes.items():
            recorded[named].append(path)
    absent: defaultdict[Path, list[Path]] = defaultdict(list)
    hash_of = cache(hash_now)
    for (path, expected), users in recorded.items():
        if not path.is_file():
            absent[path] += users
        elif path not in wrong and hash_of(path) != expected:
            wrong[path] = (
                f"its content has changed (says {in_words(users, all)}): expected {shorten(expected)}, found "
                f"{shorten(hash_of(path))}"
            )
    for path, what in sorted(wrong.items()):
        print(*f"mismatch: {path}: {what}: {REDO}".split())
    for path, users in sorted(absent.items()):
        print(f"not there: {path}, named by {in_words(users, all)}")
    if unchecked:
        print(f"not checked: {in_words(unchecked, all)}: texts, resume state, and what is no result")
    if data is None:
        print("not checked: prepared data: give their folder with --data")
    print(
        f"{len(infos + files) - len(unchecked)} files checked: {len(wrong)} mismatches, {len(absent)} not there, "
        f"{len(unchecked)} not checked"
    )
    if wrong:
        sys.exit(1)
