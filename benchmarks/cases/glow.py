"""A training step of affine Glow, 3 levels of 8 steps, width 128: vaeglow beside normflows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.case import Case, Measured, Peer, Row, Setting, Work, at_matrix_rate, times_faster
from benchmarks.data import make_trainer, photographs, run_config
from benchmarks.steps import TRACED, numbers, optional_peers, parameters, require_falling, training_work

LEVELS = 3
BATCH = {False: 32, True: 4}  # by `quick`, as the next two
DEPTH = {False: 8, True: 2}
WIDTH = {False: 128, True: 64}
TARGETS = {"vaeglow": 2.0}
PARAMETERS = 0.05  # largest relative difference in their number: normflows has no learned split priors


def config(quick: bool, **training: Any) -> dict[str, Any]:
    """Our run: Glow's own recipe without its warm-up, as the peer has none."""
    network = {"levels": LEVELS, "depth": DEPTH[quick], "width": WIDTH[quick], "coupling": "affine"}
    change = {"models": {"glow": {"network": network}}}
    return run_config("glow", change, batch_size=BATCH[quick], warmup_epochs=0, **training)


def ours(setting: Setting, **training: Any) -> Work:
    """The package's trainer; `training` has options of speed, under which nothing is counted."""
    return training_work(config(setting.quick, **training), setting, counted=not training)


def theirs(setting: Setting) -> Work:
    """The loop of normflows' examples: forward_kld, backward, Adamax, on the same images and noise."""
    import torch

    from benchmarks.peers import normflows_glow

    ours = config(setting.quick)
    trainer = make_trainer(ours, photographs(256, 32), setting)  # for its batches
    torch.manual_seed(0)
    model = normflows_glow.build(LEVELS, DEPTH[setting.quick], WIDTH[setting.quick], *trainer.model.shape[:2])
    model = model.to(trainer.device)
    optimizer = torch.optim.Adamax(model.parameters(), lr=ours["training"]["learning_rate"])
    dims, levels = trainer.model.dims, trainer.model.levels
    batches = upcoming(trainer)

    def step() -> Any:
        optimizer.zero_grad()
        loss = model.forward_kld(next(batches) - 0.5)
        if bool(torch.isfinite(loss)):
            loss.backward()
            optimizer.step()
        return loss / (dims * math.log(2)) + math.log2(levels)  # nats per image in bits/dim

    losses = numbers([step() for _ in range(TRACED)])
    return Work(step, trainer.batch, {"parameters": parameters(model), "losses": losses})


def upcoming(trainer: Any) -> Any:
    """Dequantised batches [N, C, H, W] without end."""
    from vaeglow.training.timing import all_batches

    for step, index in all_batches(trainer):
        yield trainer.inputs(index, 0, step)[0].contiguous()


def check(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Equally large networks, and both learn."""
    counts = [found["parameters"] for found in facts.values()]
    if max(counts) > (1 + PARAMETERS) * min(counts):
        raise ValueError(f"parameters: {counts}")
    require_falling(facts)


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """The ratios; the target is for the default options."""
    times = [
        Row(f"{peer} / normflows, images/s", times_faster(found, measured["normflows"]), TARGETS.get(peer))
        for peer, found in measured.items()
        if peer != "normflows"
    ]
    return [*times, at_matrix_rate(measured["vaeglow"], measured["normflows"], "normflows")]


CASE = Case(
    name="glow",
    title="Training step of affine Glow, L3 K8 width 128, 32x32, batch 32",
    peers=(
        Peer("vaeglow", "vaeglow", ours),
        *optional_peers(ours),
        Peer("normflows", "normflows", theirs, package=False, module="normflows"),
    ),
    check=check,
    rows=rows,
)
