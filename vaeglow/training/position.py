"""Where a run stands: all of it is in a checkpoint, beside the tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Position:
    """Where a run stands; JSON-able by `vars`."""

    epoch: int = 0
    step: int = 0  # within the epoch
    seconds: float = 0.0  # spent in training steps and compilation, over all attempts; not in what a rollback gave up
    cpu_seconds: float = 0.0  # of this process meanwhile, the first where several train
    compile_seconds: float = 0.0  # of those, in compilation
    history: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, float] = field(default_factory=dict)  # of the epoch in progress
    bad_steps: int = 0  # in a row, up to here
    good: list[list[int]] = field(default_factory=list)  # states that may be gone back to (rollback.py), oldest first
    rollbacks: list[dict[str, Any]] = field(default_factory=list)  # behind the run: from where to where, seconds lost
