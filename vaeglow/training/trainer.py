"""The one training loop, for every model (paper, sections 3.4 and 4.2): its steps, states, rollbacks and history."""

import signal
import time
from math import ceil, inf, isfinite, nan
from pathlib import Path

import torch
from numpy import ndarray
from torch import Tensor

from vaeglow.data.loader import BEFORE_TRAINING, on_device
from vaeglow.distributed import Group
from vaeglow.errors import STOP, Interrupted, UserError, handled
from vaeglow.files import Facts
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import costs
from vaeglow.models.kinds import Config, unit
from vaeglow.models.network import full_precision
from vaeglow.training.checkpoint import GOOD_KEPT, GOOD_PER_RUN, Checkpoints, Position, pack, snapshot_steps, unpack
from vaeglow.training.optimise import Diverged
from vaeglow.training.progress import Progress
from vaeglow.training.step import TrainingStep
from vaeglow.weights import Tensors

END_TOLERANCE = 0.02  # bits/dim that a finished model may lie above its last epoch's mean
LOOK_EVERY = 20  # steps between looks at a GPU's counters, and at the clock; a CPU's are free


class Trainer(TrainingStep):
    """Trains a model, with exact resume.

    Args:
        model, config, train_images, device, group: see `TrainingStep`; the first process of a group writes.
        val_images: uint8 [N, C, H, W], may be memory-mapped.
        store: of the run's state, its lock held by the caller.
        save_seconds: state is saved at least that often, and at the end of the run.
        tensorboard: folder for event files, or None.

    Attributes:
        kept: the tensors of its snapshots so far, on the CPU: `{index}/{name}`.
        end_loss: of the finished model on all training images.

    Raises:
        UserError: images or processes that `config` needs are missing.
    """

    def __init__(
        self,
        model: GenerativeModel,
        config: Config,
        train_images: ndarray,
        val_images: ndarray,
        device: torch.device,
        store: Checkpoints,
        save_seconds: float,
        tensorboard: Path | None,
        group: Group,
    ) -> None:
        super().__init__(model, config, train_images, device, group)
        self.store = store
        self.save_seconds = save_seconds
        self.tensorboard = tensorboard
        if self.training["validate_every"]:
            if not len(val_images):
                raise UserError(f"training.validate_every is set but dataset {config['dataset']} has no val images")
            self.val_images = on_device(val_images, device)
        self.snapshots = snapshot_steps(self.training["snapshots"], self.training["epochs"] * self.steps)
        self.sums: Tensors = {}  # over the good steps of the epoch in progress, on the device
        self.kept: Tensors = {}
        self.end_loss = nan
        self.stop_signal = 0
        self.last_save = time.monotonic()

    @property
    def done(self) -> int:
        """Steps done so far."""
        return self.position.epoch * self.steps + self.position.step

    def run(self) -> Position:
        """Train to the last epoch, from a checkpoint where there is one.

        Raises:
            Interrupted: told to stop; the state is saved.
            Diverged: too many bad steps in a row, and no rollback is left; `position` is where.
            UserError: no checkpoint is complete.
        """
        self.start()
        if len(set(self.group.gather(self.done))) > 1:
            raise UserError(f"not all processes read the same {self.store.folder}: it must be one that all of them see")
        if self.group.first:  # from here on it alone uses the folder's files
            self.store.prune(self.done, self.position)
        self.count_time(training=False)
        self.compile()
        self.count_time()
        progress = Progress(
            self.config, self.steps * self.batch, self.done * self.batch, self.tensorboard, self.group.first
        )
        with handled(self.note_signal, (*STOP, signal.SIGINT)):
            while self.position.epoch < self.training["epochs"]:
                try:
                    self.run_epoch(progress)
                except Diverged as error:
                    if len(self.position.rollbacks) >= self.training["rollbacks"]:
                        raise
                    self.roll_back(error)
            self.position.good = []
            self.save()
            self.check_end()
        return self.position

    def note_signal(self, number: int, frame: object) -> None:
        """The loop saves after the step in progress."""
        self.stop_signal = number

    def start(self) -> None:
        """Load the newest state, or initialise the model from the first images."""
        loaded = self.store.load()
        if loaded is None:
            if any(self.store.folder.glob("*-*.safetensors")):
                print("the saved state belongs to another config, data or base: starting from scratch")
            self.initialise()
            return
        self.restore(*loaded)
        print(f"resuming at epoch {self.position.epoch + 1}, step {self.position.step}")

    def restore(self, tensors: Tensors, position: Position) -> None:
        """Continue from a state."""
        self.position = position
        self.kept = unpack(tensors, self.model, self.optimizer)
        self.guard.reset(position.bad_steps)

    def run_epoch(self, progress: Progress) -> None:
        """The rest of the epoch in progress, then its history row."""
        position = self.position
        self.keep_good_state()
        means = [row[self.objective] for row in position.history if isfinite(row[self.objective])]
        self.guard.limit = means[-1] + self.training["max_rise"] if means else inf
        self.sums = {
            name: torch.tensor(value, dtype=torch.float64, device=self.device) for name, value in position.sums.items()
        }
        self.count_time(training=False)
        for step, index in enumerate(self.epoch_batches(position.epoch)[position.step :], position.step):
            self.train_step(index, step, self.sums)
            position.step = step + 1
            stopped = self.stop_signal and self.group.size == 1  # all processes must do the same at the same time
            last = position.step == self.steps or self.done in self.snapshots.values()
            if stopped or last or position.step % LOOK_EVERY == 0 or self.device.type == "cpu":
                self.look(progress, step)
        self.count_time()
        every = self.training["validate_every"]
        due = every and (position.epoch + 1) % every == 0
        row = self.history_row(self.mean_loss(self.val_images) if due else None)
        position.history.append(row)
        position.epoch += 1
        position.step = 0
        self.sums = {}
        progress.epoch_done(row)

    def look(self, progress: Progress, step: int) -> None:
        """After a step of the epoch: check the losses so far, tell the progress, keep what is due, stop if asked to."""
        position = self.position
        overdue = time.monotonic() - self.last_save > self.save_seconds
        signals, votes_to_save = zip(*self.group.gather((self.stop_signal, overdue)), strict=True)
        stop = max(signals)
        after = f" after {len(position.rollbacks)} rollbacks" if position.rollbacks else ""
        self.guard.check(f"in epoch {position.epoch + 1}, at learning rate {self.rate(step):.3g}{after}")
        progress.advance(self.done * self.batch, position.epoch, mean_of(self.sums, self.objective))
        self.count_time()
        self.keep_snapshots()
        if stop or any(votes_to_save):
            self.save(stop)
        self.count_time(training=False)

    @torch.no_grad()
    def mean_loss(self, images: Tensor) -> float:
        """The mean `Kind.OBJECTIVE` of a split, its noise fixed by the seed; every process computes all of it."""
        self.model.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        with full_precision(self.model):
            for number, batch in enumerate(images.split(self.batch)):
                noise = self.noise(BEFORE_TRAINING, number * self.batch + 1)
                loss, _ = self.model.loss(self.inputs(batch, noise), noise)
                total += loss.double() * len(batch)
                if self.stop_signal and self.group.size == 1:  # several processes stop after a step only
                    self.save(self.stop_signal)
        self.model.train()
        return total.item() / len(images)

    def check_end(self) -> None:
        """Set `end_loss`; warn where the last steps' noise, at a rate above zero, has made the model worse."""
        self.end_loss = self.mean_loss(self.data)
        last = self.position.history[-1][self.objective]
        line = f"finished model: {self.end_loss:.4f} {unit(self.objective)} on the training images, "
        line += f"{last:.4f} the mean of its last epoch"
        if not self.end_loss <= last + END_TOLERANCE:  # also where one is NaN
            line += ": WARNING: let the rate end at zero (training.schedule: linear) or, "
            line += "of a VAE, raise network.batch_norm_momentum"
        print(line)

    def keep_snapshots(self) -> None:
        """Keep the current weights for each snapshot that is due."""
        for index, (fraction, step) in enumerate(self.snapshots.items()):
            if step == self.done:
                self.position.snapshots.append({"fraction": fraction, "epoch": step / self.steps, "step": step})
                weights = self.model.state_dict().items()
                self.kept |= {f"{index}/{name}": tensor.to("cpu", copy=True) for name, tensor in weights}

    def save(self, stop: int = 0) -> None:
        """Save the state; then, if `stop` is a signal's number, raise `Interrupted`."""
        self.position.bad_steps = int(self.guard.in_a_row)
        self.position.sums = {name: value.item() for name, value in self.sums.items()}
        if self.group.first:
            self.store.save(self.done, self.position, pack(self.model, self.optimizer, self.kept))
        self.last_save = time.monotonic()
        if stop:
            self.group.gather()  # the others are ended when one has: not before the first has saved
            raise Interrupted(f"{signal.Signals(stop).name}: state saved, run again to resume")

    def keep_good_state(self) -> None:
        """Between two epochs, when one is due, save a state that a rollback may return to."""
        position = self.position
        every = ceil(self.training["epochs"] / GOOD_PER_RUN)
        if not self.training["rollbacks"] or position.step or position.epoch % every:
            return
        kept = any(steps >= self.done for _, steps in position.good)
        if not kept and not self.guard.in_a_row.item():
            position.good = [*position.good, [len(position.rollbacks), self.done]][-GOOD_KEPT:]
            self.save()

    def roll_back(self, why: Diverged) -> None:
        """Go back to a good state; from there on the learning rate is lower."""
        self.count_time()
        self.restore(*self.store.go_back(self.position))
        self.group.gather()  # before the first process removes what others have not read yet
        self.sums = {}
        self.save()
        print(f"rolled back to epoch {self.position.epoch + 1}, rate now {self.rate(0):.3g}: {why}")

    def count_time(self, training: bool = True) -> None:
        """Add the time since the last call to the training time, or discard it."""
        now = time.perf_counter()
        cpu_now = time.process_time()
        if training:
            self.position.seconds += now - self.counted
            self.position.cpu_seconds += cpu_now - self.cpu_counted
        self.counted = now
        self.cpu_counted = cpu_now

    def history_row(self, validated: float | None) -> Facts:
        """An epoch's means over its good steps, rate and speed; `validated`: bits/dim on the val split, or None."""
        position = self.position
        seconds = position.seconds
        if position.history:
            seconds -= position.history[-1]["seconds"]
        means = {name: mean_of(self.sums, name) for name in self.sums if name != "steps"}
        objective = means.pop(self.objective)
        norm = means.pop("gradient_norm")
        return {
            "epoch": position.epoch + 1,
            self.objective: objective,
            **{f"{name}_bits_per_dim": cost for name, cost in costs(means, self.model.dims).items()},
            "learning_rate": self.rate(self.steps - 1),
            "gradient_norm": norm,
            "skipped_steps": self.steps - int(self.sums["steps"].item()),
            "images_per_second": self.steps * self.batch / max(seconds, 1e-9),
            "seconds": position.seconds,
            f"val_{self.objective}": validated,
        }


def mean_of(sums: Tensors, name: str) -> float:
    """The mean of a summed value over the epoch's good steps; NaN before the first."""
    return (sums[name] / sums["steps"]).item()
