"""`training.precision`, `compile`, `runtime.memory`, denormals: equal results, where they act, what a failure does."""

from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from models_tools import PAPER, gradients, optimise, photo_like, randomise, run_config, seeded
from run_tools import Run, losses, resolved, same_tensors, trainer
from test_gpus import on_a_gpu
from torch import Tensor

from vaeglow.data.loader import dequantise, step_generator
from vaeglow.device import set_threads
from vaeglow.errors import UserError
from vaeglow.models.base import build
from vaeglow.models.bounds import quantise
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.glow_steps import CHECKPOINT_EVERY
from vaeglow.models.network import full_precision, networks
from vaeglow.training.checkpoint import Position
from vaeglow.training.optimise import compiles, recompute_activations
from vaeglow.training.timing import draw
from vaeglow.training.tuning import BOUNDS

# A Residual Flow has no network that `precision` and `compile` act in.
KINDS = ("vae", "vaeglow", "vaeglow_joint", "vae_two_stage", "glow", "pixelcnn", "pixeliqn")
FLOAT32 = 1e-3  # largest relative difference of an epoch's loss: 3e-4 was seen, as rounding grows over 40 steps
EPOCHS = 4  # of four steps: by then no network is near its start any more


def trained(model: str, device: str = "cpu", **options: Any) -> Position:
    """Where a tiny run stands at its end."""
    rate = {"learning_rate": 2e-3} if model == "pixeliqn" else {}  # at its own, rounding grows faster than it learns
    return trainer(resolved(model, epochs=EPOCHS, **rate, **options), device).run()


def difference(one: Position, other: Position) -> float:
    """The largest relative difference of two runs' losses, epoch by epoch."""
    return np.abs(np.divide(losses(one.history), losses(other.history)) - 1).max()


@pytest.mark.parametrize("model", KINDS)
def test_bf16_trains_to_nearly_the_same_losses(model):
    assert 0 < difference(trained(model, precision="bf16"), trained(model)) < BOUNDS["bf16"]


@pytest.mark.slow
@pytest.mark.parametrize("model", KINDS)
def test_compiled_networks_train_to_the_same_losses(model):
    default = trained(model)
    assert difference(trained(model, compile=True), default) < FLOAT32
    assert difference(trained(model, compile=True, precision="bf16"), default) < BOUNDS["bf16"]


@on_a_gpu
@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_same_on_a_gpu(model, compiled, precision):
    run = trained(model, "cuda", precision=precision, compile=compiled)
    bound = FLOAT32 if precision == "float32" else BOUNDS["bf16"]
    assert difference(run, trained(model, "cuda")) < bound
    assert (run.compile_seconds > 0) == compiled


def test_bf16_is_inside_the_networks_only():
    """A flow of bf16 networks maps float32 to float32; exact: its log-determinant, and its inverse where asked for."""
    layer = randomise(GlowLayer(3, 4, 16, 2, **PAPER))
    y = photo_like(4, 3, 8)
    plain, log_det = layer(y)
    seen = []
    for network in networks(layer):
        network.last.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
        network.precision = "bf16"
    half, same_log_det = layer(y)
    assert set(seen) == {torch.bfloat16}
    assert half.dtype == torch.float32
    assert torch.equal(log_det, same_log_det)
    assert 1e-6 < (half - plain).abs().max() < 0.02
    seen.clear()
    with full_precision(layer):
        assert (layer.inverse(plain) - y).abs().max() < 1e-4
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize("model", KINDS)
def test_evaluation_is_exact_whatever_training_does(model):
    """Bits/dim on the val split, and timed samples, are those of a run without the options."""
    means = []
    for precision in ("float32", "bf16"):
        run = trainer(resolved(model, validate_every=1, precision=precision))
        randomise(run.model, scale=0.01)
        means.append(run.mean_loss(run.val_images))
    assert means[0] == means[1]
    assert all(network.precision == "bf16" for network in networks(run.model))  # and go on in bf16

    seen = set()
    sample = run.model.sample

    def noting(*drawn: Any) -> Tensor:
        seen.update(part.precision for part in networks(run.model))
        return sample(*drawn)

    run.model.sample = noting
    draw(run.model, 2, step_generator(0, 0, 0))
    assert seen == {"float32"}


def test_denormals_are_zero_in_a_step():
    set_threads(1)
    tiny = torch.full((2, 3, 4, 4), 1e-40)
    weight = torch.ones(1, 3, 3, 3, requires_grad=True)
    torch.nn.functional.conv2d(tiny, weight).sum().backward()
    assert not (tiny * 1).any()
    assert not weight.grad.any()


