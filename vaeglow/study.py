"""Keep the small files of a study's finished runs, and go on from them where weights and samples are gone.

`study/study.py` calls it, for what `snakemake prepared` has planned and made; docs/study.md says how.
"""

import datetime
import filecmp
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaeglow.data.arrays import INFO_FILE, read_info
from vaeglow.errors import UserError
from vaeglow.files import atomic_path, read_json, sha256_file, sha256_json
from vaeglow.paths import with_timings
from vaeglow.results import Result, read_result

RESULTS, DATA = Path("results"), Path("resources/data")  # the workflow's
Study = Mapping[str, Any]  # `vaeglow.config.plan.study`; its names are of files in a folder like `results`


def finished(root: Path, study: Study) -> dict[str, list[str]]:
    """The finished runs in a folder, and the files of each.

    A run is left out where two of its files record different hashes of one file, or not the hash that a file has now.
    """
    found: dict[str, list[str]] = {}
    for name, run in study["runs"].items():  # bases first
        files = [file for file in run["files"] if (root / file).is_file()]
        if files[:3] != run["files"][:3] or run["base"] not in (None, *found):
            continue
        contents = [read_result(root / file).content for file in files if not file.endswith(".csv")]
        said = {pair for content in contents for pair in content.get("inputs", {}).items()}
        named = {file: f"results/{file}" for file in [*files, f"{run['base']}/training.json"]}
        paths = dict(said)
        said |= {(path, sha256_file(root / file)) for file, path in named.items() if path in paths}
        if len(said) == len(paths):  # one hash a file
            found[name] = files
    return found


def check(kept: Path, study: Study) -> None:
    """Refuse (UserError) kept runs of another config than the present one, or of other data than are prepared."""
    for name in finished(kept, study):
        there, here = (read_json(root / name / "config.json") for root in (kept, RESULTS))
        there["data_sha256"] = here["data_sha256"] = read_result(kept / name / "training.json").value("data_sha256")
        if (folder := DATA / here["dataset"]).joinpath(INFO_FILE).is_file():
            here["data_sha256"] = sha256_json(read_info(folder)["sha256"])
        if difference := differing(there, here):
            raise UserError(f"{kept / name}: {difference}: delete that folder, or name another (--kept)")


def differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """The first key whose values differ, with both of them; empty where there is none."""
    for key in {**there, **here}:
        if (one := there.get(key)) != (other := here.get(key)):
            nested = isinstance(one, Mapping) and isinstance(other, Mapping)
            return f"{key}.{differing(one, other)}" if nested else f"{key} is {one!r} there, {other!r} here"
    return ""


def took(result: Result) -> float:
    """Seconds in which a result was made; of a run those of its training, over all attempts."""
    if "train_seconds_by_phase" in result.content:
        return result.value("train_seconds_by_phase")[-1]
    start, end = (datetime.datetime.fromisoformat(result.value("provenance", key)) for key in ("started", "finished"))
    return (end - start).total_seconds()


def copy(names: list[str], source: Path, target: Path) -> int:
    """Copy files, each completely or not at all, all with the present time; how many."""
    now = time.time_ns()
    for name in names:
        with atomic_path(target / name) as temporary:
            shutil.copyfile(source / name, temporary)
        os.utime(target / name, ns=(now, now))
    return len(names)


def others(root: Path, study: Study) -> list[str]:
    """The files of no run that a folder has."""
    every = [path for name in study["others"] for path in with_timings(root / name) if path.is_file()]
    return [path.relative_to(root).as_posix() for path in every]


def keep(kept: Path, study: Study) -> int:
    """Copy what is new or changed; a run that was trained again replaces all that was kept of it."""
    runs, names = finished(RESULTS, study), others(RESULTS, study)
    names += [file for files in runs.values() for file in files]
    equal, changed, _ = filecmp.cmpfiles(RESULTS, kept, names, shallow=False)
    for name in {*changed} & {f"{name}/training.json" for name in runs}:
        shutil.rmtree((kept / name).parent)
    return copy([name for name in names if name not in equal or not (kept / name).exists()], RESULTS, kept)


def restore(kept: Path, study: Study) -> int:
    """Copy what the results lack, except for runs that were trained there again, or whose base was."""
    runs, names = finished(kept, study), others(kept, study)
    again = filecmp.cmpfiles(RESULTS, kept, [f"{name}/training.json" for name in runs], shallow=False)[1]
    for name, files in runs.items():
        if f"{study['runs'][name]['base']}/training.json" in again:
            again.append(f"{name}/training.json")
        names += [] if f"{name}/training.json" in again else files
    return copy([name for name in names if not (RESULTS / name).exists()], kept, RESULTS)
