"""Several processes that train one run, one on each device (`training.devices`).

On one machine the step starts them by torchrun's machinery, over several nodes torchrun does (docs/several-gpus.md).
The first writes and prints for all. Each draws the noise of the whole batch and uses the part of its own images
(`vaeglow.noise`), and batch norms are the whole batch's, so results do not depend on how many processes there are.
"""

import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ctypes import CDLL
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, cuda, distributed, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from vaeglow.device import CLAIM, pick_device
from vaeglow.errors import STOP, Interrupted, UserError
from vaeglow.files import read_json
from vaeglow.progress import TERMINAL

LOST = ("gloo", "nccl", "connection", "broken pipe")  # in the error of an exchange with a process that has ended
EXIT_LOST = 76  # status of a process that ends because of that
PATIENCE = 600  # seconds that processes have to save after a signal: a step, a validation
PR_SET_PDEATHSIG = 1  # of Linux's prctl: which signal a process gets when its parent ends


@dataclass(frozen=True)
class Group:
    """The processes that train a run; this one is number `rank`, and the one that writes if it is the `first`."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Set each tensor to its mean over the processes, all in one exchange."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        means = flat.div_(self.size).split([tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))

    def gather(self, value: Any = None) -> list[Any]:
        """The value of each process, in the order of ranks, in every process; waits for all of them."""
        values = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value)
        return values


ALONE = Group()


def launch(devices: int) -> None:
    """Run this process's own command in `devices` processes. If one fails, end with its error line and its status.

    Raises:
        UserError: one of them was killed, or failed without a line of its own.
        Interrupted: told to stop when they had nothing to save.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable()  # torchrun's messages when a process ends
    if TERMINAL in os.environ:  # others inherit the standard descriptors only
        os.dup2(int(os.environ[TERMINAL]), 0)
        os.environ[TERMINAL] = "0"
    heard = [number.name for number in (*STOP, signal.SIGINT) if signal.getsignal(number) != signal.SIG_IGN]
    with TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id="vaeglow",
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            signals_to_handle=",".join(heard),
            shutdown_timeout=PATIENCE,
            logs_specs=DefaultLogsSpecs(folder),
        )
        try:
            elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
        except (ChildFailedError, SignalException) as error:
            for file in sorted(Path(folder).rglob("error.json")):  # of `vaeglow.steps.cli`
                report = read_json(file)
                print(report["message"], file=sys.stderr)
                raise SystemExit(report["status"]) from None
            if isinstance(error, SignalException):
                raise Interrupted(f"{error.sigval.name}: run the same command again") from None
            statuses = {rank: failure.exitcode for rank, failure in error.failures.items()}
            later = (EXIT_LOST, -signal.SIGTERM)  # how the others end, once one has failed
            rank = min(statuses, key=lambda rank: statuses[rank] in later)
            raise UserError(f"process {rank} of this run ended with status {statuses[rank]}: run it again") from None


@contextmanager
def process_group(devices: int, name: str) -> Iterator[tuple[Group, torch.device]]:
    """The processes of a run for the length of a block, and this one's device (`name`: see `pick_device`).

    Raises:
        UserError: another number than `devices` was started, or there are too few GPUs.
        SystemExit: another process has ended.
    """
    rank = int(os.getenv("RANK", 0))
    size = int(os.getenv("WORLD_SIZE", 1))
    local_rank = distributed.get_node_local_rank(0)
    if size != devices:
        raise UserError(f"{devices} devices are configured, but {size} processes were started: start as many")
    gpus = 0 if name == "cpu" else cuda.device_count()
    if 0 < gpus <= local_rank:  # first: `pick_device` may take that GPU
        raise UserError(f"torch sees {gpus} GPUs, too few for {devices} processes: lower training.devices")
    device = pick_device(name)
    if size == 1:
        yield ALONE, device
        return
    with suppress(AttributeError):  # not Linux
        CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if rank > 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    backend = "gloo"
    if device.type == "cuda":
        backend = "cpu:gloo,cuda:nccl"
        if os.getenv(CLAIM) != "1":  # else `pick_device` has chosen
            cuda.set_device(local_rank)
        device = torch.device("cuda", cuda.current_device())
    try:
        distributed.init_process_group(backend)
        yield Group(rank, size), device
        distributed.destroy_process_group()
    except RuntimeError as error:
        if any(words in str(error).lower() for words in LOST):
            raise SystemExit(EXIT_LOST) from None
        raise


class Sum(Function):
    """The sum of a tensor over all processes, with its gradient: the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """The same on every process."""
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        """Each value is part of every process's sum."""
        return Sum.apply(grad.contiguous())


class SharedBatchNorm(_BatchNorm):
    """Batch norm [N, F, ...] with the mean and variance of the whole batch, split equally over the processes.

    In evaluation mode it is an ordinary batch norm. torch.nn.SyncBatchNorm does the same, but only on GPUs.

    Attributes:
        ranks: number of processes in the default group.
    """

    ranks: int = 1

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of dimensions is allowed."""

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(var + eps) * weight + bias, and the running statistics updated."""
        if not self.training:
            return super().forward(x)
        others = [0, *range(2, x.dim())]  # all dimensions but the features'
        shape = [-1] + [1] * (x.dim() - 2)  # of a value for each feature, beside x
        whole = x.float()  # under bf16 x is the convolution's bfloat16; statistics are float32, as in torch's own
        mean = Sum.apply(whole.mean(others)) / self.ranks
        centred = whole - mean.view(shape)
        variance = Sum.apply(centred.square().mean(others)) / self.ranks
        with torch.no_grad():
            count = self.ranks * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return self.bias.view(shape).addcmul(centred, scale.view(shape)).to(x.dtype)


def share_batch_norms(module: nn.Module, ranks: int) -> None:
    """Make each batch norm of a module a `SharedBatchNorm`, in place, with the same parameters and statistics."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.__class__ = SharedBatchNorm
            part.ranks = ranks
