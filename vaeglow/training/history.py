"""The row of numbers that an epoch leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vaeglow.models import bounds
from vaeglow.training.position import Position


def history_row(
    here: Position,
    sums: Mapping[str, Tensor],
    rate: float,
    steps: int,
    batch: int,
    dims: int,
    validated: float | None,
) -> dict[str, Any]:
    """An epoch's means: bits/dim and its terms in bits/dim, learning rate, gradient norm, speed.

    Args:
        here: at the epoch's end, its row not yet in the history.
        sums: of the epoch's finite steps.
        rate: the learning rate of its last step.
        steps: in an epoch.
        batch: images a step.
        dims: D, the number of values in an image.
        validated: bits/dim on the val split, where measured.
    """
    seconds = here.seconds - (here.history[-1]["seconds"] if here.history else 0.0)
    others = ("bits_per_dim", "gradient_norm", "steps")
    terms = {name: mean_of(sums, name) for name in sums if name not in others}
    return {
        "epoch": here.epoch + 1,
        "bits_per_dim": mean_of(sums, "bits_per_dim"),
        **{f"{name}_bits_per_dim": cost for name, cost in bounds.costs(terms, dims).items()},
        "learning_rate": rate,
        "gradient_norm": mean_of(sums, "gradient_norm"),
        "skipped_steps": steps - int(sums["steps"].item()),
        "images_per_second": steps * batch / max(seconds, 1e-9),
        "seconds": here.seconds,
        "val_bits_per_dim": validated,
    }


def mean_of(sums: Mapping[str, Tensor], name: str) -> float:
    """The mean of a summed value over the epoch's finite steps; NaN before the first."""
    return (sums[name] / sums["steps"]).item()
