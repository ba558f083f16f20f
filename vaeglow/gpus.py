"""Which of this machine's GPUs a job takes, so that jobs side by side do not all take the first one."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

CLAIM = "VAEGLOW_CLAIM_GPU"  # environment: set to 1 by the workflow; a step by hand, or a notebook, takes torch's GPU
_held: dict[int, FileLock] = {}  # this process's GPU, and its lock, which falls with the process however that dies


def claim(preferred: int, count: int) -> int:
    """The index of a GPU that no other job of this user has claimed; asked again, a process gets the same one.

    On a cluster a job sees its own GPUs only, and none is claimed by another.

    Args:
        preferred: taken if it is free, and also where all are claimed: to share is slow, but works while memory lasts.
        count: how many GPUs torch sees.
    """
    if _held:
        return next(iter(_held))
    for index in (preferred, *(index for index in range(count) if index != preferred)):
        lock = FileLock(lock_of(index))
        with suppress(Timeout, NotImplementedError, OSError):  # claimed; or a file system without locks
            lock.acquire(timeout=0)
            _held[index] = lock
            return index
    return preferred


def lock_of(index: int) -> Path:
    """The lock file of a GPU, which is named as the machine counts it, not this process."""
    names = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    name = names[index] if index < len(names) else str(index)
    user = os.getuid() if hasattr(os, "getuid") else "all"
    return Path(tempfile.gettempdir(), f"vaeglow-gpu-{user}-{name.replace('/', '-')}.lock")
