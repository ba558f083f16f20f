"""How a training step is computed: `runtime.memory`, `training.precision` and `compile` (docs/performance.md).

Memory changes no bit of a run; precision and compilation do, so they are part of its identity. In evaluation nothing
of it applies: networks are then exact (`vaeglow.models.network.exact`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vaeglow.errors import UserError
from vaeglow.models.glow_steps import GlowSteps
from vaeglow.models.network import networks
from vaeglow.out_of_memory import memory_used_up


def set_memory(model: nn.Module, memory: str) -> None:
    """Keep a flow's activations for the backward pass (`stored`), or recompute them in it (`checkpoint`).

    Args:
        model: any; one without a flow of images stays as it is.
        memory: `runtime.memory`.
    """
    for part in model.modules():
        if isinstance(part, GlowSteps):
            part.checkpoint = memory == "checkpoint"


def set_precision(model: nn.Module, training: Mapping[str, Any]) -> None:
    """Compute a model's networks in the `precision` of a run's `training` values."""
    for network in networks(model):
        network.bf16 = training["precision"] == "bf16"


def compile_mode(training: Mapping[str, Any], device: torch.device) -> str | None:
    """What `compile_networks` is asked for, or None: not to compile.

    On a CPU `auto` does not: what it gains takes longer to earn back than most runs last (docs/performance.md).
    """
    option = training["compile"]
    if option is False or (option == "auto" and device.type == "cpu"):
        return None
    return "reduce-overhead" if option == "graphs" else "default"


def compile_networks(model: nn.Module, mode: str, rehearse: Callable[[], None], alone: bool) -> float:
    """Compile a model's networks; where that fails, warn in one line and go on without.

    Args:
        model: its networks of one class and shape share one compilation.
        mode: see `torch.compile`.
        rehearse: a whole forward and backward pass that leaves no trace: it is when compilation happens.
        alone: whether one process trains. Several cannot go on without one by one: their gradients would be of
            different steps.

    Returns:
        Seconds it took, the pass included.

    Raises:
        UserError: it failed in one of several processes.
    """
    start = time.perf_counter()
    try:
        for network in networks(model):
            network.compiled = torch.compile(network.forward, dynamic=False, mode=mode)
        rehearse()
    except Exception as error:  # whatever a compiler, a missing one included, may raise
        if isinstance(error, UserError) or memory_used_up(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if not alone:
            raise UserError(f"torch.compile failed: {reason}: set training.compile to off") from error
        for network in networks(model):
            network.compiled = None
        print(f"warning: torch.compile failed, so this run goes on without: {reason}", flush=True)
    return time.perf_counter() - start


@contextmanager
def must_fit(model: nn.Module, config: Mapping[str, Any], batch: int) -> Iterator[None]:
    """Turn running out of memory in a step into one line.

    Args:
        model: in training.
        config: the run's resolved config.
        batch: images a step.

    Raises:
        UserError: names the model and the batch, and what to lower.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        memory = memory_used_up(error)
        if memory is None:
            raise
        remedies = ["lower training.batch_size"]
        if any(isinstance(part, GlowSteps) and not part.checkpoint for part in model.modules()):
            remedies.append("set runtime.memory to checkpoint")
        remedies.append(f"or a smaller model ({WIDTHS[config['kind']]})")
        raise UserError(
            f"{config['model']} on {config['dataset']}: out of {memory} in a training step of {batch} images: "
            f"{', '.join(remedies)}"
        ) from None


WIDTHS = {
    "vae": "network.base_dim",
    "vae_glow": "layer.width",
    "vae_two_stage": "second_stage.width",
    "glow": "network.width",
}
