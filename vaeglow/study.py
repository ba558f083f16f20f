"""Keep the small files of a study's finished runs, and go on from them where weights and samples are gone.

`study/study.py` calls it, for what `snakemake prepared` has planned and made; docs/study.md says how.
"""

import os
from collections.abc import Mapping
from filecmp import cmpfiles
from pathlib import Path
from shutil import copyfile, rmtree
from time import time_ns

from vaeglow.data.arrays import read_info
from vaeglow.errors import UserError
from vaeglow.files import Config, atomic_path, read_json, sha256_file, sha256_json
from vaeglow.paths import with_timings
from vaeglow.results import read_result

RESULTS = Path("results")  # the workflow's
DATA = Path("resources/data")


def finished(root: Path, study: Config) -> dict[str, list[str]]:
    """The finished runs in a folder, and the files of each.

    A run is left out where two of its files record different hashes of one file, or not the hash that a file has now.
    """
    runs: dict[str, list[str]] = {}
    for name, run in study["runs"].items():  # bases first
        files = [file for file in run["files"] if (root / file).is_file()]
        complete = files[:3] == run["files"][:3]  # config, history and training summary
        if complete and run["base"] in (None, *runs) and agree(root, files, run["base"]):
            runs[name] = files
    return runs


def agree(root: Path, files: list[str], base: str | None) -> bool:
    """Whether all hashes that a run's files record of each other, and of the base's summary, are one hash a file."""
    recorded = set()
    for file in files:
        if not file.endswith(".csv"):
            recorded |= set(read_result(root / file).content.get("inputs", {}).items())
    named = {path for path, _ in recorded}
    for file in [*files, summary(base)]:
        if f"results/{file}" in named:
            recorded.add((f"results/{file}", sha256_file(root / file)))
    return len(recorded) == len(named)


def check(kept: Path, study: Config) -> None:
    """Refuse (UserError) kept runs of another config than the present one, or of other data than are prepared."""
    for name in finished(kept, study):
        old = read_json(kept / name / "config.json")
        new = read_json(RESULTS / name / "config.json")
        old["data_sha256"] = read_result(kept / name / "training.json").value("data_sha256")
        new["data_sha256"] = sha256_json(read_info(DATA / new["dataset"])["sha256"])
        difference = differing(old, new)
        if difference:
            raise UserError(f"{kept / name}: {difference}: delete that folder, or name another (--kept)")


def differing(old: Config, new: Config) -> str:
    """The first key whose values differ, with both of them; empty where there is none."""
    for key in {**old, **new}:
        values = [old.get(key), new.get(key)]
        if values[0] != values[1]:
            nested = all(isinstance(value, Mapping) for value in values)
            return f"{key}.{differing(*values)}" if nested else "{} is {!r} there, {!r} here".format(key, *values)
    return ""


def copy(names: list[str], source: Path, target: Path) -> int:
    """Copy files, each completely or not at all, all with the present time; how many."""
    now = time_ns()
    for name in names:
        with atomic_path(target / name) as temporary:
            copyfile(source / name, temporary)
        os.utime(target / name, ns=(now, now))
    return len(names)


def others(root: Path, study: Config) -> list[str]:
    """The files in a folder that belong to no run, with all timings."""
    paths = [path for name in study["others"] for path in with_timings(root / name) if path.is_file()]
    return [path.relative_to(root).as_posix() for path in paths]


def summary(run: str | None) -> str:
    """The path of a run's training summary; its content differs once the run is trained again."""
    return f"{run}/training.json"


def keep(kept: Path, study: Config) -> int:
    """Copy what is new or changed; a run that was trained again replaces all that was kept of it."""
    runs = finished(RESULTS, study)
    names = others(RESULTS, study)
    for files in runs.values():
        names += files
    equal, changed, _ = cmpfiles(RESULTS, kept, names, shallow=False)
    for run in runs:
        if summary(run) in changed:
            rmtree(kept / run)
    return copy([name for name in names if name not in equal or not (kept / name).exists()], RESULTS, kept)


def restore(kept: Path, study: Config) -> int:
    """Copy what the results lack, except for runs that were trained there again, or whose base was."""
    runs = finished(kept, study)
    names = others(kept, study)
    _, again, _ = cmpfiles(RESULTS, kept, map(summary, runs), shallow=False)
    for run, files in runs.items():  # bases first
        if summary(study["runs"][run]["base"]) in again:
            again.append(summary(run))
        if summary(run) not in again:
            names += files
    return copy([name for name in names if not (RESULTS / name).exists()], kept, RESULTS)


def lost(root: Path, kept: Path, study: Config) -> list[str]:
    """The runs that a registration, which repeats no seed, does not go on with.

    They lack files, and to make these a run that was measured, or whose child was, would be trained again: its weights
    are gone. Or it was trained again, and its files are not those that were kept.
    """
    measured: set[str | None] = set()
    for name, run in reversed(study["runs"].items()):  # bases last
        results = [file for file in run["files"][3:] if not file.endswith("registration.json")]
        if name in measured or any((folder / file).is_file() for folder in (root, kept) for file in results):
            measured |= {name, run["base"]}
    _, again, _ = cmpfiles(root, kept, map(summary, study["runs"]), shallow=False)
    names: list[str] = []
    repeated: set[str | None] = set()
    for name, run in study["runs"].items():  # bases first
        other = name in measured and summary(name) in again
        gone = name in measured and not (root / name / "model.safetensors").is_file()
        if other or gone or run["base"] in repeated:
            repeated.add(name)
            complete = all((root / file).is_file() for file in run["files"])
            names += [] if complete and not other else [name]
    return names
