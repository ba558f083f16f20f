"""The loss of a batch and its gradients, and the same number on the validation split (paper, section 3.4)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vaeglow.data.loader import step_generator
from vaeglow.models.base import GenerativeModel
from vaeglow.models.network import exact
from vaeglow.team import Team
from vaeglow.training.inputs import Inputs
from vaeglow.training.speed import must_fit

BEFORE_TRAINING = -1  # the "epoch" whose noise initialises the model, and is that of validation


class Loss(nn.Module):
    """A model's loss as a forward pass, which is what DistributedDataParallel wraps."""

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """See `GenerativeModel.loss`."""
        return self.model.loss(*arguments)


class Objective:
    """What training minimises, computed by one process or shared by several.

    Args:
        model: on its device.
        config: the run's resolved config.
        inputs: of the training split.
        team: the processes that share each batch.
    """

    def __init__(self, model: GenerativeModel, config: Mapping[str, Any], inputs: Inputs, team: Team) -> None:
        self.model, self.config, self.inputs, self.team = model, config, inputs, team
        self.shared: DistributedDataParallel | None = None

    def share(self) -> None:
        """From now on average gradients over the team; the first process's weights become everyone's."""
        if self.team.size > 1:
            known = inspect.signature(DistributedDataParallel).parameters  # newer versions of torch renamed the option
            buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
            # off: buffers are everyone's own, and the batch norms share their statistics themselves
            self.shared = DistributedDataParallel(Loss(self.model), **{buffers: False})

    def gradients(self, index: Tensor, epoch: int, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradients of a batch (`index`, int64 [B], of its images); its loss and the bound's terms.

        Raises:
            UserError: out of memory.
        """
        with must_fit(self.model, self.config, len(index)):
            inputs, generator = self.inputs.batch(index, epoch, step)
            compute = self.shared or self.model.loss
            loss, terms = compute(inputs, generator, self.config["training"]["kl_weight"])
            loss.backward()
        means = self.team.mean({"": loss.detach(), **terms})
        return means.pop(""), means

    @torch.no_grad()
    def validate(self, images: np.ndarray, device: torch.device, each: Callable[[], None]) -> float:
        """Bits/dim of the validation split, its noise fixed by the seed.

        Args:
            images: uint8 [N, C, H, W]; the team's processes take turns at their batches.
            device: of the model.
            each: called after each batch.
        """
        self.model.eval()
        total, size = torch.zeros((), dtype=torch.float64, device=device), self.inputs.size
        try:
            with exact(self.model):
                for number, start in enumerate(range(0, len(images), size)):
                    if number % self.team.size == self.team.rank:
                        batch = torch.from_numpy(np.array(images[start : start + size])).to(device)
                        generator = step_generator(self.inputs.seed, BEFORE_TRAINING, start + 1, device)
                        loss, _ = self.model.loss(self.inputs.of(batch, generator), generator)
                        total += loss.double() * len(batch)
                        each()
        finally:
            self.model.train()
        return self.team.size * self.team.mean({"": total})[""].item() / len(images)
