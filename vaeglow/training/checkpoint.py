"""What a run keeps while it trains: one folder that survives a killed job (not an output: see docs/how-it-is-built.md).

It holds complete states (weights, optimiser, position, snapshots so far), each a safetensors file. A name begins with
the run's identity, so that a run never resumes from another's state; then come the number of its rollbacks, and its
steps. The newest two are kept, for exact resume, and the good ones of the position, for rollback. A good state is kept
before the first step and after every hundredth of the run in whole epochs: the state a run returns to depends on its
steps alone, so an interrupted run takes the same course.

Only one trainer at a time uses a folder. The system's lock (flock) is released when its process ends, for whatever
reason. Some file systems do not share it with other hosts and a few have none (docs/faults-survival.md), so a trainer
also holds a lease, a file that it touches while it lives. The lease of a dead process of this host is free at once, one
of another host when it is untouched for `LEASE` seconds.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from errno import ENOLCK, ENOSYS, EOPNOTSUPP
from fractions import Fraction
from math import ceil
from pathlib import Path

import torch
from filelock import FileLock, SoftFileLease, Timeout
from torch import nn
from torch.optim import Optimizer

from vaeglow.errors import STOP, DamagedFile, UserError, handled
from vaeglow.files import AnyPath, Facts
from vaeglow.results import source_sha256
from vaeglow.weights import SNAPSHOTS_KEY, STATE_KEY, Tensors, read_tensors, write_tensors

NEWEST_KEPT = 2  # states kept: if the last is damaged, the one before is used
GOOD_PER_RUN = 100  # good states in a run
GOOD_KEPT = 2  # of them kept: the newer may already contain the cause of a divergence
NO_LOCKS = (ENOLCK, ENOSYS, EOPNOTSUPP)  # of a lock, on a file system that has none
LEASE = 60.0  # seconds without a sign of life after which a trainer on another host counts as dead


@dataclass
class Position:
    """The position of a run; JSON-able by `vars`."""

    epoch: int = 0
    step: int = 0  # within the epoch
    seconds: float = 0.0  # spent in training steps and compilation, over all attempts, without what rollbacks discarded
    cpu_seconds: float = 0.0  # of this process, the first where several train
    compile_seconds: float = 0.0  # of those, in compilation
    history: list[Facts] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)  # of the epoch in progress
    bad_steps: int = 0  # in a row, up to here
    good: list[list[int]] = field(default_factory=list)  # (rollbacks, steps) of the good states, oldest first
    rollbacks: list[Facts] = field(default_factory=list)  # so far: from where to where, seconds lost
    snapshots: list[Facts] = field(default_factory=list)  # taken: `fraction`, `epoch`, `step`


class FolderLock:
    """The lock of a folder: its files `lock`, for the system, and `lease`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lease = SoftFileLease(folder / "lease", lease_duration=LEASE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, or raise a UserError where another living process does.

        The folder is created if missing, and temporary files of a killed save are removed.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self.folder / "lock", timeout=0, fallback_to_soft=False))
            except Timeout:
                raise self.in_use() from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                print(f"{self.folder}: this file system has no locks: using a lease file instead")
            holder = self.holder()
            self.take_lease()
            stack.callback(self.release)
            if holder:
                print(f"{self.folder}: the last trainer ({holder}) was killed")
            for leftover in self.folder.glob(".*tmp*"):  # ours, and those of safetensors, which it renames to ours
                leftover.unlink(missing_ok=True)
            yield

    def release(self) -> None:
        """Release the lease, ignoring signals: the processes of a run stop each other when they end."""
        with handled(lambda *_: None, STOP):
            self.lease.release()

    def take_lease(self) -> None:
        """Take the lease, from a dead holder where there is one; raises what `held` raises."""
        touched = self.touched()

        def alive() -> bool:
            return self.touched() not in (touched, None)

        with suppress(Timeout):
            self.lease.acquire(timeout=0)
            return
        print(f"{self.in_use()}; waiting for a sign of life")
        try:
            self.lease.acquire(timeout=1.1 * LEASE, poll_interval=LEASE / 120, cancel_check=alive)
        except Timeout:
            if alive():
                raise self.in_use() from None
            self.lease.force_break()  # filelock takes a lease over by an atomic exchange, which NFS lacks
            self.lease.acquire(timeout=0)

    def holder(self) -> str:
        """Who holds the lease; empty if there is none."""
        owner = self.lease.owner
        return f"process {owner.pid} of {owner.hostname.partition('?')[0]}" if owner else ""

    def touched(self) -> tuple[int, int] | None:
        """Inode and modification time of the lease, by the clock of the file system; None without a lease."""
        with suppress(FileNotFoundError), open(self.lease.lock_file, "rb") as file:  # NFS looks it up when it is opened
            stat = os.fstat(file.fileno())
            return stat.st_ino, stat.st_mtime_ns
        return None

    def require(self) -> None:
        """Stop a holder that was considered dead, or whose folder was deleted, before it writes (UserError)."""
        owner = self.lease.owner
        ours = owner is not None and owner.token == self.lease.token and not self.lease.compromise
        if self.lease.is_locked and not ours:
            what = f"taken over by {self.holder()}" if owner else "deleted"
            raise UserError(f"{self.folder} was {what} under this trainer: nothing more is written; run it again")

    def in_use(self) -> UserError:
        """The error when another process holds the lock."""
        holder = self.holder() or "unknown"
        return UserError(f"{self.folder} is in use by another training process ({holder}): wait for it, or stop it")


