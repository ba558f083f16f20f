"""What a run keeps while it trains: one folder that survives a killed job (not an output: see docs/how-it-is-built.md).

It holds complete states (weights, optimiser, position) and snapshots (weights at fractions of the run), each a
safetensors file written to a temporary and renamed. A name begins with the run's identity, so that a run never resumes
from another's state; then come the number of its rollbacks, and its steps. Of the states the newest two are kept,
for exact resume, and the good ones of the position, for rollback. A good state is kept before the first step and after
every hundredth of the run in whole epochs: the state a run returns to depends on its steps alone, never on when it was
saved or stopped, so an interrupted run takes the same course.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vaeglow.errors import DamagedFile, UserError
from vaeglow.results import source_sha256
from vaeglow.training.lock import FolderLock
from vaeglow.weights import read_tensors, write_tensors

STATE_KEY, SNAPSHOT_KEY, SNAPSHOTS_KEY = "vaeglow_state", "vaeglow_snapshot", "vaeglow_snapshots"  # of files' metadata
STATE, SNAPSHOT = ".safetensors", ".snapshot"  # how names end
NEWEST = 2  # states kept: if the last is damaged, the one before is used
POINTS, GOOD = 100, 2  # good states in a run; of them kept: the newer may already contain the cause of a divergence


@dataclass
class Position:
    """The position of a run; JSON-able by `vars`."""

    epoch: int = 0
    step: int = 0  # within the epoch
    seconds: float = 0.0  # spent in training steps and compilation, over all attempts, without what rollbacks discarded
    cpu_seconds: float = 0.0  # of this process, the first where several train
    compile_seconds: float = 0.0  # of those, in compilation
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)  # of the epoch in progress
    bad_steps: int = 0  # in a row, up to here
    good: list[list[int]] = field(default_factory=list)  # (rollbacks, steps) of the good states, oldest first
    rollbacks: list[dict[str, Any]] = field(default_factory=list)  # so far: from where to where, seconds lost


class Checkpoints:
    """The states and snapshots of one run. Writing raises UserError where there is no room or no permission.

    Args:
        folder: where they are.
        identity: sha256 of all that decides the run's numbers (config, data, base weights).
    """

    def __init__(self, folder: str | Path, identity: str) -> None:
        self.folder, self.identity = Path(folder), identity
        self.lock = FolderLock(self.folder)

    def path(self, rollbacks: int, steps: int, end: str = STATE) -> Path:
        """Path of the state or snapshot at a point of the run; later ones have larger names."""
        return self.folder / f"{self.identity[:16]}-{rollbacks:03d}-{steps:010d}{end}"

    def states(self) -> list[Path]:
        """This run's states, newest first."""
        return sorted(self.folder.glob(f"{self.identity[:16]}-*{STATE}"), reverse=True)

    def save(self, steps: int, here: Position, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Save the current state, after `steps` steps, and remove what is no longer kept.

        Raises:
            UserError: the folder was taken over by another process.
        """
        self.lock.require()
        about = {"identity": self.identity, "source_sha256": source_sha256(), "position": vars(here)}
        write_tensors(self.path(len(here.rollbacks), steps), pack(model, optimizer), STATE_KEY, about)
        self.prune(steps, here)

    def prune(self, steps: int, here: Position) -> None:
        """Keep the newest states, the good ones and the snapshots up to here; of other runs none after a step."""
        states = [path for path in self.states() if path <= self.path(len(here.rollbacks), steps)]
        kept = {*states[:NEWEST], *(self.path(*name) for name in here.good)}
        for path in [*self.folder.glob(f"*-*{STATE}"), *self.folder.glob(f"*-*{SNAPSHOT}")]:
            ours = path.name.startswith(self.identity[:16])
            early = path.suffix == SNAPSHOT and int(path.stem[-10:]) <= steps
            if path not in kept and not (ours and early) and (ours or steps):
                path.unlink(missing_ok=True)

    def read(self, path: Path, key: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """A state or snapshot of this run; raises what `read_tensors` raises."""
        tensors, about = read_tensors(path, key)
        if about["identity"] != self.identity:
            raise DamagedFile(f"{path} belongs to another run")
        return tensors, about

    def load(self, paths: Iterable[Path] = ()) -> tuple[dict[str, Tensor], Position] | None:
        """The first complete one of some states, or of all, newest first; None for a run that has none yet.

        Raises:
            UserError: none is complete (never a silent restart from zero), or one cannot be read at the moment.
        """
        if not (paths := list(paths) or self.states()):
            return None
        for path in paths:
            try:
                tensors, about = self.read(path, STATE_KEY)
            except DamagedFile as error:
                print(f"{error}; looking for an older state", flush=True)
                continue
            if about["source_sha256"] != source_sha256():
                print(f"other code wrote {path.name} ({about['source_sha256']}); resuming with this code", flush=True)
            return tensors, Position(**about["position"])
        raise UserError(f"no state in {self.folder} is complete: delete that folder to start from scratch")

    def go_back(self, here: Position) -> tuple[dict[str, Tensor], Position]:
        """The oldest complete good state of a position, and its position, with one more of `rollbacks`."""
        tensors, back = self.load(self.path(*name) for name in here.good)
        lost = {"at_epoch": here.epoch + 1, "at_step": here.step, "to_epoch": back.epoch + 1}
        lost |= {key: getattr(here, key) - getattr(back, key) for key in ("seconds", "cpu_seconds")}
        back.good, back.rollbacks = back.good[-1:], [*here.rollbacks, lost]
        return tensors, back

    def take_snapshot(self, steps: int, model: nn.Module, seconds: float) -> None:
        """Keep the model's weights after so many steps, trained for `seconds`; raises what `save` raises."""
        self.lock.require()
        about = {"identity": self.identity, "seconds": seconds}
        write_tensors(self.path(0, steps, SNAPSHOT), model.state_dict(), SNAPSHOT_KEY, about)

    def pack_snapshots(self, path: str | Path, at: Mapping[float, int], steps: int, about: Mapping[str, Any]) -> None:
        """Write all snapshots into one file, atomically: tensors `{index}/{name}`, a list `snapshots` in the metadata.

        Args:
            path: of the .safetensors file.
            at: see `snapshot_steps`.
            steps: in an epoch.
            about: what else the metadata hold: config, data, provenance.

        Raises:
            UserError: one of them is missing or damaged, though the run has passed its step.
        """
        packed: dict[str, Tensor] = {}
        infos = []
        for index, (fraction, step) in enumerate(at.items()):
            source = self.path(0, step, SNAPSHOT)
            try:
                tensors, info = self.read(source, SNAPSHOT_KEY)
            except DamagedFile:
                raise UserError(f"{source} is missing or damaged: delete {self.folder} to retrain") from None
            packed |= {f"{index}/{name}": tensor for name, tensor in tensors.items()}
            infos.append({"fraction": fraction, "epoch": step / steps, "step": step, "seconds": info["seconds"]})
        write_tensors(path, packed, SNAPSHOTS_KEY, {**about, "snapshots": infos})


def snapshot_steps(fractions: Sequence[float], steps: int) -> dict[float, int]:
    """Fraction of a run of so many steps -> the step after which its snapshot is taken."""
    # decimal fractions: 0.07 of 100 steps is 7, in binary it would be 7.000000000000001
    return {fraction: math.ceil(Fraction(str(fraction)) * steps) for fraction in fractions}


def read_snapshots(path: str | Path) -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    """The snapshots of a run's `snapshots.safetensors`, in order of their fraction.

    Returns:
        (info, state_dict) of each. An info holds `fraction` (of the run), `epoch` (a float, passes over the data),
        `step` (of the run), `seconds` (of training, this phase only), `config_sha256` and `data_sha256`.

    Raises:
        UserError: the file is missing, damaged or of another kind (`read_tensors`).
    """
    tensors, about = read_tensors(path, SNAPSHOTS_KEY)
    try:
        states: list[dict[str, Tensor]] = [{} for _ in about["snapshots"]]
        for name, tensor in tensors.items():
            index, _, rest = name.partition("/")
            states[int(index)][rest] = tensor
        hashes = {key: about[key] for key in ("config_sha256", "data_sha256")}
        return [({**info, **hashes}, state) for info, state in zip(about["snapshots"], states, strict=True)]
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not match its description ({error!r}): delete it and train again") from None


def pack(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Model and optimiser as one flat dict of tensors."""
    packed = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        packed |= {f"optimizer/{index}/{slot}": value for slot, value in slots.items()}
    return packed


def unpack(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
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
