"""Activations recomputed in the backward pass: the same gradients, memory flat in depth, nothing else changed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from models_tools import one_thread, optimise, photo_like, randomise, run_config, seeded  # noqa: F401
from torch import Tensor

from vaeglow.data.loader import dequantise
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import quantise
from vaeglow.models.build import build
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.glow_steps import KEPT_EVERY, GlowSteps

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


def set_reversible(model: torch.nn.Module, reversible: bool) -> None:
    parts = [part for part in model.modules() if isinstance(part, GlowSteps)]
    assert parts
    for part in parts:
        part.reversible = reversible


def gradients(model: GenerativeModel, y: Tensor, reversible: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradient of every parameter that has one."""
    set_reversible(model, reversible)
    model.zero_grad()
    loss, _ = model.loss(y, seeded(3))
    loss.backward()
    return loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
def test_gradients_are_those_of_stored_activations(name: str, dtype: torch.dtype, tolerance: float) -> None:
    """For each parameter, relative to the norm of its gradient."""
    model, y = trained(name)
    model, y = model.to(dtype), y.to(dtype)
    loss, stored = gradients(model, y, reversible=False)
    again, recomputed = gradients(model, y, reversible=True)
    torch.testing.assert_close(loss, again, rtol=1e-6, atol=0)
    assert stored.keys() == recomputed.keys()
    assert sum("steps" in key for key in stored) > 8 * DEPTH
    errors = {key: ((stored[key] - recomputed[key]).norm() / stored[key].norm()).item() for key in stored}
    assert max(errors.values()) < tolerance, max(errors, key=errors.__getitem__)
    assert any(error > 0 for error in errors.values())  # it did recompute


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
        for reversible in (False, True):
            layer = GlowLayer(3, depth, 32, 2)
            set_reversible(layer, reversible)
            sizes[depth, reversible] = saved_bytes(layer, y)
    assert sizes[128, False] > 3.5 * sizes[32, False]
    image = 4 * y.numel()
    assert (
        sizes[32, True] < 4 * image + 32 * 4000
    )  # an activation in KEPT_EVERY; what the colour matrices' log-det needs
    assert sizes[128, True] - sizes[32, True] < 7 * image + 96 * 4000
    assert sizes[128, True] < 0.1 * sizes[128, False]


def test_without_gradients_nothing_is_kept_and_values_are_the_same() -> None:
    torch.manual_seed(0)
    layer = GlowLayer(3, 3, 8, 2)
    y = photo_like(4, 3, 8)
    layer.initialise(y)
    randomise(layer)
    with torch.no_grad():
        expected = layer(y)
        set_reversible(layer, True)
        found = layer(y)
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    assert not found[0].requires_grad


def test_gradients_reach_the_input_too() -> None:
    """In joint models and in whatever stands before the layer."""
    torch.manual_seed(0)
    layer = randomise(GlowLayer(3, 5, 8, 2)).double()
    found = []
    for reversible in (False, True):
        set_reversible(layer, reversible)
        y = photo_like(4, 3, 8).double().requires_grad_()
        layer(y)[0].square().sum().backward()
        found.append(y.grad)
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)


def test_parameters_that_do_not_learn_get_no_gradient() -> None:
    layer = randomise(GlowLayer(3, 3, 8, 2))
    set_reversible(layer, True)
    layer.steps[1].requires_grad_(False)
    layer(photo_like(4, 3, 8))[0].square().sum().backward()
    with_gradient = [step.conv.weight.grad is not None for step in layer.steps]
    assert with_gradient == [True, False, True]
