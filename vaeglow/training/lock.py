"""One trainer per state folder: on one machine, on a shared file system, after crashes of either.

The system's lock (flock) is released when its process ends, for whatever reason. Some file systems do not share it with
other hosts (NFS mounted with `nolock` or `local_lock`, Lustre with `localflock`) and a few have none, so a trainer also
holds a lease, a file that it touches while it lives. The lease of a dead process of this host is free at once, one of
another host when it is untouched for `LEASE` seconds.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLease, Timeout

from vaeglow.errors import UserError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of a lock, on a file system that has none
LEASE = 60.0  # seconds without a sign of life after which a trainer on another host counts as dead


class FolderLock:
    """The lock of a folder: its files `lock`, for the system, and `lease`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lease = SoftFileLease(folder / "lease", lease_duration=LEASE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; the folder is created if missing, and temporary files of a killed save are removed.

        Raises:
            UserError: another living process holds it.
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
                print(f"{self.folder}: this file system has no locks: using a lease file instead", flush=True)
            self.take_lease()
            stack.callback(self.lease.release)
            for leftover in self.folder.glob(".*tmp*"):  # ours, and those of safetensors, which it renames to ours
                leftover.unlink(missing_ok=True)
            yield

    def take_lease(self) -> None:
        """Take the lease, from a dead holder where there is one; raises what `held` raises."""
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
            print(f"{self.folder}: the last trainer ({holder}) was killed", flush=True)

    def holder(self) -> str:
        """Description of the lease's holder; empty if there is none."""
        owner = self.lease.owner
        return f"process {owner.pid} of {owner.hostname.partition('?')[0]}" if owner else ""

    def touched(self) -> tuple[int, int] | None:
        """Modification time of the lease, by the clock of the file system; None without a lease."""
        with suppress(FileNotFoundError), open(self.lease.lock_file, "rb") as file:  # NFS looks it up when it is opened
            stat = os.fstat(file.fileno())
            return stat.st_ino, stat.st_mtime_ns
        return None

    def require(self) -> None:
        """Stop a holder that was considered dead, or whose folder was deleted, before it writes.

        Raises:
            UserError: the lease is another's, or gone.
        """
        owner = self.lease.owner
        if self.lease.is_locked and (self.lease.compromise or owner is None or owner.token != self.lease.token):
            what = f"taken over by {self.holder()}" if owner else "deleted"
            raise UserError(f"{self.folder} was {what} under this trainer: nothing more is written; run it again")

    def in_use(self) -> UserError:
        """The error when another process holds the lock."""
        holder = self.holder() or "unknown"
        return UserError(f"{self.folder} is in use by another training process ({holder}): wait for it, or stop it")
