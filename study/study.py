"""Run a study from what is kept of it, and keep what it finishes: `make study` (docs/study.md).

    python study/study.py study/cpu.yaml --cifar /path/to/images --faces /path/to/others

The overlay's seeds are run one after the other, so that all tables and claims of fewer seeds are there in between. Stop
it at any time: the same command goes on, here or, from what is kept and committed, on another machine.
"""

import itertools
import math
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from vaeglow import study
from vaeglow.config import read_layer
from vaeglow.errors import UserError
from vaeglow.files import read_json, write_json, write_text
from vaeglow.reporting.columns import SEEDS
from vaeglow.results import Result, read_result
from vaeglow.steps import cli

KEPT = Path(__file__).parent / "runs"
LOOK_SECONDS = 60  # between two looks at what has been finished
GROUP = study.RESULTS / "study.group"  # the process group of a running study, for `--pause`
PAUSED = GROUP.with_suffix(".paused")  # the same while it is paused
LOST = (
    "its weights, or its base's, were lost, and a registration repeats no seed: "
    "python -m study.again gives back those trained again to the same weights"
)
# variable of make: dataset
FOLDERS = {
    "CIFAR": "cifar10_jpeg",
    "FACES": "faces_jpeg",
    "CIFAR_FRESH": "cifar10_jpeg_fresh",
    "FACES_FRESH": "faces_jpeg_fresh",
}


def link(variable: str, folder: Path | None, root: Path) -> None:
    """Make a folder of images the `root` that the overlay names.

    Raises:
        UserError: there is no such folder, its data were prepared from another, or the images lie at `root` itself.
    """
    if folder is None:
        if not root.is_dir() and not (study.DATA / FOLDERS[variable]).is_dir():
            raise UserError(f"no images at {root}: make study {variable}=/their/folder, or put them there")
        return
    if not folder.is_dir():
        raise UserError(f"{variable}={folder} is not a folder: correct the path")
    if os.path.realpath(root) != os.path.realpath(folder):
        data = study.DATA / FOLDERS[variable]
        if data.exists():
            raise UserError(f"{data} was prepared from {os.path.realpath(root)}: delete it to take {folder}")
        if root.is_dir() and not root.is_symlink():
            raise UserError(f"{root} is a folder of images, not a link: move it away to take {folder}")
        root.parent.mkdir(parents=True, exist_ok=True)
        root.unlink(missing_ok=True)
        root.symlink_to(folder.resolve())


def run(command: Sequence[str], look: Callable[[], None], group: Path = GROUP) -> int:
    """Run a command to its end, looking from time to time, also at the end and when it is interrupted; its status.

    Its process group is its own: a signal to this process reaches it, and all it started, once. `group` is the file
    that names it.
    """
    with subprocess.Popen(command, start_new_session=True) as process:
        write_text(group, str(process.pid))
        try:
            while process.poll() is None:
                try:
                    process.wait(LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    with suppress(UserError, OSError):  # a file on its way, or no room: the next look, or the last
                        look()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)  # trainers save, and Snakemake ends with its jobs
            os.killpg(process.pid, signal.SIGCONT)  # or one that is paused never ends
            process.wait()
            raise
        finally:
            group.unlink(missing_ok=True)
            group.with_suffix(PAUSED.suffix).unlink(missing_ok=True)
            look()
    return process.returncode


def pause_or_resume() -> str:
    """Pause a running study, for timings that need quiet cores, or resume a paused one; what was done.

    Raises:
        UserError: no study runs here.
    """
    paused = PAUSED.exists()
    here, there = (PAUSED, GROUP) if paused else (GROUP, PAUSED)
    try:
        os.killpg(int(here.read_text(encoding="utf-8")), signal.SIGCONT if paused else signal.SIGSTOP)
    except (FileNotFoundError, ProcessLookupError):
        raise UserError(f"no study runs in {Path.cwd()}: start it with make study") from None
    here.rename(there)
    return "resumed" if paused else "paused: the same command resumes it"


def took(result: Result) -> float:
    """Seconds in which a result was made; of a run those of its training, over all attempts."""
    if "train_seconds_by_phase" in result.content:
        return result.value("train_seconds_by_phase")[-1]
    times = [datetime.fromisoformat(result.value("provenance", key)) for key in ("started", "finished")]
    return (times[1] - times[0]).total_seconds()


