"""The one training loop, for every model (paper, sections 3.4 and 4.2).

Order, dequantisation and latent noise are functions of (seed, epoch, step), so an interrupted and resumed run
takes the very steps an undisturbed one takes.
"""

from __future__ import annotations

import signal
import time

import torch
from torch import Tensor

from vaeglow.data.loader import batches, epoch_order
from vaeglow.errors import Interrupted
from vaeglow.models import bounds
from vaeglow.signals import STOP, handled
from vaeglow.training.history import history_row, mean_of
from vaeglow.training.optimise import learning_rate
from vaeglow.training.position import Position
from vaeglow.training.progress import Progress
from vaeglow.training.rollback import Diverged, diverged, highest_loss
from vaeglow.training.start import Start
from vaeglow.training.state import pack

END_TOLERANCE = 0.02  # bits/dim that a finished model may be above its last epoch's mean
REPORT_EVERY = 20  # steps between looks at the device's counters on a GPU


class Trainer(Start):
    """Trains a model, with exact resume; its arguments are those of `Start`."""

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
        self.compile()
        done = (self.position.epoch * self.steps + self.position.step) * self.batch
        label = f"{self.config['model']} on {self.config['dataset']}, seed {self.seed}"
        events = self.tensorboard if self.team.first else None
        progress = Progress(label, self.training["epochs"], self.steps * self.batch, done, events, self.team.first)
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
                self.check_end()
        finally:
            progress.close()
        return self.position

    def run_epoch(self, progress: Progress) -> None:
        """The rest of the epoch in progress, then its history row."""
        here = self.position
        if here.step == 0 and self.good.due(here) and not self.guard.in_a_row.item():
            self.good.keep(here)
        self.limit = highest_loss(here.history, self.training["max_rise"])
        order = epoch_order(len(self.data), self.seed, here.epoch, self.device)
        sums = {name: torch.tensor(value, dtype=torch.float64, device=self.device) for name, value in here.sums.items()}
        self.clock, unreported = clocks(), 0
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
                self.count_time()
                if self.snapshots.due(done):  # before a checkpoint, which would skip it when resumed from
                    self.snapshots.take(done, self.model, here.seconds)
                if stop:
                    self.stop(stop)
                if save:
                    self.save()
                self.clock = clocks()
        self.count_time()
        here.sums = {name: value.item() for name, value in sums.items()}  # a signal while validating saves them
        rate, val = self.rate(self.steps - 1), self.validate(here.epoch + 1)
        here.history.append(history_row(here, sums, rate, self.steps, self.batch, self.model.dims, val))
        here.epoch, here.step, here.sums = here.epoch + 1, 0, {}
        progress.epoch_done(here.history[-1])

    def count_time(self) -> None:
        """Add the time since `clock` was set to that of training."""
        seconds, cpu_seconds = clocks()
        self.position.seconds += seconds - self.clock[0]
        self.position.cpu_seconds += cpu_seconds - self.clock[1]

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
        self.count_time()
        if len(self.position.rollbacks) >= self.training["rollbacks"]:
            raise error
        self.position = self.good.go_back(self.position)
        self.team.wait()  # before the first process removes what others have yet to read
        self.guard.reset(0)
        self.snapshots.drop_after(self.position.epoch * self.steps)
        self.save()
        self.good.prune(self.position)
        print(f"rolled back to epoch {self.position.epoch + 1}, rate now {self.rate(0):.3g}: {error}", flush=True)

    def check_end(self) -> None:
        """Set `end_bits_per_dim`, of the finished model on all training images; warn where its last steps were worse.

        A learning rate that does not fall to zero leaves the last steps' noise in the weights.
        """
        found = self.objective.validate(self.data.images.cpu().numpy(), self.device, self.stop_in_between)
        self.end_bits_per_dim, last = found, self.position.history[-1]["bits_per_dim"]
        line = f"finished model: {found:.4f} bits/dim on the training images, {last:.4f} the mean of its last epoch"
        if found > last + END_TOLERANCE:
            line += f": WARNING, more than {END_TOLERANCE} above it: let the rate end at zero (training.schedule: "
            line += "linear) and batch norm statistics keep up (network.batch_norm_momentum)"
        print(line, flush=True)

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
        self.team.wait()  # torchrun kills those who still save when another ends
        raise Interrupted(f"{signal.Signals(number).name}: state saved, run again to go on")

    def note_signal(self, number: int, frame: object) -> None:
        """Remember the signal; the loop saves after the step in progress."""
        self.stop_signal = number


def clocks() -> tuple[float, float]:
    """Seconds on the clock, and of this process's CPU time."""
    return time.perf_counter(), time.process_time()
