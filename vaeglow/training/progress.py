"""What a user sees while a model trains: a bar on a terminal, one line an epoch in a log, TensorBoard if asked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vaeglow.errors import UserError


class Progress:
    """Bar with bits/dim, images/s and the time left; silent where the output is no terminal.

    Args:
        label: what is trained.
        epochs: in all.
        images_per_epoch: counted by the bar.
        done: images already seen, when resuming.
        tensorboard: folder for event files, or None.
    """

    def __init__(
        self, label: str, epochs: int, images_per_epoch: int, done: int, tensorboard: str | Path | None
    ) -> None:
        self.epochs = epochs
        self.bar = tqdm(
            total=epochs * images_per_epoch, initial=done, desc=label, unit="img", unit_scale=True, disable=None
        )
        self.writer = open_tensorboard(tensorboard) if tensorboard else None

    def advance(self, images: int, epoch: int, bits_per_dim: float) -> None:
        """Move the bar by `images`."""
        self.bar.update(images)
        self.bar.set_postfix_str(f"epoch {epoch + 1}/{self.epochs}, {bits_per_dim:.3f} bits/dim", refresh=False)

    def back_to(self, images: int) -> None:
        """Set the bar back to so many images, after a rollback."""
        self.bar.n = images
        self.bar.refresh()

    def epoch_done(self, row: Mapping[str, Any]) -> None:
        """Print an epoch's line and pass its numbers on to TensorBoard."""
        line = f"epoch {row['epoch']}/{self.epochs}  {row['bits_per_dim']:.4f} bits/dim"
        if row["val_bits_per_dim"] is not None:
            line += f"  val {row['val_bits_per_dim']:.4f}"
        line += f"  lr {row['learning_rate']:.2e}  {row['images_per_second']:.1f} img/s  {row['seconds']:.0f} s in all"
        if row["skipped_steps"]:
            line += f"  ({row['skipped_steps']} bad steps skipped)"
        tqdm.write(line)
        sys.stdout.flush()  # tqdm leaves that out: in a log file the line would wait for kilobytes of others
        if self.writer is not None:
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    self.writer.add_scalar(name, value, row["epoch"])
            self.writer.flush()

    def close(self) -> None:
        """End the bar and the event file."""
        self.bar.close()
        if self.writer is not None:
            self.writer.close()


def open_tensorboard(folder: str | Path) -> Any:
    """A TensorBoard writer.

    Raises:
        UserError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "runtime.tensorboard is true but TensorBoard is missing: pip install -e '.[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder))
