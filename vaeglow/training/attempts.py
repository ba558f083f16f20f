"""The logs of earlier attempts at a run. Snakemake deletes a job's log when the job starts again."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

KEPT = 10
STDOUT = Path("/proc/self/fd/1")  # Linux; elsewhere no log is kept


def keep_log(folder: Path) -> None:
    """Give the file that this process prints to a second name, `folder`/NUMBER.log, which outlives the first.

    A terminal or a pipe has none, and a second name on another disk is not possible: then nothing happens.

    Args:
        folder: made if need be; the last ten are kept in it.
    """
    with suppress(OSError):
        if not stat.S_ISREG(os.fstat(1).st_mode):
            return
        folder.mkdir(parents=True, exist_ok=True)
        logs = sorted(folder.glob("*.log"), key=number)
        os.link(os.readlink(STDOUT), folder / f"{number(logs[-1]) + 1 if logs else 1}.log")
        for old in logs[: max(0, len(logs) + 1 - KEPT)]:
            old.unlink(missing_ok=True)


def number(log: Path) -> int:
    """The number of an attempt's log."""
    return int(log.stem) if log.stem.isdigit() else 0
