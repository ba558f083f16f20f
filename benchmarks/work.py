"""What the cases share: images, configs, trainers and their steps. Nothing is downloaded."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Peer, Setting, Work
from vaeglow.config import merge, read_config, resolve

ROOT = Path(__file__).parents[1]
TRACED = 10  # losses kept of the first steps
SMALL_VAE = {"vae": {"network": {"base_dim": 4, "fc_dim": 16}, "prior": {"layers": 2, "width": 8}}}
OPTIONS: dict[str, dict[str, Any]] = {  # ways of computing the same step: values of `training` in the config
    "vaeglow": {},
    "vaeglow-compiled": {"compile": True},
    "vaeglow-bf16": {"compile": True, "precision": "bf16"},
}


def photographs(count: int = 256, side: int = 32, seed: int = 0) -> np.ndarray:
    """Random crops of a photograph inside the scikit-image wheel, uint8 [count, 3, side, side]; always the same."""
    from skimage import data

    picture = data.astronaut()
    corners = np.random.default_rng(seed).integers(0, len(picture) - side, (count, 2))
    return np.stack([picture[y : y + side, x : x + side].transpose(2, 0, 1) for y, x in corners])


@functools.cache
def random_inception() -> dict[str, Any]:
    """Random weights of the Inception network: activations stay of order one, and its batch norms do something."""
    import torch
    from torchvision.models import inception_v3

    from vaeglow.evaluation.inception import PARTS

    weights = {}
    generator = torch.Generator().manual_seed(0)
    # torchvision's network has tensors of the same names and shapes as pytorch-fid's
    for name, tensor in inception_v3(weights=None, aux_logits=False, init_weights=False).state_dict().items():
        if name.endswith(PARTS):
            noise = torch.randn(tensor.shape, generator=generator)
            scale = (2 / tensor[0].numel()) ** 0.5 if name.endswith("conv.weight") else 0.1
            weights[name] = scale * noise + name.endswith(("bn.weight", "running_var"))
    return weights


def shipped_config() -> dict[str, Any]:
    """The content of config/, as the workflow loads it."""
    return read_config((ROOT / "config").joinpath)


def run_config(model: str, change: Mapping[str, Any], preset: str = "paper", **training: Any) -> dict[str, Any]:
    """The resolved config of a run on 32x32 images with 3 channels.

    Args:
        model: a name in config/models.yaml.
        change: on top of the shipped `models`.
        preset: in config.
        **training: on top of the run's own training values.
    """
    config = merge(shipped_config(), {"overrides": {"models": change}})
    resolved = resolve(config, preset, "cifar10", model, seed=0)
    return {**resolved, "training": {**resolved["training"], "snapshots": [], **training}}


def make_trainer(
    config: Mapping[str, Any], setting: Setting, images: np.ndarray | None = None, memory: str = "stored"
) -> Any:
    """The package's own `TrainingStep` of a new model, initialised from a batch, as step `time_epoch` makes it.

    Args: `images` are `photographs` where None; for `memory` see `runtime.memory` in the config.
    """
    from vaeglow.device import pick_device
    from vaeglow.models.base import build
    from vaeglow.training.optimise import recompute_activations
    from vaeglow.training.step import TrainingStep

    model = build(config)
    recompute_activations(model, memory == "checkpoint")
    trainer = TrainingStep(model, config, photographs() if images is None else images, pick_device(setting.device))
    trainer.initialise(trainer.batch)
    trainer.compile()  # nothing unless the config asks for it
    return trainer


def all_batches(trainer: Any) -> Iterator[tuple[int, Any]]:
    """(step, index) of the batches of epoch after epoch."""
    for epoch in itertools.count():
        yield from enumerate(trainer.epoch_batches(epoch))


def training_work(
    config: Mapping[str, Any], setting: Setting, traced: int = TRACED, counted: bool = False, **trainer: Any
) -> Work:
    """Whole training steps of a new model: data, forward, backward, clipping, optimiser.

    Args:
        config: the run's resolved config.
        setting: how.
        traced: losses kept of the first steps, at least 1.
        counted: also count the floating-point operations and bytes of a step.
        trainer: `images` and `memory` of `make_trainer`.

    Returns:
        Facts: `facts_of`; `compile_seconds`; `flops`, `bytes` and `matrix_rate` where counted.
    """
    training = make_trainer(config, setting, **trainer)
    upcoming = all_batches(training)

    def step() -> Any:
        sums: dict[str, Any] = {}
        number, index = next(upcoming)
        training.train_step(index, number, sums)
        return sums["bits_per_dim"]

    facts = facts_of(training.model, step, traced)
    facts["compile_seconds"] = training.position.compile_seconds
    if counted:
        from benchmarks.cost import count, matrix_rate

        facts |= {**count(step), "matrix_rate": matrix_rate(training.device)}
    return step, training.batch, facts


def facts_of(model: Any, step: Callable[[], Any], traced: int) -> dict[str, Any]:
    """`parameters`, how many the model has, and `losses` of the first steps."""
    losses = [step().detach().item() for _ in range(traced)]
    return {"parameters": sum(parameter.numel() for parameter in model.parameters()), "losses": losses}


def our_work(setting: Setting, config: Callable[..., dict[str, Any]], option: str, **options: Any) -> Work:
    """`training_work` under one of `OPTIONS`; only the default's is counted. `config` takes `quick` and the option."""
    return training_work(config(setting.quick, **OPTIONS[option]), setting, counted=not OPTIONS[option], **options)


def our_peers(config: Callable[..., dict[str, Any]], **options: Any) -> list[Peer]:
    """`our_work` under each of `OPTIONS`; `options` of `training_work`."""
    build = functools.partial(our_work, config=config, **options)
    return [Peer(name, name.replace("-", ", "), functools.partial(build, option=name)) for name in OPTIONS]
