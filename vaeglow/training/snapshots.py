"""Weights as they were at fractions of a run: what "quality against training time" is measured on.

While the run trains they lie one by one in its state folder, so that an interruption loses none; at its end they are
packed into one file, a declared output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vaeglow.errors import UserError
from vaeglow.training.state import StateFolder
from vaeglow.weights import read_tensors, write_tensors

KEY = "vaeglow_snapshots"  # of the packed file's metadata
ONE = "vaeglow_snapshot"  # of a single one's, in the state folder


class Snapshots:
    """The snapshots of one run.

    Args:
        state: the run's state folder, whose lock the caller holds.
        fractions: of the run, in (0, 1), rising.
        epochs: of the run.
        steps: in an epoch.
    """

    def __init__(self, state: StateFolder, fractions: Sequence[float], epochs: int, steps: int) -> None:
        self.state, self.steps = state, steps
        # the fractions as they are written: 0.07 of 100 steps is 7, in binary it would be 7.000000000000001
        self.at = {fraction: math.ceil(Fraction(str(fraction)) * epochs * steps) for fraction in fractions}

    def due(self, step: int) -> bool:
        """Whether weights are to be kept after so many steps of the run."""
        return step in self.at.values()

    def take(self, step: int, model: nn.Module, seconds: float) -> None:
        """Keep the model's weights after `step` steps; a whole snapshot of an earlier attempt is left as it is.

        Args:
            step: of the run, counted from 1.
            model: its weights.
            seconds: spent in training steps so far.
        """
        if self.state.writes and self.read(step) is None:
            info = {"identity": self.state.identity, "epoch": step / self.steps, "step": step, "seconds": seconds}
            write_tensors(self.state.snapshot(step), model.state_dict(), ONE, info)

    def read(self, step: int) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The whole snapshot of this run at a step, or None."""
        try:
            tensors, info = read_tensors(self.state.snapshot(step), ONE)
        except UserError:  # not there, or damaged
            return None
        return (tensors, info) if info["identity"] == self.state.identity else None

    def drop_after(self, step: int) -> None:
        """Remove the snapshots of steps beyond this one: a rollback goes back behind them, and they are taken anew."""
        for later in self.at.values():
            if later > step and self.state.writes:
                self.state.snapshot(later).unlink(missing_ok=True)

    def pack(self, path: str | Path, about: Mapping[str, Any]) -> str:
        """Write all snapshots into one file, atomically: tensors `{index}/{name}`, a list `snapshots` in the metadata.

        Args:
            path: of the .safetensors file.
            about: what else the metadata hold: config, data, provenance.

        Returns:
            The sha256 of all their tensors.

        Raises:
            UserError: one of them is missing or damaged, though the run has passed its step.
        """
        packed: dict[str, Tensor] = {}
        infos = []
        for index, (fraction, step) in enumerate(self.at.items()):
            found = self.read(step)
            if found is None:
                raise UserError(
                    f"{self.state.snapshot(step)} is missing or damaged: delete {self.state.folder} to train anew"
                )
            tensors, info = found
            packed |= {f"{index}/{name}": tensor for name, tensor in tensors.items()}
            infos.append({"fraction": fraction, **{key: info[key] for key in ("epoch", "step", "seconds")}})
        return write_tensors(path, packed, KEY, {**about, "snapshots": infos})


def read_snapshots(path: str | Path) -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    """The snapshots of a run's `snapshots.safetensors`, in order of their fraction.

    Returns:
        (info, state_dict) of each. An info holds `fraction` (of the run), `epoch` (a float, passes over the data),
        `step` (of the run) and `seconds` (spent in training steps, this phase only). The file's `config_sha256` and
        `data_sha256` are in each info, too, to tell whose weights they are.

    Raises:
        UserError: the file is missing, damaged or of another kind (`vaeglow.weights.read_tensors`).
    """
    tensors, about = read_tensors(path, KEY)
    try:
        states: list[dict[str, Tensor]] = [{} for _ in about["snapshots"]]
        for name, tensor in tensors.items():
            index, _, rest = name.partition("/")
            states[int(index)][rest] = tensor
        whose = {key: about[key] for key in ("config_sha256", "data_sha256")}
        return [({**info, **whose}, state) for info, state in zip(about["snapshots"], states, strict=True)]
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(f"{path} does not hold what it says ({error!r}): delete it and train the model again") from None
