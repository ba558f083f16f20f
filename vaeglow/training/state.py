"""Resume state: a folder that outlives a killed job (docs/how-it-is-built.md says why it is no declared output).

It holds the last two checkpoints, each one safetensors file written to a temporary and renamed, a lock, and the
folder `snapshots` (vaeglow/training/snapshots.py). A file's name begins with its run's identity, so that a run never
resumes from another's state.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from vaeglow.errors import UserError
from vaeglow.files import write_text
from vaeglow.models.store import read_tensors, write_tensors

KEY = "vaeglow_state"
KEPT = 2  # checkpoints: should the last be damaged, the one before it still serves


class StateFolder:
    """Checkpoints of one run.

    Args:
        folder: where they lie.
        identity: sha256 of all that decides the run's numbers (config, data, base weights).
    """

    def __init__(self, folder: str | Path, identity: str) -> None:
        self.folder = Path(folder)
        self.identity = identity

    def checkpoints(self) -> list[Path]:
        """This run's checkpoints, newest first."""
        return sorted(self.folder.glob(f"{self.identity[:16]}-*.safetensors"), reverse=True)

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

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder's lock; the system frees it when the process dies, however it dies.

        Raises:
            UserError: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        holder = self.folder / "holder.json"
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = holder.read_text() if holder.exists() else "unknown"
            raise UserError(
                f"{self.folder} is in use by another training process ({who.strip()}): wait for it, or stop it"
            ) from None
        try:
            for leftover in self.folder.rglob(".*.tmp"):  # of a save that was killed
                leftover.unlink(missing_ok=True)
            write_text(holder, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}) + "\n")
            yield
        finally:
            lock.release()

    def save(self, step: int, tensors: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        """Write a checkpoint, then remove all but the last two (and those of other identities).

        Args:
            step: global step, which orders checkpoints.
            tensors: model and optimiser.
            info: JSON-able rest: position, history.
        """
        path = self.folder / f"{self.identity[:16]}-{step:010d}.safetensors"
        write_tensors(path, tensors, KEY, {"identity": self.identity, **info})
        for path in [*self.checkpoints()[KEPT:], *self.others(), *self.other_snapshots()]:
            path.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest whole checkpoint of this run, or None when it has none.

        Raises:
            UserError: there are checkpoints and none of them is whole: never a silent restart from zero.
        """
        damaged = []
        for path in self.checkpoints():
            try:
                tensors, info = read_tensors(path, KEY)
                if info["identity"] != self.identity:
                    raise UserError(f"{path} belongs to another run")
                if damaged:
                    print(f"resume: {damaged[0]}; using {path.name} instead", flush=True)
                return tensors, info
            except UserError as error:
                damaged.append(str(error))
        if damaged:
            raise UserError(f"no checkpoint in {self.folder} is whole ({damaged[0]}): delete that folder to start anew")
        return None


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
