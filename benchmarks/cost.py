"""Count the FLOPs and the memory traffic of a training step of each model at paper size.

    python -m benchmarks.cost                FLOPs and bytes an image; nothing is computed, only counted
    python -m benchmarks.cost short paper    FLOPs and GPU hours of all that a preset trains, under one seed and three

Bytes in two ways: all that eager operations read and write; those of convolutions and matrix products alone, as if all
other operations were fused into them.
"""

import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.work import run_config, shipped_config
from vaeglow.config import lookup, plan, resolve, view_of
from vaeglow.models.base import build
from vaeglow.steps import cli
from vaeglow.training.timing import time_window

MODELS = ("glow", "glow_additive", "vae", "vaeglow", "vaeglow_as_written", "vaeglow_squeeze4", "vaeglow_joint")
NAMED = list(itertools.product(("cifar10", "celeba64"), ("glow", "vae", "vaeglow", "vaeglow_as_written")))
NAMED += [("cifar10", "vae_isotropic"), ("fashion_mnist", "vae_isotropic"), ("cifar10", "residual_flow")]  # a row each
MATRIX = ("convolution", "convolution_backward", "mm", "addmm", "bmm")
ALLOCATIONS = ("aten.empty", "aten.new_empty", "aten.empty_like", "aten.empty_strided")  # they write nothing
BATCH = 64
IMAGES = {"cifar10": 50_000, "celeba64": 162_770, "fashion_mnist": 60_000}  # of their training splits
GLOW_SECONDS = 512  # an epoch of Glow on the paper's GTX 1080 Ti (Table 4)
SIDE = 2048  # of the matrix whose product is timed
TRIES = 5  # how often


class ByteCounter(TorchDispatchMode):
    """Counts the bytes of all tensors that operations read or write, views left out.

    It is the traffic on the memory bus if no operation finds its inputs in a cache: an upper bound for a CPU with large
    caches, and close to that of a GPU's eager kernels.

    Attributes:
        by_name: bytes of each operation so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        """Run the operation and count its bytes."""
        result = operation(*arguments, **(keywords or {}))
        if not operation.is_view and not str(operation).startswith(ALLOCATIONS):
            for leaf in tree_leaves((arguments, keywords or {}, result)):
                if isinstance(leaf, Tensor):  # an expanded one takes no more memory than what it repeats
                    size = min(leaf.numel() * leaf.element_size(), leaf.untyped_storage().nbytes())
                    self.by_name[operation.overloadpacket.__name__] += size
        return result


def count(step: Callable[[], object]) -> dict[str, int]:
    """Run a step once: its `flops` (a multiply-add is two), `bytes`, and `matrix_bytes`, of `MATRIX` alone."""
    flops = FlopCounterMode(display=False)
    moved = ByteCounter()
    with flops, moved:
        step()
    matrix = sum(moved.by_name[name] for name in MATRIX)
    return {"flops": flops.get_total_flops(), "bytes": moved.by_name.total(), "matrix_bytes": matrix}


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations a second of a large float32 matrix product, the median of a few."""
    left = torch.rand(SIDE, SIDE, device=device)
    seconds = [time_window(lambda: left @ left, 1, device)[0] for _ in range(1 + TRIES)]
    return 2 * SIDE**3 / statistics.median(seconds[1:])


def cost(config: Mapping[str, Any]) -> tuple[int, dict[str, int]]:
    """The trained parameters of a run's model, and the `count` of a training step of a batch of 64."""
    model = build(config).to("meta").train()
    y = torch.rand(BATCH, *model.shape, device="meta")

    def step() -> None:
        model.loss(model.inputs(y))[0].backward()
        model.zero_grad()

    return sum(parameter.numel() for parameter in model.trainable()), count(step)


def image_flops(config: Mapping[str, Any]) -> float:
    """FLOPs of a training step, an image."""
    _, counts = cost(config)
    return counts["flops"] / BATCH


def one_step(name: str) -> list[str]:
    """The row of one model: of a training step, an image at batch 64 (weights are read once a batch)."""
    parameters, counts = cost(run_config(name, {}))
    flops, *moved = counts.values()
    megabytes = [f"{size / BATCH / 1e6:.1f}" for size in moved]
    return [name, f"{parameters / 1e6:.1f}", f"{flops / BATCH / 1e9:.2f}", *megabytes]


def whole(preset: str) -> list[list[str]]:
    """The rows of a preset: what its tables, figures and claims train under one seed, by dataset, and `NAMED`."""
    config = shipped_config()
    flops = Counter[tuple[str, str]]()
    for dataset, model in plan.runs(config, view_of(config, preset)):
        run = resolve(config, preset, dataset, model, seed=0)
        run_flops = image_flops(run) * run["training"]["epochs"] * lookup(IMAGES, dataset, "dataset")
        flops[dataset, "all"] += run_flops
        if (dataset, model) in NAMED:
            flops[dataset, model] = run_flops
    rate = image_flops(run_config("glow", {})) * IMAGES["cifar10"] / GLOW_SECONDS
    rows = []
    for key, run_flops in flops.items():
        hours = run_flops / rate / 3600
        rows.append([preset, *key, f"{run_flops / 1e18:.2f}", f"{hours:.3g}", f"{3 * hours:.3g}"])
    return rows


@cli.step
def main(presets: list[str] = ()) -> None:  # type: ignore[assignment]
    """Print the table.

    Args:
        presets: whose runs are added up; none: a step of each model
    """
    heads = ["model", "M trained", "GFLOP", "MB eager", "MB matrix"]
    rows = map(one_step, MODELS)
    if presets:
        heads = ["preset", "dataset", "runs", "EFLOP", "GTX 1080 Ti hours", "three seeds"]
        rows = itertools.chain(*map(whole, presets))
    align = ("left", *["right"] * (len(heads) - 1))
    print(tabulate(rows, heads, tablefmt="github", disable_numparse=True, colalign=align))
