"""Count what a training step of each model at paper size asks of the hardware, and state the floors that follow.

    python -m benchmarks.cost          FLOPs and bytes an image; nothing is computed, only counted
    python -m benchmarks.cost --peak   also this machine's matrix rate and bandwidth, and what they make of the counts

Bytes of two kinds: what eager operations read and write; what convolutions and matrix products alone do, every other
operation fused into a neighbour.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from tabulate import tabulate
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.counts import ByteCounter
from benchmarks.data import run_config
from vaeglow.models.kinds import build
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


def cost(name: str) -> dict[str, float]:
    """Of a training step of one model, an image at batch 64 (weights are read once a batch)."""
    config = run_config(name)
    model = build(config).to("meta").train()
    y = torch.rand(BATCH, config["data"]["channels"], config["data"]["size"], config["data"]["size"], device="meta")

    def step() -> None:
        model.loss(model.inputs(y))[0].backward()
        model.zero_grad()

    flops, moved = counted(step)
    return {
        "parameters": sum(parameter.numel() for parameter in model.trainable()),
        "flops": flops / BATCH,
        "eager": moved.total / BATCH,
        "matrix": moved.matrix() / BATCH,
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
        row += [f"{found[kind] / 1e6:.1f}" for kind in ("eager", "matrix")]
        if rates is not None:
            row += [f"{found['flops'] / rates[0] * 1e3:.0f}", f"{found['matrix'] / rates[2] * 1e3:.0f}"]
        rows.append(row)
    heads = ["model", "M trained", "GFLOP", "MB eager", "MB matrix"]
    heads += ["ms by float32 rate", "ms by bandwidth"] if rates is not None else []
    print(
        tabulate(
            rows, heads, tablefmt="github", disable_numparse=True, colalign=("left", *["right"] * (len(heads) - 1))
        )
    )


if __name__ == "__main__":
    cli.run(main)
