"""The one training loop, for every model (paper, sections 3.4 and 4.2).

Order, dequantisation and latent noise are functions of (seed, epoch, step), so an interrupted and resumed run
takes the very steps an undisturbed one takes.
"""

from __future__ import annotations

import inspect
import math
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vaeglow.data.loader import (
    BEFORE_TRAINING,
    KEPT_INPUTS,
    DataOnDevice,
    batch_count,
    batches,
    dequantise,
    epoch_order,
    step_generator,
)
from vaeglow.device import image_layout
from vaeglow.distributed import ALONE, Group
from vaeglow.errors import Interrupted, UserError
from vaeglow.models import bounds
from vaeglow.models.base import GenerativeModel
from vaeglow.models.network import exact, share_batch_norms
from vaeglow.signals import STOP, handled
from vaeglow.training.checkpoint import GOOD, POINTS, Checkpoints, Position, snapshot_steps, unpack
from vaeglow.training.optimise import Guard, build_optimizer, learning_rate
from vaeglow.training.progress import Progress
from vaeglow.training.speed import compile_mode, compile_networks, must_fit, set_precision

INITIAL_IMAGES = 256  # for data-dependent initialisation, as in Glow's source
END_TOLERANCE = 0.02  # bits/dim that a finished model may be above its last epoch's mean
REPORT_EVERY = 20  # steps between looks at the device's counters on a GPU


class Diverged(UserError):
    """The loss was lost for too many steps in a row. What the user reads of it, once no rollback is left."""


