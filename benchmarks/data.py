"""Images, runs and trainers that the cases share. Everything is made on the spot: nothing is downloaded."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from benchmarks.case import Setting
from vaeglow.config import merge, resolve

if TYPE_CHECKING:
    from vaeglow.training.trainer import Trainer

ROOT = Path(__file__).parents[1]


@functools.cache
def photographs(count: int, side: int) -> np.ndarray:
    """Random crops of a photograph inside the scikit-image wheel, uint8 [count, 3, side, side]; always the same."""
    from skimage import data

    picture, random = data.astronaut(), np.random.default_rng(0)
    corners = random.integers(0, len(picture) - side, (count, 2))
    return np.stack([picture[y : y + side, x : x + side].transpose(2, 0, 1) for y, x in corners])


def run_config(
    model: str, change: Mapping[str, Any] | None = None, preset: str = "paper", **training: Any
) -> dict[str, Any]:
    """The resolved config of a run on 32x32 images with 3 channels.

    Args:
        model: a name in `models` of config/config.yaml.
        change: on top of that file's values, with the keys of a preset.
        preset: whose values.
        **training: on top of the run's own training values.
    """
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    config = merge(config, {"overrides": change or {}})
    resolved = resolve(config, preset, "cifar10", model, seed=0)
    return {**resolved, "training": {**resolved["training"], "snapshots": [], **training}}


def make_trainer(config: Mapping[str, Any], images: np.ndarray, setting: Setting, memory: str = "stored") -> Trainer:
    """The package's own trainer of a new model, initialised from a batch, as step `time_epoch` makes it."""
    from vaeglow.device import pick_device
    from vaeglow.models.build import build
    from vaeglow.training.optimise import set_memory
    from vaeglow.training.trainer import Trainer

    model = build(config)
    set_memory(model, memory)
    trainer = Trainer(model, config, images, images[:0], pick_device(setting.device))
    trainer.initialise(trainer.batch)
    trainer.compile()  # nothing unless the config asks for it
    return trainer
