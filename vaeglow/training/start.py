"""What a run has before its first step: model, data, optimiser and state, from a checkpoint or anew."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaeglow.data.loader import DataOnDevice, batch_count, epoch_order
from vaeglow.device import image_layout
from vaeglow.errors import UserError
from vaeglow.models.base import GenerativeModel
from vaeglow.models.batch_norm import share_batch_norms
from vaeglow.team import ALONE, Team
from vaeglow.training.inputs import Inputs
from vaeglow.training.objective import BEFORE_TRAINING, Objective
from vaeglow.training.optimise import Guard, build_optimizer
from vaeglow.training.position import Position
from vaeglow.training.rollback import GoodStates
from vaeglow.training.snapshots import Snapshots
from vaeglow.training.speed import apply_options, compile_mode, compile_networks
from vaeglow.training.state import StateFolder, unpack

INITIAL_IMAGES = 256  # for data-dependent initialisation, as in Glow's source


class Start:
    """A run up to its first step; `vaeglow.training.loop.Trainer` takes the steps.

    Args:
        model: with the base's weights loaded, if it has a base.
        config: its resolved config.
        train_images: uint8 [N, C, H, W], may be memory-mapped.
        val_images: for `validate_every`.
        device: where to train.
        state: the run's state folder, whose lock the caller holds.
        save_seconds: state is saved at least that often, and at the end of the run.
        tensorboard: folder for event files, or None.
        team: the processes that train together, each with a trainer of its own; the first one's writes.
    """

    def __init__(
        self,
        model: GenerativeModel,
        config: Mapping[str, Any],
        train_images: np.ndarray,
        val_images: np.ndarray,
        device: torch.device,
        state: StateFolder,
        save_seconds: float,
        tensorboard: str | Path | None = None,
        team: Team = ALONE,
    ) -> None:
        self.config, self.training, self.seed, self.team = config, config["training"], config["seed"], team
        self.device, self.state, self.save_seconds, self.tensorboard = device, state, save_seconds, tensorboard
        self.data = DataOnDevice(train_images, device, config["data"]["train_subset"])
        self.val_images = val_images
        if self.training["validate_every"] and not len(val_images):
            raise UserError(f"training.validate_every is set but dataset {config['dataset']} has no val images")
        layout = image_layout(device)
        self.model = model.to(device, memory_format=layout).train()
        apply_options(self.model, self.training)
        if team.size > 1:
            share_batch_norms(self.model, team.size)
        self.optimizer = build_optimizer(model.trainable(), self.training)
        self.guard = Guard(self.model, self.optimizer, self.training["gradient_clip"], device)
        self.batch = min(self.training["batch_size"], len(self.data))
        self.steps = batch_count(len(self.data), self.batch)
        if self.batch % team.size:
            raise UserError(
                f"training.devices is {team.size}, which does not divide the batch of {self.batch} images: change "
                "training.devices or training.batch_size"
            )
        self.inputs = Inputs(self.model, self.data, self.seed, self.batch, layout, team)
        self.objective = Objective(self.model, config, self.inputs, team)
        self.snapshots = Snapshots(state, self.training["snapshots"], self.training["epochs"], self.steps)
        self.good = GoodStates(state, self.training, self.steps, self.model, self.optimizer)
        self.limit = math.inf  # bits/dim above which a step is bad
        self.position = Position()
        self.stop_signal = 0

    def start_together(self) -> None:
        """`start`, the first process before the others: none reads a file that another writes.

        Raises:
            UserError: the processes start from different states.
        """
        if self.team.first:
            self.start()
        self.team.wait()
        if not self.team.first:
            self.start()
        if len(set(self.team.gather((self.position.epoch, self.position.step)))) > 1:
            raise UserError(
                f"not all processes read the same {self.state.folder}: it must lie where all of them see it"
            )
        self.objective.share()

    def start(self) -> None:
        """Load the newest checkpoint, or initialise the model from the first images."""
        loaded = self.state.load()
        if loaded is not None:
            tensors, info = loaded
            unpack(tensors, self.model, self.optimizer)
            self.position = Position(**info["position"])
            self.guard.reset(self.position.bad_steps)
            self.good.prune(self.position)
            print(f"resuming at epoch {self.position.epoch + 1}, step {self.position.step}", flush=True)
        else:
            if self.state.abandon_others(self.training["epochs"]):
                print("the saved state belongs to another config, data or base: starting anew", flush=True)
            self.initialise()
        self.last_save = time.monotonic()

    def initialise(self, images: int = INITIAL_IMAGES) -> None:
        """Set the model's data-dependent values from the first `images` images."""
        self.model.initialise(self.inputs.first(images, BEFORE_TRAINING))

    def compile(self) -> None:
        """Compile the networks if the run asks for it, which counts as training; settle DDP where several train."""
        mode = compile_mode(self.training, self.device)
        if mode is not None:
            cpu = time.process_time()
            seconds = compile_networks(self.model, mode, self.rehearse, self.team.size == 1)
            self.position.seconds += seconds
            self.position.cpu_seconds += time.process_time() - cpu
            self.position.compile_seconds += seconds
        elif self.team.size > 1:
            self.rehearse()  # after its first pass DDP sums gradients in another order: a resumed run, too, from step 1

    def rehearse(self) -> None:
        """Forward and backward pass on the first batch, as if they had not been."""
        order = epoch_order(len(self.data), self.seed, 0, self.device)
        self.guard.before_forward()
        try:
            self.objective.gradients(order[: self.batch], 0, 0)
        finally:
            self.guard.forget()
