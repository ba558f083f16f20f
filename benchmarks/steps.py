"""Training steps of the package's own trainer, as a peer's work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.case import Peer, Setting, Work
from benchmarks.data import make_trainer, photographs

if TYPE_CHECKING:
    import numpy as np

    from vaeglow.training.trainer import Trainer

TRACED = 10  # losses kept of the first steps


def training_work(
    config: Mapping[str, Any],
    setting: Setting,
    images: np.ndarray | None = None,
    traced: int = TRACED,
    counted: bool = False,
) -> Work:
    """Whole training steps of a new model: data, forward, backward, clipping, optimiser.

    Args:
        config: the run's resolved config.
        setting: how.
        images: uint8 [N, C, H, W]; 256 crops of a photograph where None.
        traced: losses kept of the first steps, at least 1.
        counted: also count the floating-point operations and bytes of a step.

    Returns:
        Facts: `parameters`; `losses`, bits/dim of the first steps; `flops`, `bytes` and `matrix_rate` where counted.
    """
    trainer = make_trainer(config, photographs(256, 32) if images is None else images, setting)
    step = trainer_step(trainer)
    losses = numbers([step() for _ in range(traced)])
    facts: dict[str, Any] = {"parameters": parameters(trainer.model), "losses": losses}
    if counted:
        from benchmarks.counts import count, matrix_rate

        facts |= {**count(step), "matrix_rate": matrix_rate(trainer.device)}
    return Work(step, trainer.batch, facts)


# Ways of computing the same step, each beside the default: values of `training` in the config.
OPTIONS: dict[str, dict[str, Any]] = {
    "vaeglow-compiled": {"compile": True},
    "vaeglow-bf16": {"compile": True, "precision": "bf16"},
}


def optional_peers(build: Callable[..., Work]) -> list[Peer]:
    """A peer for each of `OPTIONS`.

    Args:
        build: takes the setting, and options as keywords.
    """
    return [Peer(name, name.replace("-", ", "), functools.partial(build, **values)) for name, values in OPTIONS.items()]


def parameters(model: Any) -> int:
    """How many numbers a module's parameters are."""
    return sum(parameter.numel() for parameter in model.parameters())


def trainer_step(trainer: Trainer) -> Callable[[], Any]:
    """A function that takes the trainer's next step and returns its loss, a scalar on the device."""
    from vaeglow.training.timing import all_batches

    upcoming = all_batches(trainer)

    def step() -> Any:
        sums: dict[str, Any] = {}
        number, index = next(upcoming)
        trainer.train_step(index, number, sums)
        return sums["bits_per_dim"]

    return step


def numbers(losses: list[Any]) -> list[float]:
    """Scalars on any device as numbers."""
    return [loss.detach().item() for loss in losses]


def require_falling(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Each peer's losses must be finite and end lower than they began.

    Raises:
        ValueError: they are not, or do not.
    """
    for peer, found in facts.items():
        losses = found["losses"]
        if not all(abs(loss) < float("inf") for loss in losses) or losses[-1] >= losses[0]:
            raise ValueError(f"{peer} does not learn: losses {', '.join(f'{loss:.4g}' for loss in losses)}")
