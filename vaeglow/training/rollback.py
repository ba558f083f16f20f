"""Back to a good state with a lower learning rate, for a run whose loss is lost (NaN, infinite, exploded).

Good states lie beside the checkpoints: one before the first step, then one after every hundredth of the run in whole
epochs, the last two of them kept. Where a run goes back to follows from its steps alone, never from the moments at
which it was saved or stopped, so an interrupted run takes the very turns of one that was not. They are checkpoints
like any other: a run whose own are damaged, or were not yet due, goes on from the newest of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from vaeglow.config import as_before
from vaeglow.errors import DamagedFile, UserError
from vaeglow.models.store import read_tensors, write_tensors
from vaeglow.training.position import Position
from vaeglow.training.state import KEY, StateFolder, pack, unpack

POINTS = 100  # good states in a run: each costs a checkpoint's writing time
KEPT = 2  # of them; the older one is gone back to, for the newer may hold the seed of what went wrong


class Diverged(UserError):
    """The loss was lost for too many steps in a row. What the user reads of it, once no rollback is left."""


class GoodStates:
    """The good states of one run.

    A state is named by how often the run had been rolled back and by the epochs it had behind it; the names of those
    that may be gone back to are part of the run's position, and so of every checkpoint.

    Args:
        state: the run's state folder, whose lock the caller holds.
        training: the run's `training` values: `epochs` and `rollbacks`. Without rollbacks nothing is kept.
        steps: in an epoch.
        model: the run's.
        optimizer: the run's.
    """

    def __init__(
        self,
        state: StateFolder,
        training: Mapping[str, Any],
        steps: int,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.state, self.steps, self.model, self.optimizer = state, steps, model, optimizer
        self.rollbacks, self.every = training["rollbacks"], math.ceil(training["epochs"] / POINTS)

    def path(self, name: Iterable[int]) -> Path:
        """Where the state of a name (rollbacks, epoch) lies."""
        rollbacks, epoch = name
        return self.state.good / self.state.name(rollbacks, epoch * self.steps)

    def due(self, here: Position) -> bool:
        """Whether the state between two epochs is to be kept, and is not yet."""
        further = not here.good or here.epoch > here.good[-1][1]
        return self.rollbacks > 0 and here.epoch % self.every == 0 and further

    def keep(self, here: Position) -> None:
        """Keep the state of now, between two epochs; its name is added to those of the position."""
        name = [len(here.rollbacks), here.epoch]
        here.good = [*here.good, name][-KEPT:]
        if self.state.writes:
            self.state.lock.require()
            info = self.state.described({"position": vars(here)})
            write_tensors(self.path(name), pack(self.model, self.optimizer), KEY, info)
            self.prune(here)

    def prune(self, here: Position) -> None:
        """Remove this run's states but those of the position."""
        if not self.state.writes:
            return
        named = {self.path(name) for name in here.good}
        for path in set(self.state.good.glob(f"{self.state.identity[:16]}-*")) - named:
            path.unlink(missing_ok=True)

    def go_back(self, here: Position) -> Position:
        """Put the oldest whole good state of the position into model and optimiser.

        Returns:
            The position it belongs to, with one more of `rollbacks`.

        Raises:
            UserError: none is whole.
        """
        for name in here.good:
            try:
                tensors, info = read_tensors(self.path(name), KEY)
            except DamagedFile as error:
                print(f"rollback: {error}", flush=True)
                continue
            back = Position(**info["position"])
            lost = {"at_epoch": here.epoch + 1, "at_step": here.step, "to_epoch": back.epoch + 1}
            lost |= {key: getattr(here, key) - getattr(back, key) for key in ("seconds", "cpu_seconds")}
            back.good, back.rollbacks = [name], [*here.rollbacks, lost]
            unpack(tensors, self.model, self.optimizer)
            return back
        raise UserError(f"the loss was lost and no good state is left in {self.state.good}: delete {self.state.folder}")


def highest_loss(history: list[dict[str, Any]], max_rise: float) -> float:
    """Bits/dim above which a step is bad: `max_rise` above the mean of the last epoch that had one."""
    means = [row["bits_per_dim"] for row in history if math.isfinite(row["bits_per_dim"])]
    return means[-1] + max_rise if means else math.inf


def diverged(model: str, training: Mapping[str, Any], here: Position, limit: float, rate: float) -> Diverged:
    """What to say of a lost loss: where, and what to try.

    Args:
        model: its name.
        training: the run's `training` values.
        here: where it stands.
        limit: bits/dim above which a step counted as bad.
        rate: the learning rate there.
    """
    above = "" if math.isinf(limit) else f", or the loss above {limit:.6g} bits/dim,"
    after = f" after {len(here.rollbacks)} rollbacks" if here.rollbacks else ""
    also = ", or set training.memory to stored" if as_before(training)["memory"] == "reversible" else ""
    return Diverged(
        f"{model}: loss or gradient was not finite{above} for {training['max_bad_steps']} steps in a row in epoch "
        f"{here.epoch + 1}, at learning rate {rate:.3g}{after}: lower training.learning_rate or "
        f"training.gradient_clip, or raise training.warmup_epochs{also}"
    )
