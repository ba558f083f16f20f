"""Count what a training step of each model at paper size asks of the hardware, and state the floors that follow.

    python -m benchmarks.cost          FLOPs and bytes an image; nothing is computed, only counted
    python -m benchmarks.cost --peak   also this machine's matrix rate and bandwidth, and what they make of the counts

Bytes of three kinds: what eager operations read and write; what convolutions and matrix products alone do, every other
operation fused into a neighbour; what is left if the hidden maps of coupling nets never leave the chip either.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.counts import ByteCounter
from benchmarks.data import run_config
from vaeglow.models.build import build
from vaeglow.models.coupling_net import CouplingNet
from vaeglow.steps import cli

MODELS = ("glow", "glow_additive", "vae", "vaeglow", "vaeglow_as_written", "vaeglow_squeeze4", "vaeglow_joint")
MATRIX = ("convolution", "convolution_backward", "mm", "addmm", "bmm")
BATCH = 64


class OperationBytes(ByteCounter):
    """`ByteCounter` that tells the operations apart.

    Attributes:
        by_name: bytes of each operation so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        """Run the operation and note what it adds."""
        before = self.total
        result = super().__torch_dispatch__(operation, types, arguments, keywords)
        self.by_name[operation.overloadpacket.__name__] += self.total - before
        return result

    def matrix(self) -> int:
        """Bytes of convolutions and matrix products."""
        return sum(self.by_name[name] for name in MATRIX)


def counted(step: Callable[[], object]) -> tuple[int, OperationBytes]:
    """FLOPs (a multiply-add is two) and bytes of a step."""
    flops, moved = FlopCounterMode(display=False), OperationBytes()
    with flops, moved:
        step()
    return flops.get_total_flops(), moved


def on_chip_saving(model: torch.nn.Module, step: Callable[[], object]) -> int:
    """Bytes of a step's matrix operations that a fused coupling net would spare, forward and backward.

    Fused, it reads its input, its weights and the gradient of its output and writes its output and the gradients of
    input and weights; the backward pass recomputes the hidden maps, so input and weights are read twice.
    """
    seen: list[tuple[CouplingNet, Tensor, Tensor]] = []
    hooks = [
        part.register_forward_hook(lambda net, inputs, output: seen.append((net, inputs[0].detach(), output.detach())))
        for part in model.modules()
        if isinstance(part, CouplingNet)
    ]
    step()
    for hook in hooks:
        hook.remove()
    saving, known = 0, {}
    for net, x, output in seen:
        if (x.shape, output.shape) not in known:
            leaf = x.requires_grad_()
            _, moved = counted(lambda net=net, leaf=leaf: net(leaf).sum().backward())
            weights = sum(4 * parameter.numel() for parameter in net.parameters())
            known[x.shape, output.shape] = moved.matrix() - 3 * weights - 4 * (3 * x.numel() + 2 * output.numel())
        saving += known[x.shape, output.shape]
    return saving


def cost(name: str) -> dict[str, float]:
    """Of a training step of one model, an image at batch 64 (weights are read once a batch)."""
    config = run_config(name)
    model = build(config).to("meta").train()
    y = torch.rand(BATCH, config["data"]["channels"], config["data"]["size"], config["data"]["size"], device="meta")

    def step() -> None:
        model.loss(model.inputs(y))[0].backward()
        model.zero_grad()

    flops, moved = counted(step)
    saving = on_chip_saving(model, step) if name != "vae" else 0
    return {
        "parameters": sum(parameter.numel() for parameter in model.trainable()),
        "flops": flops / BATCH,
        "eager": moved.total / BATCH,
        "matrix": moved.matrix() / BATCH,
        "on_chip": (moved.matrix() - saving) / BATCH,
    }


def peak() -> tuple[float, float, float]:
    """This machine's float32 and bfloat16 matrix rates in FLOP/s, and its bandwidth in bytes/s, one thread of torch."""

    def best(work: Callable[[], object]) -> float:
        times = []
        for _ in range(10):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return min(times)

    left, right = torch.randn(2048, 1024), torch.randn(1024, 1024)
    products = 2 * 2048 * 1024 * 1024
    half = left.bfloat16(), right.bfloat16()
    large, copy = torch.zeros(2**26), torch.zeros(2**26)
    rates = products / best(lambda: left @ right), products / best(lambda: half[0] @ half[1])
    return *rates, 2 * 4 * 2**26 / best(lambda: copy.copy_(large))


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = ArgumentParser(prog="python -m benchmarks.cost", description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--peak", action="store_true", help="measure this machine, on one thread")
    options = parser.parse_args(argv)
    rows = []
    rates = None
    if options.peak:
        torch.set_num_threads(1)
        rates = peak()
        print(f"float32 {rates[0] / 1e9:.0f} GFLOP/s, bf16 {rates[1] / 1e9:.0f} GFLOP/s, {rates[2] / 1e9:.1f} GB/s\n")
    for name in MODELS:
        found = cost(name)
        row = [name, f"{found['parameters'] / 1e6:.1f}", f"{found['flops'] / 1e9:.2f}"]
        row += [f"{found[kind] / 1e6:.1f}" for kind in ("eager", "matrix", "on_chip")]
        if rates is not None:
            row += [f"{found['flops'] / rates[0] * 1e3:.0f}", f"{found['matrix'] / rates[2] * 1e3:.0f}"]
        rows.append(row)
    heads = ["model", "M trained", "GFLOP", "MB eager", "MB matrix", "MB on chip"]
    heads += ["ms by float32 rate", "ms by bandwidth"] if rates is not None else []
    print(
        tabulate(
            rows, heads, tablefmt="github", disable_numparse=True, colalign=("left", *["right"] * (len(heads) - 1))
        )
    )


if __name__ == "__main__":
    cli.run(main)
