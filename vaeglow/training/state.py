"""Resume state: a folder that outlives a killed job (docs/how-it-is-built.md says why it is no declared output).

It holds the last two checkpoints, each one safetensors file written to a temporary and renamed, a lock (lock.py), and
the folders `snapshots` (snapshots.py) and `good` (rollback.py). A file's name begins with its run's identity, so that a
run never resumes from another's state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaeglow.errors import DamagedFile, UserError
from vaeglow.provenance import source_sha256
from vaeglow.training.lock import FolderLock
from vaeglow.weights import read_tensors, write_tensors

KEY = "vaeglow_state"
FORMAT = 2  # of checkpoints: raise it when an older one would be read wrongly, or training means something else by it
KEPT = 2  # checkpoints: should the last be damaged, the one before it still serves


class StateFolder:
    """Checkpoints of one run.

    Args:
        folder: where they lie.
        identity: sha256 of all that decides the run's numbers (config, data, base weights).
        writes: False in a process that only reads, beside the one that holds the lock.
    """

    def __init__(self, folder: str | Path, identity: str, writes: bool = True) -> None:
        self.writes = writes
        self.folder = Path(folder)
        self.identity = identity
        self.good = self.folder / "good"
        self.lock = FolderLock(self.folder)

    def name(self, rollbacks: int, step: int) -> str:
        """The file name of a checkpoint: in order of how often the run had been rolled back, then of steps."""
        return f"{self.identity[:16]}-{rollbacks:03d}-{step:010d}.safetensors"

    def checkpoints(self) -> list[Path]:
        """This run's checkpoints, newest first."""
        return sorted(self.folder.glob(f"{self.identity[:16]}-*.safetensors"), reverse=True)

    def resumable(self) -> list[Path]:
        """What this run may go on from, newest first: its checkpoints and its good states (rollback.py)."""
        found = [*self.checkpoints(), *self.good.glob(f"{self.identity[:16]}-*.safetensors")]
        return sorted(found, key=lambda path: path.name, reverse=True)  # of two of one step the checkpoint

    def others(self) -> list[Path]:
        """Checkpoints of runs with another identity: an older config, other data, another base."""
        return sorted(set(self.folder.glob("*-*.safetensors")) - set(self.checkpoints()))

    def snapshot(self, step: int) -> Path:
        """Where this run's weights after `step` steps lie."""
        return self.folder / "snapshots" / f"{self.identity[:16]}-{step:010d}.safetensors"

    def other_snapshots(self) -> list[Path]:
        """Snapshots of runs with another identity."""
        found = (self.folder / "snapshots").glob("*-*.safetensors")
        return sorted(path for path in found if not path.name.startswith(f"{self.identity[:16]}-"))

    def other_good(self) -> list[Path]:
        """Good states of runs with another identity."""
        return sorted(path for path in self.good.glob("*") if not path.name.startswith(f"{self.identity[:16]}-"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock, and clear what a killed save left there.

        Raises:
            UserError: another process holds it.
        """
        with self.lock.held():
            for leftover in self.folder.rglob(".*tmp*"):  # ours, and those of safetensors, which it renames to ours
                leftover.unlink(missing_ok=True)
            yield

    def save(self, step: int, tensors: Mapping[str, Tensor], info: Mapping[str, Any], rollbacks: int = 0) -> None:
        """Write a checkpoint, then remove all but the last two, and whatever is of other identities.

        Args:
            step: global step, which orders checkpoints.
            tensors: model and optimiser.
            info: JSON-able rest: position, history.
            rollbacks: before this step; they order checkpoints first, for a rollback goes back in steps.

        Raises:
            UserError: no room or no permission to write, or the folder was taken over by another process.
        """
        self.lock.require()
        path = self.folder / self.name(rollbacks, step)
        write_tensors(path, tensors, KEY, self.described(info))
        for path in [*self.checkpoints()[KEPT:], *self.others(), *self.other_snapshots(), *self.other_good()]:
            path.unlink(missing_ok=True)

    def described(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """What a checkpoint says of itself, `info` with whose it is and which code wrote it."""
        return {"identity": self.identity, "format": FORMAT, "source_sha256": source_sha256(), **info}

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest whole checkpoint or good state of this run, or None when it has none.

        Raises:
            UserError: there are some and none of them is whole: never a silent restart from zero. Or one was written by
                another version of vaeglow, or cannot be read just now.
        """
        damaged = []
        for path in self.resumable():
            try:
                tensors, info = read_tensors(path, KEY)
                if info["identity"] != self.identity:
                    raise DamagedFile(f"{path} belongs to another run")
            except DamagedFile as error:
                damaged.append(str(error))
                continue
            self.require_format(path, info)
            if damaged:
                print(f"resume: {damaged[0]}; using {path.relative_to(self.folder)} instead", flush=True)
            if info.get("source_sha256") != source_sha256():
                print(
                    f"resume: other code wrote {path.name} ({info.get('source_sha256')}); going on with this",
                    flush=True,
                )
            return tensors, info
        if damaged:
            raise UserError(f"no checkpoint in {self.folder} is whole ({damaged[0]}): delete that folder to start anew")
        return None

    def require_format(self, path: Path, info: Mapping[str, Any]) -> None:
        """Refuse a checkpoint of another version of vaeglow.

        Raises:
            UserError: says what may be done.
        """
        if (found := info.get("format", 1)) != FORMAT:
            raise UserError(
                f"{path} is a checkpoint of another version of vaeglow (format {found}, this one writes {FORMAT}): "
                f"finish the run with that version, or delete {self.folder} to start anew"
            )

    def abandon_others(self, epochs: int) -> bool:
        """Whether there are checkpoints of other identities; they go when the first of this run is written.

        An unfinished run of an older version is not given up like that: with the version its config changed as well,
        which nobody asked for.

        Args:
            epochs: of this run; a run that had as many behind it was finished.

        Raises:
            UserError: there is such an unfinished run.
        """
        others = self.others()
        for path in others:
            try:
                _, info = read_tensors(path, KEY)
            except DamagedFile:
                continue
            if info["position"]["epoch"] < epochs:
                self.require_format(path, info)
        return bool(others)


def pack(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Model and optimiser as one flat dict of tensors."""
    packed = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        packed |= {f"optimizer/{index}/{slot}": value for slot, value in slots.items()}
    return packed


def unpack(tensors: Mapping[str, Tensor], model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """The inverse of `pack`, into an existing model and optimiser.

    Moments get the memory layout of their parameters (channels last on a CPU): a file has lost it, and fused
    kernels pair the two in order of memory.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    weights = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        if part == "model":
            weights[rest] = tensor
        else:
            index, slot = rest.split("/")
            if slot != "step":  # a counter; all other slots are moments
                tensor = torch.empty_like(parameters[int(index)], dtype=tensor.dtype).copy_(tensor)
            state.setdefault(int(index), {})[slot] = tensor
    model.load_state_dict(weights)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
