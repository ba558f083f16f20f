"""`runtime.memory: checkpoint`: the same gradients to the last bit, memory nearly flat in depth."""

import pytest
import torch
from models_tools import optimise, photo_like, run_config, seeded
from run_tools import same_tensors
from torch import Tensor

from vaeglow.data.loader import dequantise
from vaeglow.models.base import GenerativeModel, build
from vaeglow.models.bounds import quantise
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.glow_steps import CHECKPOINT_EVERY
from vaeglow.models.network import networks
from vaeglow.training.optimise import set_memory

DEPTH = 2 * CHECKPOINT_EVERY + 3  # whole parts and a rest
DEEP = {"depth": DEPTH, "width": 8}
CHANGES = {"glow": {"network": DEEP}, **{name: {"layer": DEEP} for name in ("vaeglow", "vaeglow_as_written")}}


def gradients(model: GenerativeModel, y: Tensor, memory: str) -> dict[str, Tensor]:
    """The gradient of every parameter that has one, and the loss."""
    set_memory(model, memory)
    model.zero_grad()
    loss, _ = model.loss(y, seeded(3))
    loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None} | {"loss": loss.detach()}


@pytest.mark.parametrize("name", ["glow", "glow_additive", "vaeglow", "vaeglow_as_written", "vaeglow_joint"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_gradients_are_those_of_stored_activations_to_the_last_bit(name: str, precision: str) -> None:
    """After some steps, so that no coupling is the identity."""
    model = build(run_config(name, **CHANGES))
    images = quantise(photo_like(32, 3, 8), 256)
    y = dequantise(images, 256, seeded(1))
    model.initialise(y)
    optimise(model, images, steps=6, rate=1e-3, batch=16)
    for network in networks(model.train()):
        network.precision = precision
    stored = gradients(model, y[:8], "stored")
    assert sum("steps" in key for key in stored) > 8 * DEPTH
    assert same_tensors(stored, gradients(model, y[:8], "checkpoint"))


def saved_bytes(depth: int, memory: str) -> int:
    """Of all tensors that wait for a Glow layer's backward pass, parameters left out."""
    layer, y = GlowLayer(3, depth, 32, 2), photo_like(4, 3, 16)
    set_memory(layer, memory)
    seen = {tensor.untyped_storage().data_ptr() for tensor in [y, *layer.parameters()]}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y_bar, log_det = layer(y)
    assert y_bar.requires_grad and log_det.requires_grad
    return sum(sizes.values())


def test_what_waits_for_the_backward_pass_hardly_grows_with_depth() -> None:
    assert saved_bytes(128, "stored") > 3.5 * saved_bytes(32, "stored")
    image, small = 4 * 4 * 3 * 16 * 16, 4000  # `small`: what the log-det of a step's channel matrix needs
    for depth in (32, 128):
        assert saved_bytes(depth, "checkpoint") < (depth / CHECKPOINT_EVERY + 3) * image + depth * small