def left(options: Sequence[str], preset: str, wanted: Sequence[str]) -> list[str]:
    """What Snakemake would train and measure, with the time that it took under another seed, on whatever machine."""
    # `--quiet host` shows the jobs that the default profile hides.
    said = subprocess.run([*options, "--dry-run", "--quiet", "host", "--", *wanted], capture_output=True, text=True)
    if said.returncode:
        sys.exit(said.stderr)
    hours: dict[str, float] = {}  # of each result; NaN: unknown
    for outputs in re.findall(r"^ {4}output: (.*)$", said.stdout + said.stderr, re.M):
        for path in re.findall(rf"results/({preset}/\S+/seed\d+/\S+\.json)", outputs):
            alike = [*study.RESULTS.glob(re.sub(r"/seed\d+/", "/seed*/", path))]
            hours[path] = took(read_result(alike[0])) / 3600 if alike else math.nan
    train = {path: hours.pop(path) for path in [*hours] if path.endswith("/training.json")}
    lines = []
    for path, time in train.items():
        known = "time unknown" if math.isnan(time) else f"about {time:.2f} h"
        lines.append(f"to train: {path.removesuffix('/training.json')}, {known}")
    for what, times in (("runs to train", train.values()), ("results to measure", hours.values())):
        known = [time for time in times if not math.isnan(time)]
        unknown = len(times) - len(known)
        lines.append(f"{len(times)} {what}, {sum(known):.2f} h one by one and {unknown} of unknown time")
    return lines


def say(count: int, kept: Path) -> None:
    """A line about files that were kept, if any were."""
    if count:
        print(f"{count} files kept in {kept}: commit them", flush=True)


@cli.step
def main(
    overlay: Path,
    *,
    cifar: Path | None = None,
    faces: Path | None = None,
    cifar_fresh: Path | None = None,
    faces_fresh: Path | None = None,
    cores: str = "2",
    kept: Path = KEPT,
    flags: str = "",
    runs: str = "",
    plan: bool = False,
    pause: bool = False,
) -> None:
    """Prepare, restore, say what is left, run and keep, for the first seed, the first two, ...

    Args:
        overlay: of the config, with the preset and its seeds
        cifar: folder of images for `cifar10_jpeg`
        faces: folder of images for `faces_jpeg`
        cifar_fresh: folder of images for `cifar10_jpeg_fresh`
        faces_fresh: folder of images for `faces_jpeg_fresh`
        cores: that Snakemake takes
        kept: folder of the files that are kept
        flags: more options for Snakemake
        runs: train and measure only the runs whose folder this regular expression is found in, and no table
        plan: prepare, restore and say what is left of all seeds, then stop
        pause: pause the study that runs here, or resume it
    """
    if pause:
        print(pause_or_resume())
        return
    settings = read_layer(overlay) if overlay.is_file() else {}
    if "preset" not in settings:
        there = ", ".join(sorted(path.stem for path in overlay.parent.glob("*.yaml") if "preset" in read_layer(path)))
        raise UserError(f"there is no study {overlay}: PRESET is one of {there}")
    if re.search(r"--configfiles?\b|\bpreset=", flags):
        raise UserError(f"SNAKEMAKE_FLAGS={flags} changes the study's config: write what it shall have into {overlay}")
    try:
        chosen_runs = re.compile(runs)
    except re.error as error:
        raise UserError(f"RUNS={runs} is not a regular expression: {error}") from None
    preset = settings["preset"]
    seeds = settings["seeds"]
    folders = dict(zip(FOLDERS, (cifar, faces, cifar_fresh, faces_fresh), strict=True))
    for variable, dataset in FOLDERS.items():
        root = settings.get("datasets", {}).get(dataset, {}).get("root")
        if root:
            link(variable, folders[variable], Path(root))
    if len(seeds) < SEEDS:
        print(f"note: {overlay} has fewer than {SEEDS} seeds: claims about training stay undecided")
    failed = 0
    for count in range(len(seeds) if plan else 1, len(seeds) + 1):
        few = study.RESULTS / preset / f"seeds{count}.json"  # a plan leaves those of a running study alone
        write_json(few, {"seeds": seeds[:count]})
        options = [sys.executable, "-m", "snakemake", "--cores", cores, "--configfile", str(overlay), str(few)]
        options += shlex.split(flags)
        group = few.with_suffix(".group") if plan else GROUP  # a plan beside a running study
        status = run([*options, "--", "prepared"], lambda: None, group)
        if status:
            sys.exit(status)
        spec = read_json(study.RESULTS / preset / "study.json")
        study.check(kept, spec)
        print(f"{study.restore(kept, spec)} files restored from {kept}")
        lost = study.lost(study.RESULTS, kept, spec) if "registration" in settings else []
        for name in lost:
            print(f"left out: {name}: {LOST}")
        named = [name for name in spec["runs"] if chosen_runs.search(name)]
        if not named and count == len(seeds):
            raise UserError(f"RUNS={runs} is in no run's folder, such as {next(iter(spec['runs']))}: correct it")
        chosen = [spec["runs"][name]["files"] for name in named if name not in lost]
        if not chosen:
            continue
        wanted = [f"results/{file}" for file in itertools.chain(*chosen)] if runs or lost else ["all"]
        print(*left(options, preset, wanted), sep="\n", flush=True)
        if not plan:
            command = [*options, "--keep-going", "--", *wanted]
            # What was measured is not replaced by what was trained again.
            spec["runs"] = {name: files for name, files in spec["runs"].items() if name not in lost}
            failed |= run(command, lambda spec=spec: say(study.keep(kept, spec), kept))
    sys.exit(failed)
