"""Steps at the paper's sizes: the Glow layer (`vaeglow`, K32 width 256) against plain eager code; Table 4."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.case import Case, Facts, Measured, Peer, Row, Setting, Work, ratios
from benchmarks.work import SMALL_VAE, all_batches, facts_of, make_trainer, our_peers, run_config, training_work

BATCH = {False: 16, True: 4}  # by `quick`
TRACED = 5  # losses compared
LAYERS = ("vaeglow", "vaeglow_as_written")
MODELS = ("glow", "vae", *LAYERS)  # of Table 4
SMALL = {
    **SMALL_VAE,
    "glow": {"network": {"depth": 1, "width": 8}},
    **{name: {"layer": {"depth": 2, "width": 8}} for name in LAYERS},
}
TOLERANCES = {"vaeglow": 1e-4, "vaeglow-compiled": 1e-4, "vaeglow-bf16": 1e-2}


def config(quick: bool, **training: Any) -> dict[str, Any]:
    """The paper-size run of `vaeglow`, or a tiny one."""
    return run_config("vaeglow", SMALL if quick else {}, batch_size=BATCH[quick], **training)


def plain(setting: Setting) -> Work:
    """The same weights, batches and noise; every operation as the equations have it, and PyTorch's plain loop."""
    import torch

    from benchmarks.cost import count
    from benchmarks.plain_layer import PlainGlowLayer

    chosen = config(setting.quick)
    trainer = make_trainer(chosen, setting)  # for its batches and its VAE
    model = trainer.model
    model.layer.__class__ = PlainGlowLayer  # the same parameters
    model = model.to(trainer.device, memory_format=torch.contiguous_format).train()
    optimizer = torch.optim.Adam(model.layer.parameters(), lr=chosen["training"]["learning_rate"])
    batches = all_batches(trainer)

    def step() -> Any:
        number, index = next(batches)
        y, generator = trainer.batch_inputs(index, number)
        optimizer.zero_grad()
        loss, _ = model.loss(y.contiguous(), generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.layer.parameters(), chosen["training"]["gradient_clip"])
        optimizer.step()
        return loss

    return step, trainer.batch, {**facts_of(model, step, TRACED), **count(step)}


def check(facts: Mapping[str, Facts]) -> None:
    """The same losses step by step, so the same outputs and gradients."""
    for peer in facts.keys() - {"plain"}:
        np.testing.assert_allclose(facts[peer]["losses"], facts["plain"]["losses"], TOLERANCES[peer], 0, False, peer)
    if len({peer["parameters"] for peer in facts.values()}) > 1:
        raise ValueError("different numbers of parameters")


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """The ratios of times, and what they could come from."""
    rows = ratios(measured, "plain", "plain eager", target=1.5)
    for what, title in (("bytes", "bytes moved"), ("flops", "FLOPs")):
        share = measured["plain"].facts[what] / measured["vaeglow"].facts[what]
        rows.append(Row(f"plain eager / vaeglow, {title}", [share]))
    return rows


def table4_work(setting: Setting, model: str) -> Work:
    """Whole training steps of one model; see `vaeglow.training.timing` for what is in them."""
    config = run_config(model, SMALL if setting.quick else {}, batch_size=BATCH[setting.quick])
    return training_work(config, setting, traced=1, counted=True)


def table4_rows(measured: Mapping[str, Measured]) -> list[Row]:
    """For each Glow layer the ratio of times, and those of FLOPs and of bytes: the load on the hardware."""
    glow = measured["glow"]
    vae = measured["vae"]
    rows = []
    for name in LAYERS:
        layer = measured[name]
        rounds = zip(glow.seconds, vae.seconds, layer.seconds, strict=True)
        times = [whole / ((first + second) / 2) for whole, first, second in rounds]
        rows.append(Row(f"Glow / average of vae and {name}, seconds", times, note="paper: 3.66"))
        for what, title in (("flops", "FLOPs"), ("bytes", "bytes moved")):
            average = (vae.facts[what] + layer.facts[what]) / 2
            rows.append(Row(f"Glow / average of vae and {name}, {title}", [glow.facts[what] / average]))
    return rows


LAYER = Case(
    "layer",
    "Training step of the Glow layer on its frozen VAE, paper size (K32 width 256), batch 16",
    (*our_peers(config, traced=TRACED), Peer("plain", "plain eager", plain, package=False)),
    rows,
    check,
)
TABLE4 = Case(
    "table4",
    "Training steps at the paper's sizes (Table 4), batch 16",
    [Peer(model, model, functools.partial(table4_work, model=model)) for model in MODELS],
    table4_rows,
)
