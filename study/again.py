"""Give a run whose weights were lost, and that was trained again, its first files back: docs/study.md.

    python -m study.again registered/cifar10_jpeg_fresh/glow_longer/seed6

They are the lost weights only if their file has, to the byte, the hash in the training summary that was kept.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

from study.study import KEPT
from vaeglow.errors import UserError
from vaeglow.files import sha256_file
from vaeglow.results import SEAL, Result, read_result
from vaeglow.steps import cli
from vaeglow.study import RESULTS, copy, summary
from vaeglow.weights import KEY, SNAPSHOTS_KEY, read_tensors, write_tensors

KEYS = {"model.safetensors": KEY, "snapshots.safetensors": SNAPSHOTS_KEY}
SECONDS = 10  # the most between the times in a file of weights and in the summary, which is written after it


def rewrite(path: Path, first: Result, target: Path) -> None:
    """Write tensors that were trained again as the file that the first training summary names.

    Raises:
        UserError: no such file has its hash, because tensors differ.
    """
    tensors, about = read_tensors(path, KEYS[path.name])
    about.pop("weights_sha256")
    provenance = dict(first.value("provenance"))
    del provenance[SEAL]
    end = datetime.fromisoformat(provenance["finished"])
    for seconds in range(SECONDS):
        provenance["finished"] = (end - timedelta(seconds=seconds)).isoformat(timespec="seconds")
        write_tensors(target, tensors, KEYS[path.name], {**about, "provenance": provenance})
        if sha256_file(target) == first.value("inputs", path.as_posix()):
            return
    raise UserError(f"{path} is not the file that was lost: train it where {first.path} was made, or keep it lost")


@cli.step
def main(run: str, *, kept: Path = KEPT) -> None:
    """Restore the weights, then all that was kept of the run.

    Args:
        run: a folder in `results`, trained again
        kept: folder of the files that were kept
    """
    first = read_result(kept / summary(run))
    targets = {RESULTS / run / name: RESULTS / run / f"first-{name}" for name in KEYS}
    try:
        for path, target in targets.items():
            rewrite(path, first, target)
        names = [path.relative_to(kept).as_posix() for path in (kept / run).rglob("*.*")]
        copied = copy(names, kept, RESULTS)
        for path, target in targets.items():
            os.replace(target, path)
            path.touch()  # no older than config.json, or Snakemake trains it again
    finally:
        for target in targets.values():
            target.unlink(missing_ok=True)
    print(f"{run}: the weights that were lost, and {copied} files from {kept}")
