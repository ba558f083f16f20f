"""A training step neither waits for its device nor copies from or to the host: data, order and noise are there."""

from typing import Any

import pytest
import torch
from run_tools import blobs, resolved
from torch.overrides import TorchFunctionMode

from vaeglow.data.loader import batches, epoch_order
from vaeglow.models.base import build
from vaeglow.training.step import TrainingStep

READS = ("item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__int__", "__float__", "__index__", "nonzero")
MAKES = ("tensor", "as_tensor", "asarray", "from_numpy")  # from values on the host
MODELS = ["vae", "vaeglow", "vaeglow_beyond", "vaeglow_joint", "glow", "vae_two_stage"]
MODELS += ["pixelcnn", "pixeliqn", "residual_flow"]


class HostTraffic(TorchFunctionMode):
    """Notes the calls that make a GPU wait, or that copy to it from the host, while they run on a CPU.

    Attributes:
        found: their names, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name in READS + MAKES:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def trainer_of(model: str, device: str = "cpu", **training: Any) -> TrainingStep:
    config, images = resolved(model, **training), blobs(64, 1)
    trainer = TrainingStep(build(config), config, images, torch.device(device))
    trainer.initialise()
    return trainer


def two_steps(trainer: TrainingStep) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """The first step is taken; what the second needs is returned."""
    first, second, *_ = batches(epoch_order(len(trainer.data), 0, 0, trainer.device), trainer.batch)
    sums: dict[str, torch.Tensor] = {}
    trainer.train_step(first, 0, sums)  # optimisers make their state, kept inputs are made
    return first, second, sums


@pytest.mark.parametrize("model", MODELS)
def test_a_step_with_adam_leaves_the_host_alone(model):
    trainer = trainer_of(model, optimizer="adam")
    assert trainer.data.dtype == torch.uint8
    _, index, sums = two_steps(trainer)
    with HostTraffic() as traffic:
        trainer.train_step(index, 1, sums)
    assert traffic.found == []


def test_a_step_with_adamax_reads_one_verdict():
    trainer = trainer_of("glow")
    assert trainer.training["optimizer"] == "adamax"
    _, index, sums = two_steps(trainer)
    with HostTraffic() as traffic:
        trainer.train_step(index, 1, sums)
    assert [name for name in traffic.found if name == "__bool__"] == ["__bool__"]
    assert set(traffic.found) <= {"__bool__", "item", "tensor"}  # the others: Adamax's step counters, on the host


@pytest.mark.gpu
@pytest.mark.parametrize("model", MODELS)
def test_a_step_on_a_gpu_waits_for_nothing(model):
    trainer = trainer_of(model, device="cuda", optimizer="adam")
    _, index, sums = two_steps(trainer)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_step(index, 1, sums)
    finally:
        torch.cuda.set_sync_debug_mode("default")
