"""A step of phase 2, the Glow layer on a frozen VAE (`vaeglow`, K32 width 256): the package beside plain eager code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.case import Case, Measured, Peer, Row, Setting, Work, at_matrix_rate, require_close, times_faster
from benchmarks.data import make_trainer, photographs, run_config
from benchmarks.steps import numbers, optional_peers, parameters, training_work

BATCH = {False: 16, True: 4}  # by `quick`
TRACED = 5  # losses compared
SMALL = {"vae": {"network": {"base_dim": 4, "fc_dim": 16}, "prior": {"layers": 2, "width": 8}}}
TARGETS = {"vaeglow": 1.5}
TOLERANCES = {"vaeglow": 1e-4, "vaeglow-compiled": 1e-4, "vaeglow-bf16": 1e-2}


def config(quick: bool, **training: Any) -> dict[str, Any]:
    """The paper-size run, or a tiny one."""
    change = {"models": {**SMALL, "vaeglow": {"layer": {"depth": 2, "width": 8}}}} if quick else {}
    return run_config("vaeglow", change, batch_size=BATCH[quick], **training)


def ours(setting: Setting, **training: Any) -> Work:
    """The package's trainer; `training` has options of speed, under which nothing is counted."""
    return training_work(config(setting.quick, **training), setting, traced=TRACED, counted=not training)


def plain(setting: Setting) -> Work:
    """The same weights, batches and noise; every operation as the equations have it, and PyTorch's plain loop."""
    import torch

    from benchmarks.counts import count
    from benchmarks.peers.plain_layer import PlainGlowLayer
    from vaeglow.training.timing import all_batches

    ours = config(setting.quick)
    trainer = make_trainer(ours, photographs(256, 32), setting)  # for its batches and its VAE
    layer = PlainGlowLayer(ours["data"]["channels"], **{k: ours["layer"][k] for k in ("depth", "width", "squeeze")})
    layer.load_state_dict(trainer.model.layer.state_dict())
    model = trainer.model
    model.layer = layer
    model = model.to(trainer.device, memory_format=torch.contiguous_format).train()
    optimizer = torch.optim.Adam(layer.parameters(), lr=ours["training"]["learning_rate"])
    batches = all_batches(trainer)

    def step() -> Any:
        number, index = next(batches)
        y, generator = trainer.inputs(index, 0, number)
        optimizer.zero_grad()
        loss, _ = model.loss(y.contiguous(), generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(layer.parameters(), ours["training"]["gradient_clip"])
        optimizer.step()
        return loss

    losses = numbers([step() for _ in range(TRACED)])
    return Work(step, trainer.batch, {"parameters": parameters(model), "losses": losses, **count(step)})


def check(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """The same losses step by step, so the same outputs and gradients."""
    for peer in facts.keys() - {"plain"}:
        require_close(f"losses of {peer}", facts[peer]["losses"], facts["plain"]["losses"], TOLERANCES[peer])
    if len({found["parameters"] for found in facts.values()}) > 1:
        raise ValueError("different numbers of parameters")


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """The ratios of times (the target is for the default options), and what it could come from."""
    ours, plain = measured["vaeglow"], measured["plain"]
    times = [
        Row(f"{peer} / plain eager, images/s", times_faster(found, plain), TARGETS.get(peer))
        for peer, found in measured.items()
        if peer != "plain"
    ]
    return [
        *times,
        at_matrix_rate(ours, plain, "plain eager"),
        Row("plain eager / vaeglow, bytes moved", [plain.facts["bytes"] / ours.facts["bytes"]]),
        Row("plain eager / vaeglow, FLOPs", [plain.facts["flops"] / ours.facts["flops"]]),
    ]


CASE = Case(
    name="layer",
    title="Training step of the Glow layer on its frozen VAE, paper size (K32 width 256), batch 16",
    peers=(Peer("vaeglow", "vaeglow", ours), *optional_peers(ours), Peer("plain", "plain eager", plain, package=False)),
    check=check,
    rows=rows,
)
