"""What a model's loss takes: images with their noise, which depends on seed, epoch and step alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from vaeglow.data import loader
from vaeglow.device import image_layout
from vaeglow.distributed import Group, SharedGenerator
from vaeglow.models.base import GenerativeModel
from vaeglow.models.network import exact


class Inputs:
    """The inputs of a run's model, made from uint8 images [N, C, H, W].

    Args:
        model: on its device.
        seed: of the run.
        batch: images in a batch.
        device: of model and images.
        group: the processes, each of which takes its part of a batch.
    """

    def __init__(self, model: GenerativeModel, seed: int, batch: int, device: torch.device, group: Group) -> None:
        self.model, self.seed, self.batch, self.device, self.group = model, seed, batch, device, group
        self.layout = image_layout(device)
        self.fixed: Tensor | None = None  # of all images, for a model with `inputs_last`

    def noise(self, epoch: int, step: int) -> SharedGenerator:
        """The generator of a step's noise."""
        return loader.step_generator(self.seed, epoch, step, self.device)

    def noisy(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Dequantised images y [N, C, H, W]."""
        return loader.dequantise(images, self.model.levels, generator).contiguous(memory_format=self.layout)

    def made(self, images: Tensor, noise: torch.Generator) -> Tensor:
        """The inputs of some images."""
        return self.model.inputs(self.noisy(images, noise), noise)

    def of_batch(self, data: Tensor, index: Tensor, epoch: int, step: int) -> tuple[Tensor, SharedGenerator]:
        """The inputs of this process's part of a batch (`index`, int64 [B]), and the generator of the other noise."""
        generator = self.noise(epoch, step)
        generator.rank, generator.ranks = self.group.rank, self.group.size
        index = index.chunk(self.group.size)[self.group.rank]
        if not self.model.inputs_last:
            return self.made(data.index_select(0, index), generator), generator
        if self.fixed is None:
            with torch.no_grad():
                parts = enumerate(data.split(self.batch))
                self.fixed = torch.cat([self.made(part, self.noise(loader.KEPT_INPUTS, n)) for n, part in parts])
        return self.fixed.index_select(0, index), generator

    @torch.no_grad()
    def bits_per_dim(self, images: Tensor, between: Callable[[], None]) -> float:
        """Bits/dim of a split, its noise fixed by the seed; every process computes all of it.

        `between` is called after each batch.
        """
        self.model.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        try:
            with exact(self.model):
                for first in range(0, len(images), self.batch):
                    batch, noise = images[first : first + self.batch], self.noise(loader.BEFORE_TRAINING, first + 1)
                    loss, _ = self.model.loss(self.made(batch, noise), noise)
                    total += loss.double() * len(batch)
                    between()
        finally:
            self.model.train()
        return total.item() / len(images)
