"""One training step, of every model (paper, section 4.2); the order of images and the noise: `vaeglow.data.loader`."""

import time
from functools import cached_property

import torch
from numpy import ndarray
from torch import Tensor

from vaeglow.config import with_neutral
from vaeglow.config.registry import kinds_of
from vaeglow.data.loader import (
    BEFORE_TRAINING,
    KEPT_INPUTS,
    batch_count,
    batches,
    dequantise,
    epoch_order,
    on_device,
    step_generator,
)
from vaeglow.device import image_layout
from vaeglow.distributed import ALONE, Group, share_batch_norms
from vaeglow.errors import UserError
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import bits_per_dim, total
from vaeglow.models.kinds import Config
from vaeglow.models.network import networks
from vaeglow.noise import SharedGenerator
from vaeglow.training.checkpoint import Position
from vaeglow.training.optimise import Guard, build_optimizer, compile_networks, compiles, learning_rate
from vaeglow.weights import Tensors

INITIAL_IMAGES = 256  # for data-dependent initialisation, as in Glow's source


class TrainingStep:
    """A model, its data and its optimiser, ready for training steps.

    Args:
        model: with the base's weights loaded, if it has a base.
        config: its resolved config.
        train_images: uint8 [N, C, H, W], may be memory-mapped.
        device: where to train.
        group: the processes that train together, each with a step of its own.

    Attributes:
        batch: images in a step.
        steps: in an epoch.
        position: of the run.

    Raises:
        UserError: processes that do not divide the batch.
    """

    def __init__(
        self,
        model: GenerativeModel,
        config: Config,
        train_images: ndarray,
        device: torch.device,
        group: Group = ALONE,
    ) -> None:
        self.config = config
        self.training = with_neutral(config)["training"]
        self.device = device
        self.group = group
        self.data = on_device(train_images, device, config["data"]["train_subset"])
        self.objective = kinds_of("models")[config["kind"]].OBJECTIVE
        self.model = model.to(device, memory_format=image_layout(device)).train()
        for network in networks(self.model):
            network.precision = self.training["precision"]
        if group.size > 1:
            share_batch_norms(self.model, group.size)
        self.optimizer = build_optimizer(model.trainable(), self.training)
        self.guard = Guard(self.model, self.optimizer, self.training)
        self.batch = min(self.training["batch_size"], len(self.data))
        self.steps = batch_count(len(self.data), self.batch)
        if self.batch % group.size:
            raise UserError(
                f"training.devices is {group.size}, which does not divide the batch of {self.batch} images: change "
                "training.devices or training.batch_size"
            )
        self.position = Position()

    def initialise(self, images: int = INITIAL_IMAGES) -> None:
        """Set the model's data-dependent values from the first `images` images."""
        self.model.initialise(self.noisy(self.data[:images], self.noise(BEFORE_TRAINING, 0)))

    def compile(self) -> None:
        """Compile the networks if the config says so, in a first step without effect; its time counts as training."""
        if not compiles(self.training["compile"], self.device):
            return
        start = time.perf_counter()
        first, *_ = self.epoch_batches(0)
        self.guard.before_forward()
        compile_networks(self.model, self.device, lambda: self.gradients(first, 0))
        self.guard.forget()
        self.position.compile_seconds += time.perf_counter() - start

    def epoch_batches(self, epoch: int) -> tuple[Tensor, ...]:
        """The batches of an epoch, in order: places of their images, int64 [B] each."""
        return batches(epoch_order(len(self.data), self.config["seed"], epoch, self.device), self.batch)

    def train_step(self, index: Tensor, step: int, sums: Tensors) -> None:
        """One update with the images at `index`; its numbers are added to `sums` on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step)
        self.guard.before_forward()
        loss, terms = self.gradients(index, step)
        bound = loss
        if self.training["kl_weight"] != 1:  # the bound is reported, whatever was minimised
            bound = bits_per_dim(total(terms), self.model.dims, self.model.levels)
        good, norm = self.guard.step(loss, bound)
        values = {self.objective: bound, **terms, "gradient_norm": norm, "steps": torch.ones_like(norm)}
        for name, value in values.items():
            sums[name] = sums.get(name, 0) + torch.where(good, value, 0).double()

    def gradients(self, index: Tensor, step: int) -> tuple[Tensor, Tensors]:
        """The gradients of a batch (`index`, int64 [B], of its images); its loss and the bound's terms."""
        inputs, noise = self.batch_inputs(index, step)
        loss, terms = self.model.loss(inputs, noise, self.training["kl_weight"])
        loss.backward()
        loss = loss.detach()
        gradients = [parameter.grad for parameter in self.guard.parameters if parameter.grad is not None]
        self.group.average([loss, *terms.values(), *gradients])
        return loss, terms

    def rate(self, step: int) -> float:
        """The learning rate at a step of the epoch in progress; each rollback so far lowered it."""
        scheduled = learning_rate(self.training, self.position.epoch, step, self.steps)
        return scheduled * self.training["rollback_factor"] ** len(self.position.rollbacks)

    def noise(self, epoch: int, step: int) -> SharedGenerator:
        """The generator of a step's noise."""
        return step_generator(self.config["seed"], epoch, step, self.device)

    def noisy(self, images: Tensor, noise: torch.Generator) -> Tensor:
        """Dequantised images y [N, C, H, W]."""
        y = dequantise(images, self.model.levels, noise)
        return y.contiguous(memory_format=image_layout(self.device))

    def inputs(self, images: Tensor, noise: torch.Generator) -> Tensor:
        """What the model's loss takes, made from uint8 images [N, C, H, W]."""
        return self.model.inputs(self.noisy(images, noise), noise)

    def batch_inputs(self, index: Tensor, step: int) -> tuple[Tensor, SharedGenerator]:
        """The inputs of this process's part of a batch (`index`, int64 [B]), and the generator of the other noise."""
        noise = self.noise(self.position.epoch, step)
        noise.rank = self.group.rank
        noise.ranks = self.group.size
        own = index.chunk(self.group.size)[self.group.rank]
        if not self.model.keeps_inputs:
            return self.inputs(self.data.index_select(0, own), noise), noise
        return self.all_inputs.index_select(0, own), noise

    @cached_property
    def all_inputs(self) -> Tensor:
        """The inputs of all images, for all epochs, of a model that `keeps_inputs`."""
        parts = enumerate(self.data.split(self.batch))
        return torch.cat([self.inputs(images, self.noise(KEPT_INPUTS, number)) for number, images in parts])