class Trainer:
    """Trains a model, with exact resume.

    Args:
        model: with the base's weights loaded, if it has a base.
        config: its resolved config.
        train_images: uint8 [N, C, H, W], may be memory-mapped.
        val_images: for `validate_every`.
        device: where to train.
        store: of the run's state, its lock held by the caller; None where only single steps are taken.
        save_seconds: state is saved at least that often, and at the end of the run.
        tensorboard: folder for event files, or None.
        group: the processes that train together, each with a trainer of its own; the first one's writes.
    """

    def __init__(
        self,
        model: GenerativeModel,
        config: Mapping[str, Any],
        train_images: np.ndarray,
        val_images: np.ndarray,
        device: torch.device,
        store: Checkpoints | None = None,
        save_seconds: float = math.inf,
        tensorboard: str | Path | None = None,
        group: Group = ALONE,
    ) -> None:
        self.config, self.training, self.seed, self.group = config, config["training"], config["seed"], group
        self.device, self.store, self.save_seconds, self.tensorboard = device, store, save_seconds, tensorboard
        self.data = DataOnDevice(train_images, device, config["data"]["train_subset"])
        self.train_images, self.val_images = train_images[: len(self.data)], val_images
        if self.training["validate_every"] and not len(val_images):
            raise UserError(f"training.validate_every is set but dataset {config['dataset']} has no val images")
        self.layout = image_layout(device)
        self.model = model.to(device, memory_format=self.layout).train()
        set_precision(self.model, self.training)
        if group.size > 1:
            share_batch_norms(self.model, group.size)
        self.shared: DistributedDataParallel | None = None
        self.optimizer = build_optimizer(model.trainable(), self.training)
        self.guard = Guard(self.model, self.optimizer, self.training["gradient_clip"], device)
        self.batch = min(self.training["batch_size"], len(self.data))
        self.steps = batch_count(len(self.data), self.batch)  # in an epoch
        if self.batch % group.size:
            raise UserError(
                f"training.devices is {group.size}, which does not divide the batch of {self.batch} images: change "
                "training.devices or training.batch_size"
            )
        self.kept: Tensor | None = None  # the inputs of all images, for a model with `inputs_last`
        self.snapshots = snapshot_steps(self.training["snapshots"], self.training["epochs"] * self.steps)
        self.limit = math.inf  # bits/dim above which a step is bad
        self.position = Position()
        self.end_bits_per_dim = math.nan  # of the finished model on all training images
        self.stop_signal = 0
        self.last_save = time.monotonic()

    @property
    def done(self) -> int:
        """Steps behind the run."""
        return self.position.epoch * self.steps + self.position.step

    def run(self) -> Position:
        """Train to the last epoch, from a checkpoint where there is one.

        Raises:
            Interrupted: told to stop; the state is saved.
            Diverged: the loss was lost, and no rollback is left; `position` is where.
            UserError: no checkpoint is whole.
        """
        if self.group.first:
            self.start()
        self.group.gather()  # the first process before the others: none reads a file that another writes
        if not self.group.first:
            self.start()
        if len(set(self.group.gather(self.done))) > 1:
            raise UserError(
                f"not all processes read the same {self.store.folder}: it must lie where all of them see it"
            )
        self.share()
        if self.position.epoch >= self.training["epochs"]:
            print(f"all {self.position.epoch} epochs are done: only writing the results", flush=True)
        self.compile()
        label = f"{self.config['model']} on {self.config['dataset']}, seed {self.seed}"
        images, events = self.steps * self.batch, self.tensorboard if self.group.first else None
        progress = Progress(label, self.training["epochs"], images, self.done * self.batch, events, self.group.first)
        try:
            with handled(self.note_signal, (*STOP, signal.SIGINT)):
                while self.position.epoch < self.training["epochs"]:
                    try:
                        self.run_epoch(progress)
                    except Diverged as error:
                        self.roll_back(error)
                        progress.back_to(self.done * self.batch)
                self.position.good = []
                self.save()
                self.check_end()
        finally:
            progress.close()
        return self.position

    def start(self) -> None:
        """Load the newest state, or initialise the model from the first images."""
        loaded = self.store.load()
        if loaded is None:
            if any(self.store.folder.glob("*-*.safetensors")):
                print("the saved state belongs to another config, data or base: starting anew", flush=True)
            self.initialise()
            return
        tensors, self.position = loaded
        unpack(tensors, self.model, self.optimizer)
        self.guard.reset(self.position.bad_steps)
        if self.group.first:
            self.store.prune(self.done, self.position)
        print(f"resuming at epoch {self.position.epoch + 1}, step {self.position.step}", flush=True)

    def initialise(self, images: int = INITIAL_IMAGES) -> None:
        """Set the model's data-dependent values from the first `images` images."""
        generator = step_generator(self.seed, BEFORE_TRAINING, 0, self.device)
        self.model.initialise(self.noisy(self.data.images[:images], generator))

    def share(self) -> None:
        """Average gradients over the processes from now on; the first one's weights become everyone's."""
        if self.group.size > 1:
            known = inspect.signature(DistributedDataParallel).parameters  # newer versions of torch renamed the option
            buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
            # off: buffers are everyone's own, and the batch norms share their statistics themselves
            self.shared = DistributedDataParallel(Loss(self.model), **{buffers: False})

    def compile(self) -> None:
        """Compile the networks if the run asks for it, which counts as training; settle DDP where several train."""
        mode = compile_mode(self.training, self.device)
        if mode is not None:
            cpu = time.process_time()
            seconds = compile_networks(self.model, mode, self.rehearse, self.group.size == 1)
            self.position.seconds += seconds
            self.position.cpu_seconds += time.process_time() - cpu
            self.position.compile_seconds += seconds
        elif self.group.size > 1:
            self.rehearse()  # after its first pass DDP sums gradients in another order: a resumed run, too, from step 1

    def rehearse(self) -> None:
        """Forward and backward pass on the first batch, as if they had not been."""
        order = epoch_order(len(self.data), self.seed, 0, self.device)
        self.guard.before_forward()
        try:
            self.gradients(order[: self.batch], 0, 0)
        finally:
            self.guard.forget()

    def run_epoch(self, progress: Progress) -> None:
        """The rest of the epoch in progress, then its history row."""
        here = self.position
        self.keep_good_state()
        self.limit = highest_loss(here.history, self.training["max_rise"])
        order = epoch_order(len(self.data), self.seed, here.epoch, self.device)
        sums = {name: torch.tensor(value, dtype=torch.float64, device=self.device) for name, value in here.sums.items()}
        self.clock, unreported = clocks(), 0
        for step, index in enumerate(batches(order, self.batch)):
            if step < here.step:
                continue
            self.train_step(index, step, sums)
            here.step, unreported = step + 1, unreported + 1
            look = unreported == REPORT_EVERY or here.step == self.steps or self.device.type == "cpu"
            stop, save = self.wanted(look)
            if save or look:
                self.check()
                progress.advance(unreported * self.batch, here.epoch, mean_of(sums, "bits_per_dim"))
                unreported = 0
            snapshot = self.done in self.snapshots.values()
            if save or snapshot:
                here.sums = {name: value.item() for name, value in sums.items()}  # waits for the device
                self.count_time()
                if snapshot and self.group.first:  # before a state, which would skip it when resumed from
                    self.store.take_snapshot(self.done, self.model, here.seconds)
                if stop:
                    self.stop(stop)
                if save:
                    self.save()
                self.clock = clocks()
        self.count_time()
        here.sums = {name: value.item() for name, value in sums.items()}  # a signal while validating saves them
        every = self.training["validate_every"]
        validated = self.bits_per_dim(self.val_images) if every and (here.epoch + 1) % every == 0 else None
        here.history.append(self.history_row(sums, validated))
        here.epoch, here.step, here.sums = here.epoch + 1, 0, {}
        progress.epoch_done(here.history[-1])

    def train_step(self, index: Tensor, step: int, sums: dict[str, Tensor]) -> None:
        """One update with the images at `index`; its numbers are added to `sums` on the device."""
        rate = self.rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.guard.before_forward()
        loss, terms = self.gradients(index, self.position.epoch, step)
        bound = loss
        if self.training["kl_weight"] != 1:  # reported is the bound, whatever was minimised
            bound = bounds.bits_per_dim(bounds.total(terms), self.model.dims, self.model.levels)
        good, norm = self.guard.step(loss, bound <= self.limit)
        values = {"bits_per_dim": bound, **terms, "gradient_norm": norm, "steps": torch.ones_like(norm)}
        for name, value in values.items():
            kept = torch.where(good, value, 0).double()
            sums[name] = sums[name] + kept if name in sums else kept

    def gradients(self, index: Tensor, epoch: int, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The gradients of a batch (`index`, int64 [B], of its images); its loss and the bound's terms.

        Raises:
            UserError: out of memory.
        """
        with must_fit(self.model, self.config, len(index)):
            inputs, generator = self.inputs(index, epoch, step)
            compute = self.shared or self.model.loss
            loss, terms = compute(inputs, generator, self.training["kl_weight"])
            loss.backward()
        means = self.group.mean({"": loss.detach(), **terms})
        return means.pop(""), means

    def rate(self, step: int) -> float:
        """The learning rate at a step of the epoch in progress; each rollback behind the run lowered it."""
        scheduled = learning_rate(self.training, self.position.epoch, step, self.steps)
        return scheduled * self.training["rollback_factor"] ** len(self.position.rollbacks)

    def noisy(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Dequantised images y [N, C, H, W] of uint8 images."""
        return dequantise(images, self.model.levels, generator).contiguous(memory_format=self.layout)

    def inputs(self, index: Tensor, epoch: int, step: int) -> tuple[Tensor, torch.Generator]:
        """What the loss takes of this process's part of a batch, and the generator of the step's other noise."""
        generator = step_generator(self.seed, epoch, step, self.device)
        generator.rank, generator.ranks = self.group.rank, self.group.size
        index = index.chunk(self.group.size)[self.group.rank]
        if not self.model.inputs_last:
            return self.model.inputs(self.noisy(self.data.batch(index), generator), generator), generator
        if self.kept is None:
            self.kept = self.all_inputs()
        return self.kept.index_select(0, index), generator

    @torch.no_grad()
    def all_inputs(self) -> Tensor:
        """The inputs of all images, in their order, their noise drawn once for all."""
        parts = []
        for number, images in enumerate(self.data.images.split(self.batch)):
            generator = step_generator(self.seed, KEPT_INPUTS, number, self.device)
            parts.append(self.model.inputs(self.noisy(images, generator), generator))
        return torch.cat(parts)

    @torch.no_grad()
    def bits_per_dim(self, images: np.ndarray) -> float:
        """Bits/dim of a split (uint8 [N, C, H, W]), its noise fixed by the seed; processes take turns at its batches.

        Raises:
            Interrupted: told to stop; the state is saved. Several processes stop after a step only.
        """
        self.model.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        try:
            with exact(self.model):
                for number, start in enumerate(range(0, len(images), self.batch)):
                    if number % self.group.size != self.group.rank:
                        continue
                    batch = torch.from_numpy(np.array(images[start : start + self.batch])).to(self.device)
                    generator = step_generator(self.seed, BEFORE_TRAINING, start + 1, self.device)
                    loss, _ = self.model.loss(self.model.inputs(self.noisy(batch, generator), generator), generator)
                    total += loss.double() * len(batch)
                    if self.stop_signal and self.group.size == 1:
                        self.stop(self.stop_signal)
        finally:
            self.model.train()
        return self.group.size * self.group.mean({"": total})[""].item() / len(images)

    def check_end(self) -> None:
        """Set `end_bits_per_dim`, of the finished model on all training images; warn where its last steps were worse.

        A learning rate that does not fall to zero leaves the last steps' noise in the weights.
        """
        found, last = self.bits_per_dim(self.train_images), self.position.history[-1]["bits_per_dim"]
        self.end_bits_per_dim = found
        line = f"finished model: {found:.4f} bits/dim on the training images, {last:.4f} the mean of its last epoch"
        if found > last + END_TOLERANCE:
            line += f": WARNING, more than {END_TOLERANCE} above it: let the rate end at zero (training.schedule: "
            line += "linear) and batch norm statistics keep up (network.batch_norm_momentum)"
        print(line, flush=True)

    def wanted(self, look: bool) -> tuple[int, bool]:
        """The signal to stop at, or 0, and whether to save now.

        Args:
            look: whether this is a step at which all processes ask each other: what one wants, all must do at once.
        """
        if self.group.size > 1 and not look:
            return 0, False
        due = time.monotonic() - self.last_save > self.save_seconds
        stop, save = map(max, zip(*self.group.gather((self.stop_signal, due)), strict=True))
        return stop, bool(stop or save)

    def save(self) -> None:
        """Write the state."""
        self.position.bad_steps = int(self.guard.in_a_row)
        if self.group.first:
            self.store.save(self.done, self.position, self.model, self.optimizer)
        self.last_save = time.monotonic()

    def stop(self, number: int) -> None:
        """Save, and say so.

        Raises:
            Interrupted: always.
        """
        self.save()
        self.group.gather()  # the others are ended when one has: not before the first has saved
        raise Interrupted(f"{signal.Signals(number).name}: state saved, run again to go on")

    def note_signal(self, number: int, frame: object) -> None:
        """Remember the signal; the loop saves after the step in progress."""
        self.stop_signal = number

    def keep_good_state(self) -> None:
        """Between two epochs, when one is due, save a state that a rollback may go back to."""
        here, every = self.position, math.ceil(self.training["epochs"] / POINTS)
        due = self.training["rollbacks"] and here.step == 0 and here.epoch % every == 0
        if due and not (here.good and here.good[-1][1] >= self.done) and not self.guard.in_a_row.item():
            here.good = [*here.good, [len(here.rollbacks), self.done]][-GOOD:]
            self.save()

    def check(self) -> None:
        """Stop after too many bad steps in a row.

        Raises:
            Diverged: says where, and what to try.
        """
        here, training = self.position, self.training
        if self.guard.most.item() < training["max_bad_steps"]:
            return
        above = "" if math.isinf(self.limit) else f", or the loss above {self.limit:.6g} bits/dim,"
        after = f" after {len(here.rollbacks)} rollbacks" if here.rollbacks else ""
        raise Diverged(
            f"{self.config['model']}: loss or gradient was not finite{above} for {training['max_bad_steps']} steps in "
            f"a row in epoch {here.epoch + 1}, at learning rate {self.rate(here.step - 1):.3g}{after}: lower "
            "training.learning_rate or training.gradient_clip, or raise training.warmup_epochs"
        )

    def roll_back(self, error: Diverged) -> None:
        """Go back to a good state; from there on the learning rate is lower.

        Raises:
            Diverged: the given one, when as many rollbacks as allowed are behind the run.
        """
        self.count_time()
        if len(self.position.rollbacks) >= self.training["rollbacks"]:
            raise error
        tensors, self.position = self.store.go_back(self.position)
        unpack(tensors, self.model, self.optimizer)
        self.group.gather()  # before the first process removes what others have yet to read
        self.guard.reset(0)
        self.save()
        print(f"rolled back to epoch {self.position.epoch + 1}, rate now {self.rate(0):.3g}: {error}", flush=True)

    def count_time(self) -> None:
        """Add the time since `clock` was set to that of training."""
        seconds, cpu_seconds = clocks()
        self.position.seconds += seconds - self.clock[0]
        self.position.cpu_seconds += cpu_seconds - self.clock[1]

    def history_row(self, sums: Mapping[str, Tensor], validated: float | None) -> dict[str, Any]:
        """An epoch's means over its finite steps: bits/dim and its terms in bits/dim, gradient norm; rate, speed.

        Args:
            sums: of the epoch, which is not yet in the history.
            validated: bits/dim on the val split, where measured.
        """
        here = self.position
        seconds = here.seconds - (here.history[-1]["seconds"] if here.history else 0.0)
        others = ("bits_per_dim", "gradient_norm", "steps")
        terms = {name: mean_of(sums, name) for name in sums if name not in others}
        return {
            "epoch": here.epoch + 1,
            "bits_per_dim": mean_of(sums, "bits_per_dim"),
            **{f"{name}_bits_per_dim": cost for name, cost in bounds.costs(terms, self.model.dims).items()},
            "learning_rate": self.rate(self.steps - 1),
            "gradient_norm": mean_of(sums, "gradient_norm"),
            "skipped_steps": self.steps - int(sums["steps"].item()),
            "images_per_second": self.steps * self.batch / max(seconds, 1e-9),
            "seconds": here.seconds,
            "val_bits_per_dim": validated,
        }


class Loss(nn.Module):
    """A model's loss as a forward pass, which is what DistributedDataParallel wraps."""

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """See `GenerativeModel.loss`."""
        return self.model.loss(*arguments)


def highest_loss(history: list[dict[str, Any]], max_rise: float) -> float:
    """Bits/dim above which a step is bad: `max_rise` above the mean of the last epoch that had one."""
    means = [row["bits_per_dim"] for row in history if math.isfinite(row["bits_per_dim"])]
    return means[-1] + max_rise if means else math.inf


def mean_of(sums: Mapping[str, Tensor], name: str) -> float:
    """The mean of a summed value over the epoch's finite steps; NaN before the first."""
    return (sums[name] / sums["steps"]).item()


def clocks() -> tuple[float, float]:
    """Seconds on the clock, and of this process's CPU time."""
    return time.perf_counter(), time.process_time()
