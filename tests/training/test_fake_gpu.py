"""Training steps on a GPU without values: devices, waiting for the GPU, and where bf16 applies.

Tensors have shapes, types and a device: PyTorch's slot for other devices, under FakeTensorMode. To mix devices in an
operation is an error, as on a GPU. A process must register such a device before its first backward pass: so this file
is a program, too.

    python test_fake_gpu.py '[{"model": "vae", "precision": "bf16"}, ...]'     # prints JSON
"""

import json
import sys
from typing import Any

import torch
from run_tools import ROOT, blobs, resolved
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
from waiting import call

from vaeglow.data import loader
from vaeglow.models import vae
from vaeglow.models.base import build
from vaeglow.models.network import full_precision
from vaeglow.noise import SharedGenerator
from vaeglow.training.optimise import recompute_activations
from vaeglow.training.step import TrainingStep

GPU = "fakegpu"
CAST = ("conv2d", "conv_transpose2d", "linear", "matmul")
WAITS = {
    "_local_scalar_dense": "read",
    "nonzero": "read",
    "_linalg_check_errors": "inverse",
}
MATRIX = ("convolution", "convolution_backward", "mm", "addmm", "bmm", "baddbmm")
DRAWN = ("vae", "vaeglow", "vaeglow_beyond", "vaeglow_joint", "vae_two_stage", "glow")
FLOWS = ("vaeglow_beyond", "glow")
MODELS = (*DRAWN, "pixelcnn", "pixeliqn", "residual_flow")  # samples of these take thousands of operations
CASTS = ("vae", "vae_two_stage", "vaeglow_beyond", "glow", "pixelcnn")  # one of each network, and one without


def devices(values: Any) -> set[str]:
    return {leaf.device.type for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)}


class Watch(TorchDispatchMode):
    """Notes, in order, what waits for the device or is copied to it or from it, and how matrices are multiplied."""

    def start(self) -> dict[str, list[str]]:
        """From now on, `host`: reads and copies; operations in `float32` or more, in `bfloat16`."""
        self.seen = {"host": [], "float32": [], "bfloat16": []}
        return self.seen

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        if name in WAITS and GPU in devices(args):
            self.seen["host"].append(WAITS[name])
        if name == "_local_scalar_dense":  # it has no value: true, or 1
            return args[0].dtype.is_floating_point or args[0].dtype is torch.bool or 1
        outputs = function(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_") and {GPU, "cpu"} <= devices((args, outputs)):
            self.seen["host"].append("copy")
        if name in MATRIX:
            self.seen["bfloat16" if args[0].dtype is torch.bfloat16 else "float32"].append(name)
        return outputs


class Autocast(TorchFunctionMode):
    """What torch.autocast does to the networks' operations on a GPU."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in CAST:
            args = tree_map(lambda value: value.to(self.dtype) if isinstance(value, torch.Tensor) else value, args)
        return function(*args, **(kwargs or {}))


def second_step(model: str, memory: str = "stored", **training: Any) -> dict[str, Any]:
    """What the second step of a run does and the later ones as well (the first makes what lasts); then samples."""
    config = resolved(model, **training)
    real = build(config)
    recompute_activations(real, memory == "checkpoint")
    with FakeTensorMode(allow_non_fake_inputs=True), Watch() as watch:
        watch.start()
        trainer = TrainingStep(real, config, blobs(64, 1), torch.device(GPU))
        trainer.initialise()
        sums = {}
        first, second, *_ = trainer.epoch_batches(0)
        trainer.train_step(first, 0, sums)
        seen = watch.start()
        trainer.train_step(second, 1, sums)
        sampling = watch.start()
        network = trainer.model.eval()
        drawn = []
        if model in DRAWN:
            y = torch.rand(4, *network.shape, device=GPU)
            with torch.no_grad(), full_precision(network):
                drawn = [network.sample(4, 1.0), network.reconstruct(y), network.log_weights(y, 2)]
    places = devices([*network.state_dict().values(), *sums.values(), *drawn])
    return seen | {"places": sorted(places), "sampling": sampling}


def test_a_step_stays_on_the_gpu_and_bf16_acts_in_the_networks_only():
    """Adam waits for nothing, Adamax for one verdict; bf16 acts forward and backward."""
    plain = [{"model": model} for model in MODELS]
    bf16 = [{"model": model, "precision": "bf16"} for model in CASTS]
    checkpoint = [{"model": model, "precision": "bf16", "memory": "checkpoint"} for model in FLOWS]
    slipped = {"model": "vae", "slip": True}
    runs = [*plain, *bf16, *checkpoint, {"model": "glow", "optimizer": "adam"}, slipped]
    done = call([sys.executable, __file__, json.dumps(runs)], env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"})
    assert done.returncode == 0, done.stderr
    *steps, adam, slip = json.loads(done.stdout)
    assert adam["host"] == []
    assert slip["host"] == ["read", "copy"]  # it is found
    counts = {}
    for run, step in zip(runs, steps, strict=False):
        model = run["model"]
        assert step["host"] == ["read"] * (model == "glow"), model
        assert step["places"] == [GPU]
        assert set(step["sampling"]["host"]) <= {"inverse"}  # torch.linalg.inv looks whether a matrix has one
        assert step["sampling"]["bfloat16"] == []
        half = len(step["bfloat16"])
        counts.setdefault(model, []).append((half, half + len(step["float32"])))
    assert {none for (none, _), *_ in counts.values()} == {0}
    for model in CASTS:
        (_, whole), (half, same), *recomputed = counts[model]
        assert bool(half) == (model != "vae_two_stage")  # it has none
        assert same == whole > 0
        assert all(more > half for more, _ in recomputed)


if __name__ == "__main__":
    _setup_privateuseone_for_python_backend(GPU)
    FakeTensorMode.avoid_device_init = True  # a real tensor moves to the device as a fake one
    torch.autocast = Autocast
    loader.SharedGenerator = lambda device: SharedGenerator()  # it has none of its own
    results = []
    for run in json.loads(sys.argv[1]):
        if run.pop("slip", False):  # one made on purpose
            vae.standard_normal_log_density = lambda z: z.sum(1) + z.sum().item() + torch.zeros(len(z)).to(z.device)
        results.append(second_step(**run))
    print(json.dumps(results))
