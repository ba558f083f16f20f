"""Progress of a training: occasional lines on the terminal, one line per epoch in the log, TensorBoard."""

import os
from pathlib import Path

from vaeglow.config.registry import kinds_of
from vaeglow.errors import UserError
from vaeglow.models.kinds import Config, unit
from vaeglow.progress import TERMINAL, Lines
from vaeglow.time_left import RUN_LABEL, duration, time_left
from vaeglow.training import reference

FIRST = 5.0  # seconds to the first line


class Progress(Lines):
    """Prints bits/dim and the time left: occasionally on the terminal, after each epoch in the log.

    Args:
        config: of the run.
        images_per_epoch: how many are seen in one.
        done: images already seen, when resuming.
        tensorboard: folder for event files, or None.
        first: whether this process prints for all that train the run.

    Raises:
        UserError: TensorBoard is requested and not installed.
    """

    def __init__(self, config: Config, images_per_epoch: int, done: int, tensorboard: Path | None, first: bool) -> None:
        super().__init__(RUN_LABEL.format(**config), FIRST, shown=first)
        self.config = config
        self.epochs = config["training"]["epochs"]
        self.objective = kinds_of("models")[config["kind"]].OBJECTIVE
        self.unit = unit(self.objective)
        self.total = self.epochs * images_per_epoch
        self.done = done
        self.seen = 0
        self.writer = None
        if tensorboard and first:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise UserError(
                    "runtime.tensorboard is true but TensorBoard is missing: pip install -e '.[tensorboard]'"
                ) from None
            self.writer = SummaryWriter(str(tensorboard))

    def advance(self, done: int, epoch: int, loss: float) -> None:
        """Note how many images of the run are done (fewer than before after a rollback); print it occasionally."""
        self.seen += max(done - self.done, 0)
        self.done = done
        if not self.is_due():
            return
        left = self.takes(self.total - self.done)
        parts = [f"epoch {epoch + 1}/{self.epochs}", f"{loss:.2f} {self.unit}", f"{duration(left)} left"]
        if TERMINAL in os.environ:
            parts.append(time_left(self.label, seconds=self.takes(self.total), left=left))
        self.tell(*filter(None, parts))

    def takes(self, images: int) -> float:
        """The seconds for so many, at this process's own speed so far, time between steps included."""
        return images * self.seconds() / max(self.seen, 1)

    def epoch_done(self, row: Config) -> None:
        """Print an epoch's line, and write its numbers for TensorBoard."""
        epoch = row["epoch"]
        loss = row[self.objective]
        validated = row[f"val_{self.objective}"]
        skipped = row["skipped_steps"]
        parts = [
            f"epoch {epoch}/{self.epochs}",
            f"{loss:.4f} {self.unit}",
            "" if validated is None else f"val {validated:.4f}",
            f"lr {row['learning_rate']:.2e}",
            f"{row['images_per_second']:.1f} img/s",
            f"{row['seconds']:.0f} s in all",
            f"{duration(self.takes(self.total - self.done))} left",
            f"({skipped} bad steps skipped)" if skipped else "",
        ]
        print("  ".join(filter(None, parts)) + reference.note(self.config, epoch, loss), flush=True)
        if epoch == self.epochs:
            self.tell("all epochs done", f"{loss:.2f} {self.unit}", duration(row["seconds"]))
        if self.writer is not None:
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    self.writer.add_scalar(name, value, epoch)
            self.writer.flush()
