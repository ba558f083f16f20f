"""What a model's loss takes of the training images: the noise of a step, or what is kept of an image once for all."""

from __future__ import annotations

import torch
from torch import Tensor

from vaeglow.data.loader import DataOnDevice, dequantise, step_generator
from vaeglow.models.base import GenerativeModel
from vaeglow.team import Team

KEPT = -9  # the "epoch" whose noise goes with inputs that are made once


class Inputs:
    """Batches of one split for one model, their noise a function of (seed, epoch, step).

    Args:
        model: on the device; with `inputs_last` the whole split is turned into its inputs before the first batch.
        data: the images, on the device.
        seed: of all noise.
        batch: images at a time.
        layout: memory format of image batches.
        team: of the processes that share each batch.
    """

    def __init__(
        self,
        model: GenerativeModel,
        data: DataOnDevice,
        seed: int,
        batch: int,
        layout: torch.memory_format,
        team: Team,
    ) -> None:
        self.model, self.data, self.seed, self.size, self.layout = model, data, seed, batch, layout
        self.team = team
        self.kept: Tensor | None = None

    def noisy(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Dequantised images y [N, C, H, W] of uint8 images."""
        return dequantise(images, self.model.levels, generator).contiguous(memory_format=self.layout)

    def of(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """What the loss takes of uint8 images [N, C, H, W]."""
        return self.model.inputs(self.noisy(images, generator), generator)

    def first(self, count: int, epoch: int) -> Tensor:
        """The first `count` images, dequantised with the noise of that "epoch"."""
        return self.noisy(self.data.images[:count], step_generator(self.seed, epoch, 0, self.data.images.device))

    def batch(self, index: Tensor, epoch: int, step: int) -> tuple[Tensor, torch.Generator]:
        """What the loss takes of the images at `index`, and the generator of the step's other noise.

        Args:
            index: int64 [B], of the whole batch; of it, this process's part is meant.
            epoch: of the step.
            step: within the epoch.
        """
        generator = self.team.share(step_generator(self.seed, epoch, step, index.device))
        index = self.team.part(index)
        if not self.model.inputs_last:
            return self.of(self.data.batch(index), generator), generator
        if self.kept is None:
            self.kept = self.whole()
        return self.kept.index_select(0, index), generator

    @torch.no_grad()
    def whole(self) -> Tensor:
        """The inputs of all images, in their order."""
        parts = self.data.images.split(self.size)
        device = self.data.images.device
        return torch.cat([self.of(part, step_generator(self.seed, KEPT, i, device)) for i, part in enumerate(parts)])
