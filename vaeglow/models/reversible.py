"""Backward through Glow steps without stored activations: each is recomputed from what comes after it.

A step is a bijection, so its input is a function of its output (Gomez et al. 2017, arXiv 1707.04585, for residual
networks). The coupling's network sees the half that the coupling keeps, which the output still holds: one pass of it
serves both the inverse and the gradient. So a step costs one network pass more than with stored activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vaeglow.models.glow_step import GlowStep, inverse_colour_matrices


class ReversibleSteps(torch.autograd.Function):
    """Glow steps one after the other; of all activations only the last output is kept for the backward pass.

    The steps' parameters are inputs of it, so that autograd hands their gradients on as it does everywhere.
    """

    @staticmethod
    def forward(ctx: Any, steps: Sequence[GlowStep], x: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        """x [N, C, H, W] through all steps, and the sum of the couplings' log-determinants, [N] or a scalar."""
        changes = x.new_zeros(())
        for step in steps:
            x, change = step.apply_step(x)
            changes = changes + change
        ctx.steps = steps
        ctx.save_for_backward(x)
        return x, changes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_changes: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x and of the parameters, from the last step to the first."""
        (y,) = ctx.saved_tensors
        grads: list[Tensor | None] = []
        for step, inverse in zip(reversed(ctx.steps), inverse_colour_matrices(ctx.steps).flip(0), strict=True):
            y, grad, own = reverse_coupling(step, y, grad, grad_changes)
            y, grad, colour = reverse_colour(step, inverse, y, grad)
            found = {id(parameter): value for parameter, value in [*own, *colour]}
            grads = [*(found.get(id(parameter)) for parameter in step.parameters()), *grads]
        return None, grad, *grads


Gradients = list[tuple[Tensor, Tensor]]  # (parameter, its gradient)


def reverse_coupling(step: GlowStep, y: Tensor, grad: Tensor, grad_change: Tensor) -> tuple[Tensor, Tensor, Gradients]:
    """The input of a step's coupling, from its output y; the gradient there; those of its parameters."""
    coupling = step.coupling
    kept, moved = (half.detach() for half in y.split(coupling.split, 1))
    grad_kept, grad_moved = grad.split(coupling.split, 1)
    learned = [parameter for parameter in coupling.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        kept.requires_grad_()
        outputs = coupling.net(kept)
        changed = coupling.undo(moved, outputs.detach())[0].requires_grad_()
        again, change = coupling.act(changed, outputs)
    ends, grads = [again], [grad_moved]
    if change.requires_grad:
        ends, grads = [again, change], [grad_moved, grad_change]
    through_net, grad_changed, *own = torch.autograd.grad(ends, [kept, changed, *learned], grads)
    x = torch.cat([kept.detach(), changed.detach()], 1)
    return x, torch.cat([grad_kept + through_net, grad_changed], 1), list(zip(learned, own, strict=True))


def reverse_colour(step: GlowStep, inverse: Tensor, y: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Gradients]:
    """The same for its actnorm and 1x1 convolution, given the inverse of their matrix, [C, C]."""
    learned = [p for part in (step.actnorm, step.conv) for p in part.parameters() if p.requires_grad]
    with torch.enable_grad():
        matrix, offset = step.colour_map()
        x = F.conv2d(y - offset.detach()[:, None, None], inverse[..., None, None]).requires_grad_()
        again = F.conv2d(x, matrix[..., None, None], offset)
    grad, *own = torch.autograd.grad(again, [x, *learned], grad)
    return x.detach(), grad, list(zip(learned, own, strict=True))