def test_a_frozen_vae_builds_no_graph():
    """Phase 2 has no backward pass of the VAE: nothing of it waits for one."""
    made = trainer(resolved("vaeglow"))
    outputs = []
    made.model.vae.decoder.register_forward_hook(lambda module, inputs, output: outputs.extend([*inputs, *output]))
    made.gradients(torch.arange(16), 0)
    assert len(outputs) == 3
    assert not any(tensor.requires_grad for tensor in outputs)


@pytest.mark.parametrize("option, devices", [(False, []), (True, ["cpu", "cuda"]), ("auto", ["cuda"])])
def test_what_compile_asks_for(option, devices):
    assert [name for name in ("cpu", "cuda") if compiles(option, torch.device(name))] == devices


@pytest.mark.parametrize("model", [*KINDS, "infogan"])
def test_each_network_is_one_graph(model):
    """Nothing in a network breaks torch.compile's graph, or compiles it again at a second step."""
    made = build(resolved(model)).train()
    graphs = []
    torch._dynamo.reset()

    def keep(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    for network in networks(made):
        network.compiled = torch.compile(network.forward, dynamic=False, fullgraph=True, backend=keep)
    y = torch.rand(4, 3, 8, 8)
    made.initialise(y)
    counts = []
    for _ in range(2):
        made.loss(made.inputs(y))[0].backward()
        counts.append(len(graphs))
    assert 0 < counts[0] == counts[1] <= len(list(networks(made)))


def test_compilation_leaves_no_trace_but_its_time(vae_run, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda forward, **_options: lambda x: forward(x))
    compiled = Run(tmp_path, resolved("vae", compile=True), vae_run.data).train()
    assert same_tensors(compiled.weights(), vae_run.weights())  # statistics of batch norms, too
    assert compiled.rows() == vae_run.rows()
    summary = compiled.summary()
    assert 0 < summary["compile_seconds"] < summary["train_seconds_by_phase"][0]


FAILURES = [
    (RuntimeError("no compiler\nat all"), "^torch.compile failed: no compiler: set training.compile to off$"),
    (torch.OutOfMemoryError("CUDA out of memory"), "^CUDA out of memory"),
]


@pytest.mark.parametrize("error, says", FAILURES)
def test_where_compilation_fails_a_run_stops(error, says, monkeypatch):
    """It would not give the bits that its config says. Out of memory is no failure of the compiler."""
    monkeypatch.setattr(torch, "compile", lambda forward, **_options: Mock(side_effect=error))
    with pytest.raises((UserError, torch.OutOfMemoryError), match=says):
        trainer(resolved("vae", compile=True)).run()


DEPTH = 2 * CHECKPOINT_EVERY + 3  # whole parts and a rest
DEEP = {"depth": DEPTH, "width": 8}
CHANGES = {"glow": {"network": DEEP}, **{name: {"layer": DEEP} for name in ("vaeglow", "vaeglow_as_written")}}


@pytest.mark.parametrize("name", ["glow", "glow_additive", "vaeglow", "vaeglow_as_written", "vaeglow_joint"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_gradients_are_those_of_stored_activations_to_the_last_bit(name, precision):
    """After some steps, so that no coupling is the identity."""
    model = build(run_config(name, **CHANGES))
    images = quantise(photo_like(32, 3, 8), 256)
    y = dequantise(images, 256, seeded(1))
    model.initialise(y)
    optimise(model, images, steps=6, rate=1e-3, batch=16)
    for network in networks(model.train()):
        network.precision = precision
    stored = gradients(model, y[:8])
    assert sum("steps" in key for key in stored) > 8 * DEPTH
    recompute_activations(model, True)
    assert same_tensors(stored, gradients(model, y[:8]))


def saved_bytes(depth: int, checkpoint: bool) -> int:
    """Of all tensors that wait for a Glow layer's backward pass, parameters left out."""
    layer = GlowLayer(3, depth, 32, 2, **PAPER)
    recompute_activations(layer, checkpoint)
    y = photo_like(4, 3, 16)
    known = {tensor.untyped_storage().data_ptr() for tensor in (y, *layer.parameters())}
    sizes = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(y)
    return sum(size for place, size in sizes.items() if place not in known)


def test_what_waits_for_the_backward_pass_hardly_grows_with_depth():
    assert saved_bytes(128, False) > 3.5 * saved_bytes(32, False)
    image = 4 * 4 * 3 * 16 * 16
    small = 4000  # what the log-det of a step's channel matrix needs
    for depth in (32, 128):
        assert saved_bytes(depth, True) < (depth / CHECKPOINT_EVERY + 3) * image + depth * small
