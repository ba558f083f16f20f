"""`training.precision`, `compile`, `runtime.memory`, denormals: equal results, where they act, what a failure does."""

from typing import Any

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
EPOCHS = 10  # of four steps: by then no network is near its start any more


def trained(model: str, device: str = "cpu", **options: Any) -> Position:
    """Where a tiny run stands at its end."""
    rate = {"learning_rate": 2e-3} if model == "pixeliqn" else {}  # at its own, rounding grows faster than it learns
    return trainer(resolved(model, epochs=EPOCHS, **rate, **options), device).run()


def difference(one: Position, other: Position) -> float:
    """The largest relative difference of two runs' losses, epoch by epoch."""
    return np.abs(np.divide(losses(one.history), losses(other.history)) - 1).max()


@pytest.mark.parametrize("model", KINDS)
def test_bf16_trains_to_nearly_the_same_losses(model):
    default = trained(model)
    first, *_, last = losses(default.history)
    assert last < first - 0.001
    assert 0 < difference(trained(model, precision="bf16"), default) < BOUNDS["bf16"]


@pytest.mark.slow
@pytest.mark.parametrize("model", KINDS)
def test_compiled_networks_train_to_the_same_losses(model):
    default = trained(model)
    compiled = trained(model, compile=True)
    assert difference(compiled, default) < FLOAT32
    assert default.compile_seconds == 0
    assert difference(trained(model, compile=True, precision="bf16"), default) < BOUNDS["bf16"]


@on_a_gpu
@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_same_on_a_gpu(model, compiled, precision):
    run = trained(model, "cuda", precision=precision, compile=compiled)
    bounds = BOUNDS | {"float32": FLOAT32}
    assert difference(run, trained(model, "cuda")) < bounds[precision]
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
    default = trainer(resolved(model, validate_every=1))
    fast = trainer(resolved(model, validate_every=1, precision="bf16"))
    for one in (default, fast):
        randomise(one.model, scale=0.01)
    found = [one.mean_loss(one.val_images) for one in (default, fast)]
    assert found[0] == found[1]
    assert all(network.precision == "bf16" for network in networks(fast.model))  # and go on in bf16

    seen = []
    sample = fast.model.sample
    fast.model.sample = lambda *drawn: seen.extend(one.precision for one in networks(fast.model)) or sample(*drawn)
    draw(fast.model, 2, step_generator(0, 0, 0))
    assert set(seen) == {"float32"}


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
    found = []
    decode = made.model.decode
    made.model.decode = lambda z: found.append((z, *decode(z))) or found[-1][1:]
    made.gradients(torch.arange(16), 0)
    (outputs,) = found
    assert not any(tensor.requires_grad for tensor in outputs)
    assert all(parameter.grad is not None for parameter in made.model.layer.parameters())


@pytest.mark.parametrize(
    "option, cpu, cuda",
    [
        (False, 0, 0),
        (True, 1, 1),
        ("auto", 0, 1),
    ],
)
def test_what_compile_asks_for(option, cpu, cuda):
    assert compiles(option, torch.device("cpu")) == bool(cpu)
    assert compiles(option, torch.device("cuda")) == bool(cuda)
    assert "force_layout_optimization" in torch._inductor.list_options()


@pytest.mark.parametrize("model", [*KINDS, "infogan"])
def test_each_network_is_one_graph(model):
    """Nothing in a network breaks torch.compile's graph, or compiles it again at a second step."""
    config = resolved("vae" if model == "infogan" else model)
    graphs = []
    counts = []
    if model == "infogan":
        config["network"]["architecture"] = model
    made = build(config).train()
    torch._dynamo.reset()
    options = {
        "dynamic": False,
        "fullgraph": True,
        "backend": lambda graph, _: graphs.append(graph) or graph.forward,
    }
    for network in networks(made):
        network.compiled = torch.compile(network.forward, **options)
    y = torch.rand(4, 3, 8, 8)
    made.initialise(y)
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


@pytest.mark.parametrize(
    "error, says",
    [
        (RuntimeError("no compiler\nat all"), "^torch.compile failed: no compiler: set training.compile to off$"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
    ],
)
def test_where_compilation_fails_a_run_stops(error, says, monkeypatch):
    """It would not give the bits that its config says. Out of memory is no failure of the compiler."""

    def fail(x):
        raise error

    monkeypatch.setattr(torch, "compile", lambda forward, **_options: fail)
    with pytest.raises(UserError if "compiler" in says else type(error), match=says):
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


def saved_bytes(depth: int, memory: str) -> int:
    """Of all tensors that wait for a Glow layer's backward pass, parameters left out."""
    layer = GlowLayer(3, depth, 32, 2, **PAPER)
    y = photo_like(4, 3, 16)
    recompute_activations(layer, memory == "checkpoint")
    seen = {tensor.untyped_storage().data_ptr() for tensor in [y, *layer.parameters()]}
    sizes = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y_bar, log_det = layer(y)
    assert y_bar.requires_grad
    assert log_det.requires_grad
    return sum(sizes.values())


def test_what_waits_for_the_backward_pass_hardly_grows_with_depth():
    assert saved_bytes(128, "stored") > 3.5 * saved_bytes(32, "stored")
    image = 4 * 4 * 3 * 16 * 16
    small = 4000  # `small`: what the log-det of a step's channel matrix needs
    for depth in (32, 128):
        assert saved_bytes(depth, "checkpoint") < (depth / CHECKPOINT_EVERY + 3) * image + depth * small
