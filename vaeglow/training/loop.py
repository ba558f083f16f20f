"""The one training loop, for every model (paper, sections 3.4 and 4.2).

Order, dequantisation and latent noise are functions of (seed, epoch, step), so an interrupted and resumed run
takes the very steps an undisturbed one takes.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaeglow.data.loader import DataOnDevice, batch_count, batches, epoch_order
from vaeglow.device import image_layout
from vaeglow.errors import Interrupted, UserError
from vaeglow.models import bounds
from vaeglow.models.base import GenerativeModel
from vaeglow.models.batch_norm import share_batch_norms
from vaeglow.signals import STOP, handled
from vaeglow.team import ALONE, Team
from vaeglow.training.history import history_row, mean_of
from vaeglow.training.inputs import Inputs
from vaeglow.training.objective import BEFORE_TRAINING, Objective
from vaeglow.training.optimise import Guard, build_optimizer, learning_rate
from vaeglow.training.position import Position
from vaeglow.training.progress import Progress
from vaeglow.training.rollback import Diverged, GoodStates, diverged, highest_loss
from vaeglow.training.snapshots import Snapshots
from vaeglow.training.speed import apply_options, compile_mode, compile_networks
from vaeglow.training.state import StateFolder, pack, unpack

INITIAL_IMAGES = 256  # for data-dependent initialisation, as in Glow's source
REPORT_EVERY = 20  # steps between looks at the device's counters on a GPU


class Trainer:
    """Trains a model, with exact resume.

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

    def run(self) -> Position:
        """Train to the last epoch, from a checkpoint where there is one.

        Raises:
            Interrupted: told to stop; the state is saved.
            Diverged: the loss was lost, and no rollback is left; `position` is where.
            UserError: no checkpoint is whole.
        """
        self.start_together()
        if self.position.epoch >= self.training["epochs"]:
            print(f"all {self.position.epoch} epochs are done: only writing the results", flush=True)
            return self.position
        self.compile()
        done = (self.position.epoch * self.steps + self.position.step) * self.batch
        label = f"{self.config['model']} on {self.config['dataset']}"
        events = self.tensorboard if self.team.first else None
        progress = Progress(label, self.training["epochs"], self.steps * self.batch, done, events)
        try:
            with handled(self.note_signal, (*STOP, signal.SIGINT)):
                while self.position.epoch < self.training["epochs"]:
                    try:
                        self.run_epoch(progress)
                    except Diverged as error:
                        self.roll_back(error)
                        progress.back_to(self.position.epoch * self.steps * self.batch)
                self.position.good = []
                self.save()
                self.good.prune(self.position)
        finally:
            progress.close()
        return self.position

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
        """Compile the model's networks if the run asks for it; the time counts as training's."""
        mode = compile_mode(self.training, self.device)
        if mode is not None:
            seconds = compile_networks(self.model, mode, self.rehearse)
            self.position.seconds += seconds
            self.position.compile_seconds += seconds

    def rehearse(self) -> None:
        """Forward and backward pass on the first batch, as if they had not been."""
        order = epoch_order(len(self.data), self.seed, 0, self.device)
        self.guard.before_forward()
        try:
            self.objective.gradients(order[: self.batch], 0, 0)
        finally:
            self.guard.forget()

    def run_epoch(self, progress: Progress) -> None:
        """The rest of the epoch in progress, then its history row."""
        here = self.position
        if here.step == 0 and self.good.due(here) and not self.guard.in_a_row.item():
            self.good.keep(here)
        self.limit = highest_loss(here.history, self.training["max_rise"])
        order = epoch_order(len(self.data), self.seed, here.epoch, self.device)
        sums = {name: torch.tensor(value, dtype=torch.float64, device=self.device) for name, value in here.sums.items()}
        self.clock, unreported = time.perf_counter(), 0
        for step, index in enumerate(batches(order, self.batch)):
            if step < here.step:
                continue
            self.train_step(index, step, sums)
            here.step, unreported = step + 1, unreported + 1
            done = here.epoch * self.steps + here.step
            look = unreported == REPORT_EVERY or here.step == self.steps or self.device.type == "cpu"
            stop, save = self.wanted(look)
            if save or look:
                self.check()
                progress.advance(unreported * self.batch, here.epoch, mean_of(sums, "bits_per_dim"))
                unreported = 0
            if save or self.snapshots.due(done):
                here.sums = {name: value.item() for name, value in sums.items()}  # waits for the device
                here.seconds += time.perf_counter() - self.clock
                if self.snapshots.due(done):  # before a checkpoint, which would skip it when resumed from
                    self.snapshots.take(done, self.model, here.seconds)
                if stop:
                    self.stop(stop)
                if save:
                    self.save()
                self.clock = time.perf_counter()
        here.seconds += time.perf_counter() - self.clock
        here.sums = {name: value.item() for name, value in sums.items()}  # a signal while validating saves them
        rate, val = self.rate(self.steps - 1), self.validate(here.epoch + 1)
        here.history.append(history_row(here, sums, rate, self.steps, self.batch, self.model.dims, val))
        here.epoch, here.step, here.sums = here.epoch + 1, 0, {}
        progress.epoch_done(here.history[-1])

    def train_step(self, index: Tensor, step: int, sums: dict[str, Tensor]) -> None:
        """One update; its numbers are added to `sums` on the device."""
        rate = self.rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.guard.before_forward()
        loss, terms = self.objective.gradients(index, self.position.epoch, step)
        bound = loss
        if self.training["kl_weight"] != 1:  # reported is the bound, whatever was minimised
            bound = bounds.bits_per_dim(bounds.total(terms), self.model.dims, self.model.levels)
        good, norm = self.guard.step(loss, bound <= self.limit)
        values = {"bits_per_dim": bound, **terms, "gradient_norm": norm, "steps": torch.ones_like(norm)}
        for name, value in values.items():
            kept = torch.where(good, value, 0).double()
            sums[name] = sums[name] + kept if name in sums else kept

    def wanted(self, look: bool) -> tuple[int, bool]:
        """The signal to stop at, or 0, and whether to save now.

        Args:
            look: whether this is a step at which all processes ask each other: what one wants, all must do at once.
        """
        if self.team.size > 1 and not look:
            return 0, False
        due = time.monotonic() - self.last_save > self.save_seconds
        stop, save = self.team.highest(self.stop_signal, due)
        return stop, bool(stop or save)

    def rate(self, step: int) -> float:
        """The learning rate at a step of the epoch in progress; each rollback behind the run lowered it."""
        scheduled = learning_rate(self.training, self.position.epoch, step, self.steps)
        return scheduled * self.training["rollback_factor"] ** len(self.position.rollbacks)

    def check(self) -> None:
        """Stop after too many bad steps in a row.

        Raises:
            Diverged: says where, and what to try.
        """
        if self.guard.most.item() >= self.training["max_bad_steps"]:
            rate = self.rate(self.position.step - 1)
            raise diverged(self.config["model"], self.training, self.position, self.limit, rate)

    def roll_back(self, error: Diverged) -> None:
        """Go back to a good state; from there on the learning rate is lower.

        Raises:
            Diverged: the given one, when as many rollbacks as allowed are behind the run.
        """
        self.position.seconds += time.perf_counter() - self.clock
        if len(self.position.rollbacks) >= self.training["rollbacks"]:
            raise error
        self.position = self.good.go_back(self.position)
        self.team.wait()  # before the first process removes what others have yet to read
        self.guard.reset(0)
        self.snapshots.drop_after(self.position.epoch * self.steps)
        self.save()
        self.good.prune(self.position)
        print(f"rolled back to epoch {self.position.epoch + 1}, rate now {self.rate(0):.3g}: {error}", flush=True)

    def validate(self, epoch: int) -> float | None:
        """Bits/dim on the val split every `validate_every` epochs; else None."""
        every = self.training["validate_every"]
        if not every or epoch % every:
            return None
        return self.objective.validate(self.val_images, self.device, self.stop_in_between)

    def stop_in_between(self) -> None:
        """Stop in the middle of a validation, which may take long; several processes stop after a step only.

        Raises:
            Interrupted: told to stop; the state is saved.
        """
        if self.stop_signal and self.team.size == 1:
            self.model.train()
            self.stop(self.stop_signal)

    def save(self) -> None:
        """Write a checkpoint."""
        here = self.position
        here.bad_steps = int(self.guard.in_a_row)
        if self.team.first:
            global_step = here.epoch * self.steps + here.step
            tensors, info = pack(self.model, self.optimizer), {"position": vars(here)}
            self.state.save(global_step, tensors, info, len(here.rollbacks))
        self.last_save = time.monotonic()

    def stop(self, number: int) -> None:
        """Save, and say so.

        Raises:
            Interrupted: always.
        """
        self.save()
        raise Interrupted(f"{signal.Signals(number).name}: state saved, run again to go on")

    def note_signal(self, number: int, frame: object) -> None:
        """Remember the signal; the loop saves after the step in progress."""
        self.stop_signal = number
