"""The Glow steps of one scale (paper, section 3.3; Kingma & Dhariwal 2018).

ActNorm and the 1x1, both affine in the channels of a pixel, make one "channel matrix" a step. The matrices of a scale
are factorised and inverted together, in float64.
"""

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Module, ModuleList
from torch.nn.functional import conv2d

from vaeglow.models.bounds import Pair
from vaeglow.models.flows import ActNorm, Coupling, InvertibleConv1x1, Transformed, standardise

CHECKPOINT_EVERY = 4  # steps that are recomputed together


class GlowStep(Module):
    """x -> coupling(W ((x + b) * s)): ActNorm, invertible 1x1 convolution, coupling (section 3.3; Glow, figure 2a).

    Args:
        channels: C.
        width: hidden channels of the coupling net.
        coupling: the kind of `Coupling`: `additive` is the paper's Glow layer, `affine` the Glow baseline.
    """

    def __init__(self, channels: int, width: int, coupling: str) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.conv = InvertibleConv1x1(channels)
        self.coupling = Coupling(channels, width, coupling)

    def channel_map(self) -> Pair:
        """ActNorm and 1x1 as A x + c of a pixel's channels x: A = W diag(s), [C, C], and c = A b, [C]."""
        matrix = self.conv.weight * self.actnorm.log_scale().exp()
        return matrix, matrix @ self.actnorm.bias

    def mix(self, x: Tensor) -> Tensor:
        """The channel map at every pixel of x [N, C, H, W]."""
        matrix, offset = self.channel_map()
        return conv2d(x, matrix[..., None, None], offset)

    def forward(self, x: Tensor) -> Transformed:
        """x [N, C, H, W] -> (y, the coupling's log-determinant alone; `GlowSteps.channel_log_det` gives the rest)."""
        return self.coupling(self.mix(x))

    def inverse(self, y: Tensor, inverse: Tensor) -> Tensor:
        """The x that `forward` maps to y, given the inverse of the channel matrix A, [C, C]."""
        return conv2d(self.coupling.inverse(y) - self.channel_map()[1][:, None, None], inverse[..., None, None])

    def initialise(self, x: Tensor) -> Tensor:
        """Set actnorm from x, then those of the coupling from its inputs; returns y."""
        standardise(self.actnorm, x)
        return self.coupling.initialise(self.mix(x))


class Checkpointed(torch.autograd.Function):
    """Steps that keep only their input and recompute the rest in the backward pass; the gradients are the same.

    Under torch.utils.checkpoint the process still grows 1.4 to 1.5 times from 32 to 128 steps (docs/performance.md).
    """

    @staticmethod
    def forward(ctx: Any, steps: ModuleList, x: Tensor, *parameters: Tensor) -> tuple:
        """The images, then the log-determinants. The steps' parameters are inputs so that autograd tracks them."""
        ctx.steps = steps
        ctx.save_for_backward(x)
        y, log_dets = steps(x)
        return y, *log_dets

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple:
        """Gradients of x and of the trainable parameters."""
        _, *wanted = ctx.needs_input_grad
        x = ctx.saved_tensors[0].detach().requires_grad_(wanted[0])
        with torch.enable_grad():
            y, log_dets = ctx.steps(x)
        outputs, output_grads = zip(
            *(pair for pair in zip((y, *log_dets), grads, strict=True) if pair[0].requires_grad),
            strict=True,
        )
        gradients = iter(
            torch.autograd.grad(outputs, list(itertools.compress((x, *ctx.steps.parameters()), wanted)), output_grads)
        )
        return None, *(next(gradients) if needed else None for needed in wanted)


class GlowSteps(ModuleList):
    """A sequence of Glow steps with the same number of channels.

    Attributes:
        checkpoint: store the activations of one in `CHECKPOINT_EVERY` steps and recompute the rest in the backward
            pass, so that memory hardly grows with depth (`runtime.memory`). Off by default.
    """

    checkpoint = False

    def channel_matrices(self) -> Tensor:
        """The steps' channel matrices, in float64: [steps, C, C]."""
        return torch.stack([step.channel_map()[0] for step in self]).double()

    def channel_log_det(self, x: Tensor) -> Tensor:
        """Sum of log|det A| of the steps over all pixels of x [N, C, H, W]: a scalar, one batched factorisation."""
        return x[0, 0].numel() * torch.linalg.slogdet(self.channel_matrices()).logabsdet.sum().to(x.dtype)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x [N, C, H, W] through all steps; the couplings' log-determinants (`channel_log_det` gives the rest)."""
        log_dets = []
        if self.checkpoint and torch.is_grad_enabled():
            for first in range(0, len(self), CHECKPOINT_EVERY):
                part = self[first : first + CHECKPOINT_EVERY]  # not checkpointed itself
                x, *part_log_dets = Checkpointed.apply(part, x, *part.parameters())
                log_dets += part_log_dets
        else:
            for step in self:
                x, log_det = step(x)
                log_dets.append(log_det)
        return x, log_dets

    def inverse(self, y: Tensor) -> Tensor:
        """The x that `forward` maps to y; the matrices' inverses are taken in float64."""
        for step, inverse in zip(
            reversed(self),
            torch.linalg.inv(self.channel_matrices()).to(y.dtype).flip(0),
            strict=True,
        ):
            y = step.inverse(y, inverse)
        return y

    @torch.no_grad
    def initialise(self, x: Tensor) -> Tensor:
        """Set all actnorms from x, step by step; returns its image."""
        for step in self:
            x = step.initialise(x)
        return x
