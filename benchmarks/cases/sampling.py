"""Drawing images from the affine Glow of case `glow`: vaeglow beside normflows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.case import Case, Measured, Peer, Row, Setting, Work, at_matrix_rate, times_faster
from benchmarks.cases import glow
from benchmarks.data import make_trainer, photographs


def ours(setting: Setting) -> Work:
    """The package's sampler on a model read from its file, as step `sample` does it: uint8 images."""
    from benchmarks.counts import count, matrix_rate
    from vaeglow.evaluation.trained import BATCH_SIZE, sample
    from vaeglow.weights import load_model, save_model

    config, path = glow.config(setting.quick), setting.folder / "model.safetensors"
    trainer = make_trainer(config, photographs(256, 32), setting)
    save_model(path, trainer.model, config, {})
    model, _ = load_model(path, trainer.device)

    def step() -> Any:
        return sample(model, BATCH_SIZE, 1.0, 0, trainer.device)[0]

    asked = {**count(step), "matrix_rate": matrix_rate(trainer.device)}
    return Work(step, BATCH_SIZE, {**facts(step(), model.shape), **asked})


def theirs(setting: Setting) -> Work:
    """`MultiscaleFlow.sample` of as many images."""
    import torch

    from benchmarks.peers import normflows_glow
    from vaeglow.device import pick_device
    from vaeglow.evaluation.trained import BATCH_SIZE

    quick, shape = setting.quick, (3, 32, 32)
    torch.manual_seed(0)
    model = normflows_glow.build(glow.LEVELS, glow.DEPTH[quick], glow.WIDTH[quick], *shape[:2])
    model = model.to(pick_device(setting.device)).eval()
    images = torch.from_numpy(photographs(256, 32)).to(pick_device(setting.device)).float() / 256 - 0.5

    @torch.no_grad()
    def step() -> Any:
        return model.sample(BATCH_SIZE)[0]

    with torch.no_grad():
        model.log_prob(images, None)  # sets its actnorms, which sampling would otherwise do from noise
    return Work(step, BATCH_SIZE, facts(step(), shape))


def facts(images: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """What is compared: shape, and whether all is finite."""
    return {"shape": list(images.shape[1:]), "wanted": list(shape), "finite": bool(images.float().isfinite().all())}


def check(facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Both draw images of the right shape without overflow."""
    for peer, found in facts.items():
        if found["shape"] != found["wanted"] or not found["finite"]:
            raise ValueError(f"{peer} drew {found}")


def rows(measured: Mapping[str, Measured]) -> list[Row]:
    """The ratio, and what bounds it."""
    ours, theirs = measured["vaeglow"], measured["normflows"]
    return [
        Row("vaeglow / normflows, images/s", times_faster(ours, theirs), 2.0),
        at_matrix_rate(ours, theirs, "normflows"),
    ]


CASE = Case(
    name="sampling",
    title="Sampling of affine Glow, L3 K8 width 128, 100 images of 32x32",
    peers=(Peer("vaeglow", "vaeglow", ours), Peer("normflows", "normflows", theirs, package=False, module="normflows")),
    check=check,
    rows=rows,
)
