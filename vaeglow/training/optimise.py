"""The parts of a training step: optimiser, learning rate and guard (paper, section 4.2), precision, compilation.

Memory (`runtime.memory`) changes no bit of a run; `training.precision` and `compile` do, so they are part of its
identity (docs/performance.md). Evaluation uses none of the three (`vaeglow.models.network.full_precision`).
"""

from collections.abc import Callable, Iterable
from math import inf, isinf

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim import Adam, Adamax, Optimizer

from vaeglow.errors import UserError, first_line, memory_used_up
from vaeglow.models.glow_steps import GlowSteps
from vaeglow.models.kinds import Config
from vaeglow.models.network import networks
from vaeglow.models.residual_flow import LipschitzConv


def build_optimizer(parameters: Iterable[nn.Parameter], training: Config) -> Optimizer:
    """Adam (the paper's) or Adamax (Glow's source) from a run's `training` values."""
    values = {"lr": training["learning_rate"], "betas": tuple(training["betas"])}
    if training["optimizer"] == "adam":
        return Adam(parameters, **values, fused=True)
    return Adamax(parameters, **values, foreach=True)


def learning_rate(training: Config, epoch: int, step: int, steps: int) -> float:
    """The learning rate at a step: as `schedule` says, after a linear warm-up by step.

    The schedule is `constant`, `linear` (to zero at the run's end) or `{halve_every: epochs}` (paper, section 4.2).
    `epoch` and `step`, of the `steps` in an epoch, count from 0.
    """
    rate = training["learning_rate"]
    schedule = training["schedule"]
    done = epoch * steps + step
    if schedule == "linear":
        rate *= 1 - done / (training["epochs"] * steps)
    elif schedule != "constant":
        rate *= 0.5 ** (epoch // schedule["halve_every"])
    if training["warmup_epochs"]:
        rate *= min(1.0, (done + 1) / (training["warmup_epochs"] * steps))
    return rate


class Diverged(UserError):
    """Too many bad steps in a row: the error shown when no rollback is left."""


class Guard:
    """Applies an update only if its loss and gradient are finite and the loss is below a limit; counts the others.

    The decision stays on the device: with fused Adam nothing is copied to the host. Adamax has no such option,
    so there it is read, one small copy a step.

    Args:
        model: the statistics of its batch norms in training mode, and the vectors of its spectral norms, are put
            back after a bad step.
        optimizer: of the trainable parameters.
        training: the run's values: `gradient_clip`, the largest global norm of the gradient, and `max_bad_steps`.

    Attributes:
        limit: bits/dim above which a step is bad.
        in_a_row: bad steps up to now.
        most: the largest `in_a_row` since `reset`.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, training: Config) -> None:
        self.optimizer = optimizer
        self.training = training
        self.limit = inf
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.buffers: list[Tensor] = []
        for part in model.modules():
            if part.training and isinstance(part, _BatchNorm | ParametrizationList | LipschitzConv):
                self.buffers += part.buffers()
        self.fused = optimizer.defaults.get("fused", False)
        self.in_a_row = torch.zeros((), dtype=torch.int64, device=self.parameters[0].device)
        self.most = self.in_a_row.clone()
        self.before: list[Tensor] = []

    def before_forward(self) -> None:
        """Remember the buffers that a forward pass in training mode changes."""
        self.before = [buffer.clone() for buffer in self.buffers]

    def reset(self, in_a_row: int) -> None:
        """Set the count of bad steps in a row."""
        self.in_a_row.fill_(in_a_row)
        self.most.fill_(in_a_row)

    def forget(self) -> None:
        """Undo a forward and backward pass."""
        for buffer, before in zip(self.buffers, self.before, strict=True):
            buffer.copy_(before)
        self.optimizer.zero_grad()

    def step(self, loss: Tensor, bits_per_dim: Tensor) -> tuple[Tensor, Tensor]:
        """Clip, check and apply the gradients of `loss`; `bits_per_dim` has the limit.

        Returns:
            (whether the step was good, the gradient's norm before clipping): scalars on the device.
        """
        norm = clip_grad_norm_(self.parameters, self.training["gradient_clip"])
        good = loss.isfinite() & norm.isfinite() & (bits_per_dim <= self.limit)
        if self.fused:
            # the option that torch.amp.GradScaler uses: the fused kernel leaves weights and moments alone
            self.optimizer.found_inf = (~good).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif good:
            self.optimizer.step()
        for buffer, before in zip(self.buffers, self.before, strict=True):
            buffer.copy_(buffer.where(good, before))
        self.optimizer.zero_grad()
        self.in_a_row = torch.where(good, 0, self.in_a_row + 1)
        self.most = self.most.maximum(self.in_a_row)
        return good, norm

    def check(self, where: str) -> None:
        """Raise `Diverged`, with what to try, after too many bad steps in a row; waits for the device."""
        most = self.training["max_bad_steps"]
        if self.most.item() < most:
            return
        above = "" if isinf(self.limit) else f", or the loss above {self.limit:.6g},"
        raise Diverged(
            f"loss or gradient was not finite{above} for {most} steps in a row {where}: lower training.learning_rate "
            "or training.gradient_clip, or raise training.warmup_epochs"
        )


def recompute_activations(model: nn.Module, on: bool) -> None:
    """Recompute a flow's activations in the backward pass (`runtime.memory: checkpoint`), or keep them (`stored`)."""
    for part in model.modules():
        if isinstance(part, GlowSteps):
            part.checkpoint = on


def compiles(option: bool | str, device: torch.device) -> bool:
    """Whether networks are compiled under `training.compile`.

    On a CPU `auto` does not: most runs are too short to gain from it (docs/performance.md).
    """
    return option is True or (option == "auto" and device.type != "cpu")


def compile_networks(model: nn.Module, device: torch.device, step: Callable[[], object]) -> None:
    """Compile the networks of a model, in a first forward and backward pass, `step`.

    On a CPU torch.compile keeps channels-last tensors only if forced to: it looks at the convolutions of the forward
    pass alone.

    Raises:
        UserError: it fails. The run does not go on without: its bits are those of compiled networks.
    """
    options = {"force_layout_optimization": device.type == "cpu"}
    for network in networks(model):
        network.compiled = torch.compile(network.forward, dynamic=False, options=options)
    try:
        step()
    except Exception as error:  # whatever a compiler, a missing one included, may raise
        if memory_used_up(error):
            raise
        raise UserError(f"torch.compile failed: {first_line(error)}: set training.compile to off") from error
