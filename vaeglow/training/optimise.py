"""Optimiser, learning-rate schedule and the guard against bad steps (paper, section 4.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList


def build_optimizer(parameters: Iterable[nn.Parameter], training: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Adam (the paper's) or Adamax (Glow's source) from a run's `training` values."""
    kinds = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax}
    extra = {"fused": True} if training["optimizer"] == "adam" else {"foreach": True}
    return kinds[training["optimizer"]](
        list(parameters), lr=training["learning_rate"], betas=tuple(training["betas"]), **extra
    )


def learning_rate(training: Mapping[str, Any], epoch: int, step: int, steps: int) -> float:
    """The learning rate at a step: as `schedule` says, after a linear warm-up by step.

    The schedule is `constant`, `linear` (to zero at the run's end) or `{halve_every: epochs}` (paper, section 4.2).

    Args:
        training: a run's `training` values.
        epoch: from 0.
        step: within the epoch, from 0.
        steps: in an epoch.
    """
    rate, schedule, done = training["learning_rate"], training["schedule"], epoch * steps + step
    if schedule == "linear":
        rate *= 1 - done / (training["epochs"] * steps)
    elif schedule != "constant":
        rate *= 0.5 ** (epoch // schedule["halve_every"])
    if training["warmup_epochs"]:
        rate *= min(1.0, (done + 1) / (training["warmup_epochs"] * steps))
    return rate


class Guard:
    """Applies an update only if its loss and gradient will do; counts those in a row that do not.

    A step is bad when its loss or its gradient's norm is not finite, or the loss is above a limit.

    The verdict stays on the device: with fused Adam nothing is copied to the host. Adamax has no such switch,
    so there the verdict is read, one small copy a step.

    Args:
        model: the statistics of its batch norms in training mode, and the vectors of its spectral norms, are put
            back after a bad step.
        optimizer: of the trainable parameters.
        clip: largest global norm of the gradient.
        device: of the parameters.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, clip: float, device: torch.device) -> None:
        self.optimizer, self.clip = optimizer, clip
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        moving = (nn.modules.batchnorm._BatchNorm, ParametrizationList)
        norms = [part for part in model.modules() if isinstance(part, moving) and part.training]
        self.buffers = [buffer for norm in norms for buffer in norm.buffers()]
        self.fused = optimizer.defaults.get("fused", False)
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=device)
        self.most = self.in_a_row.clone()  # in a row, since `reset`
        self.kept: list[Tensor] = []

    def before_forward(self) -> None:
        """Remember the buffers that a forward pass in training mode changes."""
        self.kept = [buffer.clone() for buffer in self.buffers]

    def reset(self, in_a_row: int) -> None:
        """Set the count of bad steps in a row."""
        self.in_a_row.fill_(in_a_row)
        self.most.fill_(in_a_row)

    def forget(self) -> None:
        """Undo a forward and backward pass that nothing shall follow from."""
        for buffer, before in zip(self.buffers, self.kept, strict=True):
            buffer.copy_(before)
        self.optimizer.zero_grad(set_to_none=True)

    def step(self, loss: Tensor, sane: Tensor | bool = True) -> tuple[Tensor, Tensor]:
        """Clip, judge and apply the gradients of `loss`.

        Args:
            loss: of the step, its gradients computed.
            sane: whether the loss is below its limit, a scalar on the device.

        Returns:
            (whether the step was good, the gradient's norm before clipping): scalars on the device.
        """
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        good = torch.isfinite(loss.detach()) & torch.isfinite(norm) & sane
        if self.fused:
            # the switch that torch.amp.GradScaler uses: the fused kernel leaves weights and moments alone
            self.optimizer.found_inf = (~good).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif bool(good):
            self.optimizer.step()
        for buffer, before in zip(self.buffers, self.kept, strict=True):
            buffer.copy_(torch.where(good, buffer, before))
        self.optimizer.zero_grad(set_to_none=True)
        self.in_a_row = torch.where(good, 0, self.in_a_row + 1)
        self.most = torch.maximum(self.most, self.in_a_row)
        return good, norm
