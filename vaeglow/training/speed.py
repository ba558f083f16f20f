"""How a training step is computed: `training.memory`, `precision` and `compile`, put to a model (docs/performance.md).

What is computed stays the same; its last bits do not, so all three are part of a run's identity. In evaluation nothing
of it applies: networks are then exact (`vaeglow.models.network.exact`).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from vaeglow.errors import UserError
from vaeglow.models.coupling_net import CouplingNet
from vaeglow.models.fused import fits, fused_coupling_net
from vaeglow.models.glow_steps import GlowSteps
from vaeglow.models.network import Network, networks
from vaeglow.out_of_memory import memory_used_up


def apply_options(model: nn.Module, training: Mapping[str, Any]) -> None:
    """Set a model's `memory` and `precision`.

    Args:
        model: any; one without a flow of images has nothing to reverse.
        training: a run's `training` values.
    """
    for part in model.modules():
        if isinstance(part, GlowSteps):
            part.reversible = training["memory"] == "reversible"
    for network in networks(model):
        network.bf16 = training["precision"] == "bf16"


def compile_mode(training: Mapping[str, Any], device: torch.device) -> str | None:
    """What `compile_networks` is asked for, or None: not to compile.

    On a CPU `auto` does not: what it gains takes longer to earn back than most runs last (docs/performance.md).
    """
    option = training["compile"]
    if option is False or (option == "auto" and device.type == "cpu"):
        return None
    return {"graphs": "reduce-overhead", "fused": "fused"}.get(option, "default")


def compile_networks(model: nn.Module, mode: str, rehearse: Callable[[], None], alone: bool) -> float:
    """Compile a model's networks; where that fails, warn in one line and go on without.

    Args:
        model: its networks of one class and shape share one compilation.
        mode: see `torch.compile`; or `fused`: its `default`, and our own kernel for coupling nets.
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
            network.compiled = compiled(network, mode)
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


def compiled(network: Network, mode: str) -> Callable[..., Any]:
    """What stands in for a network's `forward`."""
    if mode == "fused" and isinstance(network, CouplingNet) and network.bf16 and fits(network):
        return functools.partial(fused_coupling_net, network)
    return torch.compile(network.forward, dynamic=False, mode="default" if mode == "fused" else mode)


@contextmanager
def must_fit(config: Mapping[str, Any], batch: int) -> Iterator[None]:
    """Turn running out of memory in a step into one line.

    Args:
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
        if config["kind"] in ("glow", "vae_glow") and config["training"]["memory"] == "stored":
            remedies.append("set training.memory to reversible")
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
