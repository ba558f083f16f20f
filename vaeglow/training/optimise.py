"""Optimiser, learning-rate schedule and the guard against non-finite steps (paper, section 4.2)."""

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
    """The learning rate at a step: halved every `halve_every` epochs, after a linear warm-up by step.

    Args:
        training: a run's `training` values.
        epoch: from 0.
        step: within the epoch, from 0.
        steps: in an epoch.
    """
    rate = training["learning_rate"]
    if training["halve_every"]:
        rate *= 0.5 ** (epoch // training["halve_every"])
    if training["warmup_epochs"]:
        rate *= min(1.0, (epoch * steps + step + 1) / (training["warmup_epochs"] * steps))
    return rate


class Guard:
    """Applies an update only if the loss and the gradient's norm are finite; counts those in a row that are not.

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
        moving = (nn.BatchNorm1d, nn.BatchNorm2d, ParametrizationList)
        norms = [part for part in model.modules() if isinstance(part, moving) and part.training]
        self.buffers = [buffer for norm in norms for buffer in norm.buffers()]
        self.fused = optimizer.defaults.get("fused", False)
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=device)
        self.kept: list[Tensor] = []

    def before_forward(self) -> None:
        """Remember the buffers that a forward pass in training mode changes."""
        self.kept = [buffer.clone() for buffer in self.buffers]

    def forget(self) -> None:
        """Undo a forward and backward pass that nothing shall follow from."""
        for buffer, before in zip(self.buffers, self.kept, strict=True):
            buffer.copy_(before)
        self.optimizer.zero_grad(set_to_none=True)

    def step(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """Clip, judge and apply the gradients of `loss`.

        Returns:
            (whether the step was finite, the gradient's norm before clipping): scalars on the device.
        """
        norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        finite = torch.isfinite(loss.detach()) & torch.isfinite(norm)
        if self.fused:
            # the switch that torch.amp.GradScaler uses: the fused kernel leaves weights and moments alone
            self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif bool(finite):
            self.optimizer.step()
        for buffer, before in zip(self.buffers, self.kept, strict=True):
            buffer.copy_(torch.where(finite, buffer, before))
        self.optimizer.zero_grad(set_to_none=True)
        self.in_a_row = torch.where(finite, 0, self.in_a_row + 1)
        return finite, norm
