"""Triton kernels of a coupling net's arithmetic: three linear maps of rows, two ReLUs, hidden rows kept on the chip.

Imported only by `vaeglow.models.fused`, where Triton is wanted. Widths are powers of two, padded with zeros by the
caller; products are summed in float32.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def mlp_forward(
    p, w1, b1, w2, b2, w3, out, rows,
    PATCH: tl.constexpr, HIDDEN: tl.constexpr, SUMS: tl.constexpr,
    ROWS: tl.constexpr, PART: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = relu(relu(p w1 + b1) w2 + b2) w3 for a block of `ROWS` rows; p [rows, PATCH], out [rows, SUMS]."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row[:, None] < rows
    k, c, o = tl.arange(0, PATCH), tl.arange(0, HIDDEN), tl.arange(0, SUMS)
    patch = tl.load(p + row[:, None] * PATCH + k[None, :], mask=there, other=0.0)
    second = tl.zeros([ROWS, HIDDEN], tl.float32)
    for start in range(0, HIDDEN, PART):
        part = start + tl.arange(0, PART)
        first = tl.dot(patch, tl.load(w1 + k[:, None] * HIDDEN + part[None, :]), input_precision=PRECISION)
        first = tl.maximum(first + tl.load(b1 + part)[None, :], 0.0).to(p.dtype.element_ty)
        second = tl.dot(first, tl.load(w2 + part[:, None] * HIDDEN + c[None, :]), second, input_precision=PRECISION)
    second = tl.maximum(second + tl.load(b2 + c)[None, :], 0.0).to(p.dtype.element_ty)
    last = tl.dot(second, tl.load(w3 + c[:, None] * SUMS + o[None, :]), input_precision=PRECISION)
    tl.store(out + row[:, None] * SUMS + o[None, :], last, mask=there)


@triton.jit
def mlp_backward(
    p, w1, b1, w2, b2, w1t, w2t, w3t, g, h1, h2, g1, g2, gp, rows,
    PATCH: tl.constexpr, HIDDEN: tl.constexpr, SUMS: tl.constexpr,
    ROWS: tl.constexpr, PART: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """From g [rows, SUMS], the gradient of `mlp_forward`'s out: gp [rows, PATCH], that of p.

    Written too, for the weights' gradients: the hidden rows h1, h2, recomputed, and the gradients g1, g2 before their
    ReLUs, all [rows, HIDDEN]. w1t [HIDDEN, PATCH], w2t [HIDDEN, HIDDEN] and w3t [SUMS, HIDDEN] are transposes.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row[:, None] < rows
    k, c, o = tl.arange(0, PATCH), tl.arange(0, HIDDEN), tl.arange(0, SUMS)
    patch = tl.load(p + row[:, None] * PATCH + k[None, :], mask=there, other=0.0)
    second = tl.zeros([ROWS, HIDDEN], tl.float32)
    for start in range(0, HIDDEN, PART):
        part = start + tl.arange(0, PART)
        first = tl.dot(patch, tl.load(w1 + k[:, None] * HIDDEN + part[None, :]), input_precision=PRECISION)
        first = tl.maximum(first + tl.load(b1 + part)[None, :], 0.0).to(p.dtype.element_ty)
        tl.store(h1 + row[:, None] * HIDDEN + part[None, :], first, mask=there)
        second = tl.dot(first, tl.load(w2 + part[:, None] * HIDDEN + c[None, :]), second, input_precision=PRECISION)
    second = tl.maximum(second + tl.load(b2 + c)[None, :], 0.0)
    tl.store(h2 + row[:, None] * HIDDEN + c[None, :], second.to(p.dtype.element_ty), mask=there)
    incoming = tl.load(g + row[:, None] * SUMS + o[None, :], mask=there, other=0.0)
    back = tl.dot(incoming, tl.load(w3t + o[:, None] * HIDDEN + c[None, :]), input_precision=PRECISION)
    back = tl.where(second > 0.0, back, 0.0).to(p.dtype.element_ty)
    tl.store(g2 + row[:, None] * HIDDEN + c[None, :], back, mask=there)
    patch_back = tl.zeros([ROWS, PATCH], tl.float32)
    for start in range(0, HIDDEN, PART):
        part = start + tl.arange(0, PART)
        first = tl.dot(patch, tl.load(w1 + k[:, None] * HIDDEN + part[None, :]), input_precision=PRECISION)
        first = first + tl.load(b1 + part)[None, :]
        inner = tl.dot(back, tl.load(w2t + c[:, None] * HIDDEN + part[None, :]), input_precision=PRECISION)
        inner = tl.where(first > 0.0, inner, 0.0).to(p.dtype.element_ty)
        tl.store(g1 + row[:, None] * HIDDEN + part[None, :], inner, mask=there)
        weight = tl.load(w1t + part[:, None] * PATCH + k[None, :])
        patch_back = tl.dot(inner, weight, patch_back, input_precision=PRECISION)
    tl.store(gp + row[:, None] * PATCH + k[None, :], patch_back, mask=there)