class Checkpoints:
    """The states of one run. Writing raises UserError: no room, no permission, or the folder was taken over.

    Args:
        folder: where they are.
        identity: sha256 of all that decides the run's numbers (config, data, base weights).
    """

    def __init__(self, folder: AnyPath, identity: str) -> None:
        self.folder = Path(folder)
        self.identity = identity
        self.names = identity[:16]  # what those of its states begin with
        self.lock = FolderLock(self.folder)

    def path(self, rollbacks: int, steps: int) -> Path:
        """Path of the state at a point of the run; later ones have larger names."""
        return self.folder / f"{self.names}-{rollbacks:03d}-{steps:010d}.safetensors"

    def states(self) -> list[Path]:
        """This run's states, newest first."""
        return sorted(self.folder.glob(f"{self.names}-*.safetensors"), reverse=True)

    def save(self, steps: int, position: Position, tensors: Tensors) -> None:
        """Save the state after `steps` steps (`pack`), and remove what is no longer kept."""
        self.lock.require()
        about = {"identity": self.identity, "source_sha256": source_sha256(), "position": vars(position)}
        write_tensors(self.path(len(position.rollbacks), steps), tensors, STATE_KEY, about)
        self.prune(steps, position)

    def prune(self, steps: int, position: Position) -> None:
        """Keep the newest states up to here and the good ones; of other runs none after a step."""
        newest = self.path(len(position.rollbacks), steps)
        states = [path for path in self.states() if path <= newest]
        good = [self.path(*name) for name in position.good]
        others = self.folder.glob("*-*.safetensors") if steps else self.states()
        for path in {*others} - {*states[:NEWEST_KEPT], *good}:
            path.unlink(missing_ok=True)

    def load(self, paths: Iterable[Path] = ()) -> tuple[Tensors, Position] | None:
        """The first complete state of `paths`, by default all, newest first; None for a run that has no state yet.

        Raises:
            UserError: none is complete (never a silent restart from zero), or one cannot be read at the moment.
        """
        paths = list(paths) or self.states()
        for path in paths:
            try:
                tensors, about = read_tensors(path, STATE_KEY)
                if about["identity"] != self.identity:
                    raise DamagedFile(f"{path} belongs to another run")
            except DamagedFile as error:
                print(f"{error}; looking for an older state")
                continue
            if about["source_sha256"] != source_sha256():
                print(f"other code wrote {path.name} ({about['source_sha256']}); resuming with this code")
            try:
                return tensors, Position(**about["position"])
            except TypeError:
                raise UserError(f"{path} is of another version: finish with it, or delete {self.folder}") from None
        if paths:
            raise UserError(f"no state in {self.folder} is complete: delete that folder to start from scratch")
        return None

    def go_back(self, position: Position) -> tuple[Tensors, Position]:
        """The oldest complete good state of a position, and its position, with one more of `rollbacks`."""
        tensors, back = self.load(self.path(*name) for name in position.good)
        lost = {
            "at_epoch": position.epoch + 1,
            "at_step": position.step,
            "to_epoch": back.epoch + 1,
            "seconds": position.seconds - back.seconds,
            "cpu_seconds": position.cpu_seconds - back.cpu_seconds,
        }
        back.good = back.good[-1:]
        back.rollbacks = [*position.rollbacks, lost]
        return tensors, back


def pack(model: nn.Module, optimizer: Optimizer, snapshots: Tensors | None = None) -> Tensors:
    """Model, optimiser and the snapshots' tensors as one flat dict."""
    parts = {"model": model.state_dict(), "snapshot": snapshots or {}}
    for index, slots in optimizer.state_dict()["state"].items():
        parts[f"optimizer/{index}"] = slots
    return {f"{part}/{name}": tensor for part, named in parts.items() for name, tensor in named.items()}


def unpack(tensors: Tensors, model: nn.Module, optimizer: Optimizer) -> Tensors:
    """The inverse of `pack`, into an existing model and optimiser; returns the snapshots' tensors.

    Moments get the memory layout of their parameters (channels last on a CPU): a file has lost it, and fused
    kernels pair the two in order of memory.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    parts = by_prefix(tensors)
    state = {int(index): slots for index, slots in by_prefix(parts["optimizer"]).items()}
    for index, slots in state.items():
        for slot in slots.keys() - {"step"}:  # a counter; all other slots are moments
            slots[slot] = torch.empty_like(parameters[index], dtype=slots[slot].dtype).copy_(slots[slot])
    model.load_state_dict(parts["model"])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return parts["snapshot"]


def by_prefix(tensors: Tensors) -> defaultdict[str, Tensors]:
    """Tensors named `prefix/name`, by prefix and name."""
    parts: defaultdict[str, Tensors] = defaultdict(dict)
    for path, tensor in tensors.items():
        prefix, _, name = path.partition("/")
        parts[prefix][name] = tensor
    return parts


def snapshot_steps(fractions: Sequence[float], steps: int) -> dict[float, int]:
    """Fraction of a run of so many steps -> the step after which its snapshot is taken."""
    # decimal fractions: 0.07 of 100 steps is 7, in binary it would be 7.000000000000001
    return {fraction: ceil(Fraction(str(fraction)) * steps) for fraction in fractions}


def read_snapshots(path: AnyPath) -> list[tuple[Facts, Tensors]]:
    """The snapshots of a run's `snapshots.safetensors`, in order of their fraction.

    Returns:
        (info, state_dict) of each. An info holds `fraction` (of the run), `epoch` (a float, passes over the data) and
        `step` (of the run).

    Raises:
        UserError: the file is missing, damaged or of another kind (`read_tensors`).
    """
    tensors, about = read_tensors(path, SNAPSHOTS_KEY)
    states = by_prefix(tensors)
    return [(info, states[str(index)]) for index, info in enumerate(about["snapshots"])]
