"""Affine Glow, 3 levels of 8 steps, width 128, against normflows: a training step, sampling; and its data alone."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.case import Case, Facts, Measured, Peer, Row, Setting, Work, divide, ratios
from benchmarks.work import (
    TRACED,
    all_batches,
    facts_of,
    make_trainer,
    our_peers,
    photographs,
    run_config,
    training_work,
)
from vaeglow.errors import UserError

LEVELS, CHANNELS, SIZE = 3, 3, 32
BATCH = {False: 32, True: 4}  # by `quick`, as the next three
DEPTH = {False: 8, True: 2}
WIDTH = {False: 128, True: 64}
# Of case `data`: as many as CIFAR-10 has, copies of a few; each epoch has its own order of all of them.
SHAPE = {False: (50_000, CHANNELS, SIZE, SIZE), True: (256, CHANNELS, SIZE, SIZE)}
PARAMETERS = 0.05  # largest relative difference in their number: normflows has no learned split priors


def config(quick: bool, **training: Any) -> dict[str, Any]:
    """Our run: Glow's own recipe without its warm-up, as the peer has none."""
    network = {"levels": LEVELS, "depth": DEPTH[quick], "width": WIDTH[quick], "coupling": "affine"}
    return run_config("glow", {"glow": {"network": network}}, batch_size=BATCH[quick], warmup_epochs=0, **training)


