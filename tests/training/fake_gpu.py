"""A GPU without values: training steps of every kind of model on it, and what they exchange with the host.

Tensors have shapes, types and a device: PyTorch's slot for other devices, under FakeTensorMode. To mix devices in an
operation is an error, as on a GPU. A process must register such a device before its first backward pass: hence this
program.

    python fake_gpu.py '[{"model": "vae", "precision": "bf16"}, ...]'     # prints JSON
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

import torch
from run_tools import blobs, resolved
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from vaeglow.data import loader
from vaeglow.distributed import SharedGenerator
from vaeglow.models.kinds import build
from vaeglow.models.network import exact
from vaeglow.training.optimise import set_memory
from vaeglow.training.trainer import Trainer

GPU = "fakegpu"
CAST = ("conv2d", "conv_transpose2d", "linear", "matmul")
WAITS = {"_local_scalar_dense": "read", "nonzero": "read", "_linalg_check_errors": "inverse"}
MATRIX = ("convolution", "convolution_backward", "mm", "addmm", "bmm", "baddbmm")


class Watch(TorchDispatchMode):
    """Notes what waits for the device, what is copied to it or from it, and how matrices are multiplied.

    Attributes:
        host: reads and copies, in order.
        exact, fast: operations with matrices, in order: in float32; in bfloat16, or while TF32 was allowed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.host: list[str] = []
        self.exact: list[str] = []
        self.fast: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        devices = {one.device.type for one in tree_leaves(args) if isinstance(one, torch.Tensor)}
        if name in WAITS and GPU in devices:
            self.host.append(WAITS[name])
        if name == "_local_scalar_dense":  # it has no value: true, or 1
            return args[0].dtype.is_floating_point or args[0].dtype is torch.bool or 1
        outputs = function(*args, **(kwargs or {}))
        after = {one.device.type for one in tree_leaves(outputs) if isinstance(one, torch.Tensor)}
        if name in ("_to_copy", "copy_") and {GPU, "cpu"} <= devices | after:
            self.host.append("copy")
        if name in MATRIX:
            fast = args[0].dtype is torch.bfloat16 or torch.backends.cudnn.allow_tf32
            (self.fast if fast else self.exact).append(name)
        return outputs


class Autocast(TorchFunctionMode):
    """What torch.autocast does to the networks' operations on a GPU."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in CAST:
            args = tree_map(lambda one: one.to(self.dtype) if isinstance(one, torch.Tensor) else one, args)
        return function(*args, **(kwargs or {}))


def second_step(model: str, memory: str = "stored", **training: Any) -> dict[str, Any]:
    """What the second step of a run does and the later ones as well (the first makes what lasts); then samples."""
    config, images = resolved(model, **training), blobs(64, 1)
    real = build(config)
    set_memory(real, memory)
    with FakeTensorMode(allow_non_fake_inputs=True), Watch() as watch:
        trainer = Trainer(real, config, images, images[:0], torch.device(GPU))
        trainer.initialise()
        order, sums = loader.epoch_order(len(images), 0, 0, trainer.device), {}
        for step, index in itertools.islice(enumerate(loader.batches(order, trainer.batch)), 2):
            watch.host, watch.exact, watch.fast = [], [], []
            trainer.train_step(index, step, sums)
        found = {"host": watch.host, "exact": watch.exact, "fast": watch.fast}
        watch.host, watch.exact, watch.fast = [], [], []
        trainer.model.eval()
        with torch.no_grad(), exact(trainer.model):
            y = torch.rand(4, *trainer.model.shape, device=GPU)
            made = [trainer.model.sample(4, 1.0), trainer.model.reconstruct(y), trainer.model.log_weights(y, 2)]
    places = {tensor.device.type for tensor in (*trainer.model.state_dict().values(), *sums.values(), *made)}
    return found | {"places": sorted(places), "sampling": {"host": watch.host, "fast": watch.fast}}


def make_gpu() -> None:
    """Give this process such a device."""
    _setup_privateuseone_for_python_backend(GPU)
    FakeTensorMode.avoid_device_init = True  # a real tensor moves to the device as a fake one
    torch.autocast, loader.SharedGenerator = Autocast, lambda device: SharedGenerator()  # it has none of its own
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


if __name__ == "__main__":
    make_gpu()
    print(json.dumps([second_step(**run) for run in json.loads(sys.argv[1])]))
