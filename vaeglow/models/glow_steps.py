"""The Glow steps of one level (paper, section 3.3; Kingma & Dhariwal 2018).

ActNorm and the 1x1 make one "channel matrix" a step. The matrices of a level are factorised and inverted together, in
float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vaeglow.models.flows import ActNorm, AdditiveCoupling, AffineCoupling, Flow, InvertibleConv1x1, pixels

CHECKPOINT_EVERY = 4  # steps: recomputing a few at a time takes little memory


class GlowStep(Flow):
    """ActNorm, then an invertible 1x1 convolution, then a coupling (paper, section 3.3; Glow, figure 2a).

    ActNorm and the 1x1 are both affine in the channels of one pixel, so they are applied as one matrix.

    Args:
        channels: C.
        width: hidden channels of the coupling net.
        coupling: `additive` (the paper's Glow layer) or `affine` (the Glow baseline).
    """

    def __init__(self, channels: int, width: int, coupling: str) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.conv = InvertibleConv1x1(channels)
        self.coupling = {"additive": AdditiveCoupling, "affine": AffineCoupling}[coupling](channels, width)

    def channel_map(self) -> tuple[Tensor, Tensor]:
        """ActNorm and 1x1 as one affine map of a pixel's channels, A v + c: A [C, C] and c [C]."""
        matrix = self.conv.weight * self.actnorm.log_scale().exp()
        return matrix, matrix @ self.actnorm.bias

    def apply_step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The step's image of x, and the coupling's log-determinant alone: see `channel_log_det` for the rest."""
        matrix, offset = self.channel_map()
        return self.coupling(F.conv2d(x, matrix[..., None, None], offset))

    def undo_step(self, y: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `apply_step`, given the inverse of its channel matrix, [C, C]."""
        y, log_det = self.coupling.inverse(y)
        offset = self.channel_map()[1]
        return F.conv2d(y - offset[:, None, None], inverse[..., None, None]), log_det

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`."""
        y, log_det = self.apply_step(x)
        return y, channel_log_det([self], x) + log_det

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """See `Flow`."""
        x, log_det = self.undo_step(y, inverse_channel_matrices([self])[0])
        return x, log_det - channel_log_det([self], y)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> Tensor:
        """Initialise actnorm on x, then the coupling on what reaches it."""
        self.actnorm.initialise(x)
        matrix, offset = self.channel_map()
        return self.coupling.initialise(F.conv2d(x, matrix[..., None, None], offset))


def channel_matrices(steps: Iterable[GlowStep]) -> Tensor:
    """The channel matrices of steps of one level, in float64: [steps, C, C]."""
    return torch.stack([step.channel_map()[0] for step in steps]).double()


def channel_log_det(steps: Iterable[GlowStep], x: Tensor) -> Tensor:
    """Sum of log|det| of the steps' channel maps over all pixels of x: a scalar, one batched factorisation."""
    return pixels(x) * torch.linalg.slogdet(channel_matrices(steps))[1].sum().to(x.dtype)


def inverse_channel_matrices(steps: Iterable[GlowStep]) -> Tensor:
    """Inverses of the steps' channel matrices, taken in float64: [steps, C, C] in the weights' own type."""
    return torch.linalg.inv(channel_matrices(steps)).to(next(iter(steps)).conv.weight.dtype)


def apply_steps(steps: Iterable[GlowStep], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """x [N, C, H, W] through the steps, and the log-determinant of each coupling."""
    log_dets = []
    for step in steps:
        x, log_det = step.apply_step(x)
        log_dets.append(log_det)
    return x, log_dets


class Checkpointed(torch.autograd.Function):
    """`apply_steps` that keeps its input alone and recomputes the rest in the backward pass: the same gradients.

    Under torch.utils.checkpoint the process still grows 1.4 to 1.5 times from 32 to 128 steps (docs/performance.md).
    """

    @staticmethod
    def forward(ctx: Any, steps: GlowSteps, x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        """The images, then the log-determinants. The steps' parameters are inputs so that autograd knows of them."""
        ctx.steps = steps
        ctx.save_for_backward(x)
        y, log_dets = apply_steps(steps, x)
        return y, *log_dets

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x and of the parameters that learn."""
        needed = ctx.needs_input_grad[1:]
        x = ctx.saved_tensors[0].detach().requires_grad_(needed[0])
        with torch.enable_grad():
            y, log_dets = apply_steps(ctx.steps, x)
        ends = [(end, grad) for end, grad in zip((y, *log_dets), grads, strict=True) if end.requires_grad]
        learned = [one for one, wanted in zip((x, *ctx.steps.parameters()), needed, strict=True) if wanted]
        found = iter(torch.autograd.grad([end for end, _ in ends], learned, [grad for _, grad in ends]))
        return None, *(next(found) if wanted else None for wanted in needed)


class GlowSteps(nn.ModuleList):
    """Glow steps of equally many channels, one after the other; made from a list of them.

    Attributes:
        checkpoint: keep the activations of one in `CHECKPOINT_EVERY` steps and recompute the rest in the backward pass,
            so that memory hardly grows with depth (`runtime.memory`). Off in a new model.
    """

    checkpoint: bool = False

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x [N, C, H, W] through all steps; the couplings' log-determinants (`channel_log_det` gives the rest)."""
        if not (self.checkpoint and torch.is_grad_enabled()):
            return apply_steps(self, x)
        log_dets: list[Tensor] = []
        for first in range(0, len(self), CHECKPOINT_EVERY):
            part = self[first : first + CHECKPOINT_EVERY]
            x, *found = Checkpointed.apply(part, x, *part.parameters())
            log_dets += found
        return x, log_dets

    def inverse(self, y: Tensor) -> Tensor:
        """The x that `forward` maps to y; the matrices' inverses are taken in float64."""
        for step, matrix in zip(reversed(self), inverse_channel_matrices(self).flip(0), strict=True):
            y = step.undo_step(y, matrix)[0]
        return y
