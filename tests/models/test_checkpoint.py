"""`runtime.memory: checkpoint`: the same gradients to the last bit, memory nearly flat in depth."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from models_tools import one_thread, optimise, photo_like, randomise, run_config, seeded  # noqa: F401
from run_tools import same_tensors
from torch import Tensor

from vaeglow.data.loader import dequantise
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import quantise
from vaeglow.models.build import build
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.glow_steps import KEPT_EVERY
from vaeglow.models.network import networks
from vaeglow.training.optimise import set_memory

DEPTH = 2 * KEPT_EVERY + 3  # whole parts and a rest
MODELS: dict[str, dict[str, Any]] = {
    "glow": {"glow": {"network": {"levels": 2, "depth": DEPTH, "width": 8}}},
    "glow_additive": {"glow": {"network": {"levels": 2, "depth": DEPTH, "width": 8}}},
    "vaeglow": {"vaeglow": {"layer": {"depth": DEPTH, "width": 8}}},
    "vaeglow_as_written": {"vaeglow_as_written": {"layer": {"depth": DEPTH, "width": 8}}},
    "vaeglow_joint": {"vaeglow": {"layer": {"depth": DEPTH, "width": 8}}},
}


def trained(name: str) -> tuple[GenerativeModel, Tensor]:
    """A model after some steps, so that no coupling is the identity, and images."""
    model = build(run_config(name, **MODELS[name]))
    images = quantise(photo_like(32, 3, 8), 256)
    y = dequantise(images, 256, seeded(1))
    model.initialise(y)
    optimise(model, images, steps=6, rate=1e-3, batch=16)
    return model.train(), y[:8]


def gradients(model: GenerativeModel, y: Tensor, memory: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradient of every parameter that has one."""
    set_memory(model, memory)
    model.zero_grad()
    loss, _ = model.loss(y, seeded(3))
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_are_those_of_stored_activations_to_the_last_bit(name: str, bf16: bool) -> None:
    model, y = trained(name)
    for network in networks(model):
        network.bf16 = bf16
    loss, stored = gradients(model, y, "stored")
    again, recomputed = gradients(model, y, "checkpoint")
    assert sum("steps" in key for key in stored) > 8 * DEPTH
    assert same_tensors(stored | {"loss": loss}, recomputed | {"loss": again})


def saved_bytes(layer: GlowLayer, y: Tensor) -> int:
    """Of all tensors that wait for the backward pass, parameters left out."""
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
    y = photo_like(4, 3, 16)
    sizes = {}
    for depth in (32, 128):
        for memory in ("stored", "checkpoint"):
            layer = GlowLayer(3, depth, 32, 2)
            set_memory(layer, memory)
            sizes[depth, memory] = saved_bytes(layer, y)
    assert sizes[128, "stored"] > 3.5 * sizes[32, "stored"]
    image, small = 4 * y.numel(), 4000  # `small`: what the log-det of a step's colour matrix needs
    for depth in (32, 128):
        assert sizes[depth, "checkpoint"] < (depth / KEPT_EVERY + 3) * image + depth * small


def test_gradients_reach_the_input_too() -> None:
    """In joint models and in whatever stands before the layer."""
    torch.manual_seed(0)
    layer = randomise(GlowLayer(3, 5, 8, 2)).double()
    found = []
    for memory in ("stored", "checkpoint"):
        set_memory(layer, memory)
        y = photo_like(4, 3, 8).double().requires_grad_()
        layer(y)[0].square().sum().backward()
        found.append(y.grad)
    assert torch.equal(*found)


def test_parameters_that_do_not_learn_get_no_gradient() -> None:
    layer = randomise(GlowLayer(3, 3, 8, 2))
    set_memory(layer, "checkpoint")
    layer.steps[1].requires_grad_(False)
    layer(photo_like(4, 3, 8))[0].square().sum().backward()
    with_gradient = [step.conv.weight.grad is not None for step in layer.steps]
    assert with_gradient == [True, False, True]
