"""Batch norm over a batch that several processes share. torch.nn.SyncBatchNorm does it too, but on GPUs alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


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
        """Each process's value is in everyone's sum."""
        return Sum.apply(grad.contiguous())


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm [N, F, ...] with the mean and variance of the whole batch, of which each process holds a part.

    All parts are equally large. In evaluation mode it is the layer it stands in for.

    Attributes:
        ranks: how many processes there are.
    """

    ranks: int = 1

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of dimensions will do."""

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) / sqrt(var + eps) * weight + bias, and the running statistics moved on."""
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
    """Put `SharedBatchNorm`s in the place of all batch norms of a module, with their very parameters and statistics.

    Args:
        module: changed in place.
        ranks: processes of the default group that hold equally large parts of each batch.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            shared = SharedBatchNorm(child.num_features, child.eps, child.momentum)
            shared.weight, shared.bias = child.weight, child.bias
            shared.running_mean, shared.running_var = child.running_mean, child.running_var
            shared.num_batches_tracked, shared.ranks = child.num_batches_tracked, ranks
            setattr(module, name, shared.train(child.training))
        else:
            share_batch_norms(child, ranks)
