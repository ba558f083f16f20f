"""One writer to a state folder: on one machine, on a shared file system, after crashes of either.

The system's lock (flock) falls with its process, however that dies. Some file systems do not carry it to other hosts
(NFS mounted with `nolock` or `local_lock`, Lustre with `localflock`) and a few have none, so the holder also leaves a
card with its name and shows that it lives: it touches the card every `BEAT` seconds. A card of another host that lies
untouched for `STALE` seconds is a dead one's.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vaeglow.errors import UserError
from vaeglow.files import NO_LOCKS, write_text

BEAT = 15.0
STALE = 60.0
BOOT = Path("/proc/sys/kernel/random/boot_id")  # Linux: tells two machines of one name apart, and a reboot


class FolderLock:
    """The lock of one folder.

    Args:
        folder: made if need be. In it lie `lock`, for the system, and `holder.json`, the card.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.file, self.card = folder, folder / "lock", folder / "holder.json"
        boot = BOOT.read_text().strip() if BOOT.exists() else ""
        self.me = {"pid": os.getpid(), "host": socket.gethostname(), "boot": boot, "token": secrets.token_hex(8)}
        self.mine = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            UserError: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock, by_system = self.acquire()
        quiet = threading.Event()
        try:
            other = self.read()
            if other is not None:
                here = by_system and (other.get("host"), other.get("boot")) == (self.me["host"], self.me["boot"])
                if not here:  # else it was this machine's own lock, and it is free
                    self.outlive()
                print(f"{self.folder}: the last holder ({name(other)}) is gone without a word: going on", flush=True)
            write_text(self.card, json.dumps(self.me) + "\n")
            self.mine = True
            threading.Thread(target=self.beat, args=(quiet,), daemon=True).start()
            yield
        finally:
            quiet.set()
            if self.mine and self.lost() is None:
                self.card.unlink(missing_ok=True)
            self.mine = False
            lock.release()

    def acquire(self) -> tuple[FileLock, bool]:
        """The system's lock, and whether there is such a thing on this file system."""
        lock = FileLock(self.file)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise self.in_use() from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            print(f"{self.folder}: this file system has no locks; holder.json stands for one", flush=True)
            return lock, False
        return lock, True

    def outlive(self) -> None:
        """Wait until the card of another host is stale.

        Raises:
            UserError: it was touched meanwhile.
        """
        age = self.age()
        if age < STALE:
            print(f"{self.in_use()}; looking whether it still lives", flush=True)
        while age < STALE:
            time.sleep(STALE / 60)
            before, age = age, self.age()
            if age < before:  # touched
                raise self.in_use()

    def age(self) -> float:
        """Seconds since the card was touched, both times by the clock of the file system; endless without a card."""
        with suppress(FileNotFoundError):
            os.utime(self.file)
            with open(self.file) as now, open(self.card) as then:  # NFS looks a file's times up when it is opened
                return os.fstat(now.fileno()).st_mtime - os.fstat(then.fileno()).st_mtime
        return float("inf")

    def read(self) -> dict[str, Any] | None:
        """The card, or None where there is none."""
        try:
            card = json.loads(self.card.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            card = None
        return card if isinstance(card, dict) else {}

    def lost(self) -> str | None:
        """Whose card lies there instead of ours, in words; None while it is ours."""
        card = self.read()
        if card is None:
            return "nobody"
        return None if card.get("token") == self.me["token"] else name(card)

    def require(self) -> None:
        """Stop a holder that has been taken for dead, or whose folder was deleted, before it writes.

        Raises:
            UserError: the card is no longer ours.
        """
        if self.mine and (holder := self.lost()) is not None:
            self.mine = False
            raise UserError(f"{self.folder} is no longer ours but of {holder}: nothing more is written; run it again")

    def beat(self, quiet: threading.Event) -> None:
        """Touch the card until told to be quiet."""
        while not quiet.wait(BEAT):
            with suppress(OSError):
                if self.lost() is None:
                    os.utime(self.card)

    def in_use(self) -> UserError:
        """What to say when another holds the lock."""
        age = self.age()
        seen = "" if age == float("inf") else f", last sign of life {max(age, 0):.0f} s ago"
        return UserError(
            f"{self.folder} is in use by another training process ({name(self.read() or {})}{seen}): wait for it, or "
            "stop it"
        )


def name(card: dict[str, Any]) -> str:
    """Who left a card."""
    return json.dumps({key: card[key] for key in ("pid", "host") if key in card}) if card else "unknown"