def normflows_glow(quick: bool) -> Any:
    """`normflows.MultiscaleFlow` of affine Glow blocks, built as its own example does, its options at their defaults.

    Its networks have no actnorms inside (an option, off by default) and its split levels no learned prior: a little
    less work than `vaeglow.models.glow.Glow` does.
    """
    import normflows
    import torch

    torch.manual_seed(0)
    priors = []
    merges = []
    flows = []
    for level in range(LEVELS):  # from the top down
        channels = CHANNELS * 2 ** (LEVELS + 1 - level)
        side = SIZE // 2 ** (LEVELS - level)
        blocks = [normflows.flows.GlowBlock(channels, WIDTH[quick]) for _ in range(DEPTH[quick])]
        flows.append([*blocks, normflows.flows.Squeeze()])
        if level:
            merges.append(normflows.flows.Merge())
        priors.append(normflows.distributions.DiagGaussian((channels // 2 if level else channels, side, side)))
    return normflows.MultiscaleFlow(priors, flows, merges, class_cond=False)


def theirs(setting: Setting, autocast: bool) -> Work:
    """normflows' examples: forward_kld, backward, Adamax, on the same images and noise; bf16 by autocast."""
    import torch

    chosen = config(setting.quick)
    trainer = make_trainer(chosen, setting)  # for its batches
    model = normflows_glow(setting.quick).to(trainer.device)
    optimizer = torch.optim.Adamax(model.parameters(), lr=chosen["training"]["learning_rate"])
    dims = trainer.model.dims
    levels = trainer.model.levels
    batches = upcoming(trainer)

    def step() -> Any:
        optimizer.zero_grad()
        with torch.autocast(trainer.device.type, torch.bfloat16, enabled=autocast):
            loss = model.forward_kld(next(batches) - 0.5)
        if bool(torch.isfinite(loss)):
            loss.backward()
            optimizer.step()
        return loss / (dims * math.log(2)) + math.log2(levels)  # nats per image in bits/dim

    return step, trainer.batch, facts_of(model, step, TRACED)


def upcoming(trainer: Any) -> Any:
    """Dequantised batches [N, C, H, W] without end."""
    for step, index in all_batches(trainer):
        inputs, _ = trainer.batch_inputs(index, step)
        yield inputs.contiguous()


def check(facts: Mapping[str, Facts]) -> None:
    """Equally large networks, and both learn: their losses are finite and end lower than they began."""
    counts = [peer["parameters"] for peer in facts.values()]
    if max(counts) > (1 + PARAMETERS) * min(counts):
        raise ValueError(f"parameters: {counts}")
    for name, peer in facts.items():
        losses = peer["losses"]
        if not all(map(math.isfinite, losses)) or losses[-1] >= losses[0]:
            shown = ", ".join(f"{loss:.4g}" for loss in losses)
            raise ValueError(f"{name} does not learn: losses {shown}")


def sample_ours(setting: Setting) -> Work:
    """The package's sampler on a model read from its file, as step `sample` does it: uint8 images."""
    from benchmarks.cost import count, matrix_rate
    from vaeglow.evaluation.trained import BATCH_SIZE, sample
    from vaeglow.weights import KEY, load_model, write_tensors

    chosen = config(setting.quick)
    path = setting.folder / "model.safetensors"
    trainer = make_trainer(chosen, setting)
    write_tensors(path, trainer.model.state_dict(), KEY, {"config": chosen})
    model, _ = load_model(path, trainer.device)

    def step() -> Any:
        return sample(model, BATCH_SIZE, 1.0, 0, trainer.device)[0]

    require_sane(step())
    return step, BATCH_SIZE, {**count(step), "matrix_rate": matrix_rate(trainer.device)}


def sample_theirs(setting: Setting) -> Work:
    """`MultiscaleFlow.sample` of as many images."""
    import torch

    from vaeglow.device import pick_device
    from vaeglow.evaluation.trained import BATCH_SIZE

    device = pick_device(setting.device)
    model = normflows_glow(setting.quick).to(device).eval()

    @torch.no_grad()
    def step() -> Any:
        return model.sample(BATCH_SIZE)[0]

    with torch.no_grad():  # sets its actnorms, which sampling would otherwise do from noise
        model.log_prob(torch.from_numpy(photographs()).to(device).float() / 256 - 0.5, None)
    require_sane(step())
    return step, BATCH_SIZE, {}


def require_sane(images: Any) -> None:
    """Sampled images must have the right shape, without overflow."""
    if list(images.shape[1:]) != [CHANNELS, SIZE, SIZE] or not images.float().isfinite().all():
        raise UserError(f"images of shape {list(images.shape)}, or not finite, were sampled")


def whole_step(setting: Setting) -> Work:
    """The whole training step."""
    return training_work(config(setting.quick), setting, images=np.resize(photographs(), SHAPE[setting.quick]))


def data_alone(setting: Setting) -> Work:
    """Its data alone: the order of each epoch, the batch, the noise."""
    trainer = make_trainer(config(setting.quick), setting, np.resize(photographs(), SHAPE[setting.quick]))
    batches = upcoming(trainer)
    return lambda: next(batches), trainer.batch, {}


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """Of each of our options to normflows in float32, and of both in bf16."""
    both = divide(measured["normflows-bf16"].seconds, measured["vaeglow-bf16"].seconds)
    rows = ratios(measured, "normflows", "normflows", target=1.4)
    return [*rows, Row("vaeglow, bf16 / normflows, bf16, images/s", both, 1.4)]


def share(measured: Mapping[str, Measured]) -> list[Row]:
    """Of the data in the whole step."""
    parts = divide(measured["data"].seconds, measured["step"].seconds)
    return [Row("data / whole step, seconds", parts, 0.02, at_least=False)]


TRAINING = Case(
    "glow",
    "Training step of affine Glow, L3 K8 width 128, 32x32, batch 32",
    (
        *our_peers(config),
        *(
            Peer(name, name.replace("-", ", "), functools.partial(theirs, autocast=cast), False, "normflows")
            for name, cast in (("normflows", False), ("normflows-bf16", True))
        ),
    ),
    rows,
    check,
)
SAMPLING = Case(
    "sampling",
    "Sampling of affine Glow, L3 K8 width 128, 100 images of 32x32",
    (Peer("vaeglow", "vaeglow", sample_ours), Peer("normflows", "normflows", sample_theirs, False, "normflows")),
    lambda measured: ratios(measured, "normflows", "normflows", target=2.0),
)
DATA = Case(
    "data",
    "Order, gathering and dequantisation of batches of 32 from 50,000 images",
    (Peer("step", "whole step", whole_step), Peer("data", "data alone", data_alone)),
    share,
)
