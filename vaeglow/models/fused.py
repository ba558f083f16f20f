"""A coupling net as one Triton kernel on a CUDA GPU, in place of six operations: `training.compile: fused`.

conv3x3 -> ReLU -> conv1x1 -> ReLU -> conv3x3 is, at each pixel, a perceptron of three layers on the pixel's 3x3 patch,
whose 9 x outputs are then added up where they belong. Patches and sums are narrow (9 x the few channels of a half); the
wide hidden maps stay on the chip in the forward pass, and in the backward pass they are recomputed. The eager net is
the reference that tests hold it to, in Triton's interpreter; no GPU has run it yet (docs/performance.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vaeglow.models.coupling_net import CouplingNet

SMALLEST = 16  # side of the smallest matrix that the hardware multiplies
ROWS, PART, WARPS = 64, 32, 8  # pixels a program, hidden channels of the first layer at a time, warps a program
# Beyond these sizes registers and shared memory of an H100 do not hold a program's hidden rows, says its compiler.
WIDEST_PATCH, WIDEST = 64, 256


def fused_coupling_net(net: CouplingNet, x: Tensor) -> Tensor:
    """`net`(x) by the kernels, differentiable: [N, inputs, H, W] -> [N, outputs, H, W].

    Under autocast it computes in autocast's type, else in float32.

    Args:
        net: on the device of x.
        x: on a CUDA GPU, or anywhere in Triton's interpreter.

    Raises:
        ImportError: Triton is not there.
    """
    count, _, height, width = x.shape
    (weight1, bias1), (weight2, bias2), (weight3, bias3) = (
        part.effective() for part in (net.first, net.second, net.last)
    )
    outputs = len(bias3)
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    with torch.autocast(kind, enabled=False):
        patches = F.unfold(x.to(dtype), 3, padding=1).transpose(1, 2).reshape(count * height * width, -1)
        first = padded(weight1.flatten(1).T).to(dtype)  # [9 inputs, hidden], both padded
        second = padded(weight2.flatten(1).T).to(dtype)  # [hidden, hidden]
        last = padded(weight3.flip(2, 3).transpose(0, 1).flatten(1)).to(dtype)  # [hidden, 9 outputs]: it scatters
        biases = [padded(bias[None], rows=False)[0] for bias in (bias1, bias2)]
        sums = FusedMLP.apply(padded(patches, rows=False), first, biases[0], second, biases[1], last)
        columns = sums[:, : 9 * outputs].view(count, height * width, -1).transpose(1, 2)
        out = F.fold(columns, (height, width), 3, padding=1)
        return out + bias3[:, None, None]


def fits(net: CouplingNet) -> bool:
    """Whether a net is small enough for the kernels: those of the Glow layer are, a wide Glow's are not."""
    hidden, inputs = net.first.weight.shape[:2]
    return 9 * max(inputs, len(net.last.bias)) <= WIDEST_PATCH and hidden <= WIDEST


def padded(matrix: Tensor, rows: bool = True) -> Tensor:
    """A matrix filled up with zeros to powers of two, `SMALLEST` or more; its rows only if asked."""
    down, across = (max(SMALLEST, 1 << (size - 1).bit_length()) - size for size in matrix.shape)
    return F.pad(matrix, (0, across, 0, down if rows else 0))


class FusedMLP(torch.autograd.Function):
    """relu(relu(p w1 + b1) w2 + b2) w3 by row, hidden rows recomputed in the backward pass. Sizes are powers of two."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, w3: Tensor) -> Tensor:
        """p [rows, K], w1 [K, C], b1 [C], w2 [C, C], b2 [C], w3 [C, S] -> float32 [rows, S]."""
        from vaeglow.models.fused_kernels import mlp_forward

        tensors = [tensor.contiguous() for tensor in (p, w1, b1, w2, b2, w3)]
        ctx.save_for_backward(*tensors)
        out = torch.empty(len(p), w3.shape[1], device=p.device)
        grid, sizes = launch(p, w1, w3)
        mlp_forward[grid](*tensors, out, len(p), **sizes, num_warps=WARPS)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """Gradients of all six inputs."""
        from vaeglow.models.fused_kernels import mlp_backward

        p, w1, b1, w2, b2, w3 = ctx.saved_tensors
        g = grad.to(p.dtype).contiguous()
        h1, h2, g1, g2 = (p.new_empty(len(p), len(b1)) for _ in range(4))
        gp = torch.empty_like(p)
        transposed = [matrix.T.contiguous() for matrix in (w1, w2, w3)]
        grid, sizes = launch(p, w1, w3)
        mlp_backward[grid](p, w1, b1, w2, b2, *transposed, g, h1, h2, g1, g2, gp, len(p), **sizes, num_warps=WARPS)
        return gp, p.T @ g1, g1.sum(0, dtype=b1.dtype), h1.T @ g2, g2.sum(0, dtype=b2.dtype), h2.T @ g


def launch(p: Tensor, w1: Tensor, w3: Tensor) -> tuple[tuple[int], dict[str, Any]]:
    """How many programs run, and their constants."""
    widths = {"PATCH": w1.shape[0], "HIDDEN": w1.shape[1], "SUMS": w3.shape[1]}
    return (-(-len(p) // ROWS),), {**widths, "ROWS": ROWS, "PART": min(PART, w1.shape[1]), "PRECISION": "ieee"}
