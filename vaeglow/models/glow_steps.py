"""The Glow steps of one level, their activations stored for the backward pass or recomputed in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaeglow.models.glow_step import inverse_colour_matrices
from vaeglow.models.reversible import ReversibleSteps

KEPT_EVERY = 16  # steps between activations that `reversible` keeps, so that rounding does not build up with depth


class GlowSteps(nn.ModuleList):
    """Glow steps of equally many channels, one after the other; made from a list of them.

    Attributes:
        reversible: of the activations keep one in `KEPT_EVERY` steps, and recompute all others in the backward pass:
            memory hardly grows with depth (`training.memory`). Off in a new model.
    """

    reversible: bool = False

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x [N, C, H, W] through all steps; the couplings' log-determinants (`colour_log_det` gives the rest)."""
        if self.reversible and torch.is_grad_enabled():
            return self.recomputed(x)
        changes = []
        for step in self:
            x, change = step.apply_step(x)
            changes.append(change)
        return x, changes

    def recomputed(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`forward` with the steps in parts, each of which keeps its output alone."""
        changes = []
        for first in range(0, len(self), KEPT_EVERY):
            part = list(self)[first : first + KEPT_EVERY]
            x, change = ReversibleSteps.apply(part, x, *(p for step in part for p in step.parameters()))
            changes.append(change)
        return x, changes

    def inverse(self, y: Tensor) -> Tensor:
        """The x that `forward` maps to y; the matrices' inverses are taken in float64."""
        for step, matrix in zip(reversed(self), inverse_colour_matrices(self).flip(0), strict=True):
            y = step.undo_step(y, matrix)[0]
        return y
