"""Locks: one trainer to a state folder, one job to a GPU. They fall with their process, however that dies."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLease, Timeout

from vaeglow.errors import UserError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a lock, on a file system that has none
LEASE = 60.0  # seconds without a sign of life after which a trainer on another host is taken for dead
CLAIM = "VAEGLOW_CLAIM_GPU"  # environment: set to 1 by the workflow; a step by hand, or a notebook, takes torch's GPU
_held: dict[int, FileLock] = {}  # this process's GPU, and its lock


class FolderLock:
    """One trainer to a folder: on one machine, on a shared file system, after crashes of either.

    The system's lock (flock) falls with its process, however that ends. Some file systems do not carry it to other
    hosts (NFS mounted with `nolock` or `local_lock`, Lustre with `localflock`) and a few have none, so a trainer also
    holds a lease, a file that it touches while it lives. The lease of a dead process of this host is free at once, one
    of another host when it lies untouched for `LEASE` seconds.

    Args:
        folder: made if need be. In it lie `lock`, for the system, and `lease`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lease = SoftFileLease(folder / "lease", lease_duration=LEASE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            UserError: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self.folder / "lock", timeout=0, fallback_to_soft=False))
            except Timeout:
                raise self.in_use() from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                print(f"{self.folder}: this file system has no locks; a lease stands for one", flush=True)
            self.take()
            stack.callback(self.lease.release)
            yield

    def take(self) -> None:
        """Take the lease.

        Raises:
            UserError: its holder lives.
        """
        holder, touched = self.holder(), self.touched()

        def alive() -> bool:
            return self.touched() not in (touched, None)

        try:
            self.lease.acquire(timeout=0)
        except Timeout:
            print(f"{self.in_use()}; waiting for a sign of life", flush=True)
            try:
                self.lease.acquire(timeout=1.1 * LEASE, poll_interval=LEASE / 120, cancel_check=alive)
            except Timeout:
                if alive():
                    raise self.in_use() from None
                self.lease.force_break()  # filelock takes a lease over by an atomic exchange, which NFS lacks
                self.lease.acquire(timeout=0)
        if holder:
            print(f"{self.folder}: the last trainer ({holder}) was killed: going on", flush=True)

    def holder(self) -> str:
        """Who holds the lease, in words; empty for nobody."""
        owner = self.lease.owner
        return f"process {owner.pid} of {owner.hostname.partition('?')[0]}" if owner else ""

    def touched(self) -> tuple[int, int] | None:
        """What tells one sign of life from the next, by the clock of the file system; None without a lease."""
        with suppress(FileNotFoundError), open(self.lease.lock_file, "rb") as file:  # NFS looks it up when it is opened
            stat = os.fstat(file.fileno())
            return stat.st_ino, stat.st_mtime_ns
        return None

    def require(self) -> None:
        """Stop a holder that was taken for dead, or whose folder was deleted, before it writes.

        Raises:
            UserError: the lease is another's, or gone.
        """
        owner = self.lease.owner
        if self.lease.is_locked and (self.lease.compromise or owner is None or owner.token != self.lease.token):
            what = f"taken over by {self.holder()}" if owner else "deleted"
            raise UserError(f"{self.folder} was {what} under this trainer: nothing more is written; run it again")

    def in_use(self) -> UserError:
        """What to say when another holds the lock."""
        holder = self.holder() or "unknown"
        return UserError(f"{self.folder} is in use by another training process ({holder}): wait for it, or stop it")


def claim_gpu(preferred: int, count: int) -> int:
    """The index of a GPU that no other job of this user has claimed; asked again, a process gets the same one.

    On a cluster a job sees its own GPUs only, and none is claimed by another.

    Args:
        preferred: taken if it is free, and also where all are claimed: to share is slow, but works while memory lasts.
        count: how many GPUs torch sees.
    """
    if _held:
        return next(iter(_held))
    for index in (preferred, *(index for index in range(count) if index != preferred)):
        lock = FileLock(gpu_lock(index))
        with suppress(Timeout, NotImplementedError, OSError):  # claimed; or a file system without locks
            lock.acquire(timeout=0)
            _held[index] = lock
            return index
    return preferred


def gpu_lock(index: int) -> Path:
    """The lock file of a GPU, which is named as the machine counts it, not this process."""
    names = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    name = names[index] if index < len(names) else str(index)
    user = os.getuid() if hasattr(os, "getuid") else "all"
    return Path(tempfile.gettempdir(), f"vaeglow-gpu-{user}-{name.replace('/', '-')}.lock")
