"""The networks inside the models, and their batch norms: what `training.precision`, `compile` and `devices` act on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn

from vaeglow.device import allow_tf32


class Network(nn.Module):
    """A neural network inside a density or a bijection.

    Its inputs and outputs are float32 in any compute precision, so that flows, log-determinants and losses around it
    stay in full precision.

    Attributes:
        precision: `float32`; `bf16`: under autocast in bfloat16; `tf32`: matrix products and convolutions of a GPU
            round their factors to 10 bits of mantissa.
        compiled: replaces `forward` (torch.compile). None by default.
    """

    precision: str = "float32"
    compiled: Callable[..., Any] | None = None

    def __call__(self, x: Tensor) -> Any:
        """`forward` under the two attributes."""
        run = self.compiled or super().__call__
        if self.precision == "tf32" and x.device.type != "cpu":
            return in_tf32(run, x)
        if self.precision != "bf16":
            return run(x)
        with torch.autocast(x.device.type, torch.bfloat16):
            outputs = run(x)
        return outputs.float() if isinstance(outputs, Tensor) else tuple(output.float() for output in outputs)


def in_tf32(run: Callable[..., Any], x: Tensor) -> Any:
    """`run(x)` with TF32 on in it and in its backward pass, and off around both.

    The backward pass takes a device's operations in the reverse order of the forward pass. x always requires a
    gradient, so that the hook that switches TF32 off again is called.
    """
    if torch.is_grad_enabled():
        x = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
        x.register_hook(lambda _: allow_tf32(False))
    allow_tf32(True)
    try:
        outputs = run(x)
    finally:
        allow_tf32(False)
    for output in (outputs,) if isinstance(outputs, Tensor) else outputs:
        if output.requires_grad:
            output.register_hook(lambda _: allow_tf32(True))
    return outputs


def networks(model: nn.Module) -> Iterator[Network]:
    """All networks of a model."""
    return (part for part in model.modules() if isinstance(part, Network))


@contextmanager
def exact(model: nn.Module) -> Iterator[None]:
    """Within the block all networks of `model` compute in full precision and uncompiled, for evaluation."""
    before = [(network, network.precision, network.compiled) for network in networks(model)]
    for network, _, _ in before:
        network.precision, network.compiled = "float32", None
    try:
        yield
    finally:
        for network, precision, compiled in before:
            network.precision, network.compiled = precision, compiled


class Sum(torch.autograd.Function):
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


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
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
        over, each = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
        whole = x.float()  # under bf16 x is the convolution's bfloat16; statistics are float32, as in torch's own
        mean = Sum.apply(whole.mean(over)) / self.ranks
        centred = whole - mean.view(each)
        variance = Sum.apply(centred.square().mean(over)) / self.ranks
        with torch.no_grad():
            count = self.ranks * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias.view(each), centred, scale.view(each)).to(x.dtype)


def share_batch_norms(module: nn.Module, ranks: int) -> None:
    """Make each batch norm of a module a `SharedBatchNorm`, in place, with the same parameters and statistics."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.__class__, part.ranks = SharedBatchNorm, ranks
