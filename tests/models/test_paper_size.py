"""The models at the paper's size: their number of parameters, and a training step."""

from __future__ import annotations

import pytest
import torch
from models_tools import changed, photo_like, run_config, seeded, snapshot

from vaeglow.data.loader import dequantise
from vaeglow.models.bounds import quantise
from vaeglow.models.kinds import build
from vaeglow.models.vae_glow import VAEGlow
from vaeglow.training.optimise import build_optimizer

# model -> parameters at the paper's size; those that train in phase 2 last
SIZES = {
    "vae": (37_616_326,),
    "vaeglow": (40_636_898, 3_020_572),
    "vaeglow_as_written": (38_007_090, 390_764),
    "glow": (44_052_816,),  # known as the 44-million-parameter Glow
}


@pytest.mark.parametrize("model", SIZES)
def test_paper_size(model: str) -> None:
    """Its parameters are counted, then the configured optimiser takes one step on two images."""
    config = run_config(model, preset="paper", dataset="cifar10")
    made = build(config)
    trainable = list(made.trainable())
    counts = [sum(parameter.numel() for parameter in some) for some in (made.parameters(), trainable)]
    assert tuple(dict.fromkeys(counts)) == SIZES[model]
    y = dequantise(quantise(photo_like(2, 3, 32), 256), 256, seeded(1))
    made.initialise(y)
    made.train()
    frozen = snapshot(made.vae) if isinstance(made, VAEGlow) else {}
    optimizer = build_optimizer(trainable, config["training"])
    before = [parameter.detach().clone() for parameter in trainable]
    loss, _ = made.loss(y, seeded(2))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in trainable)
    optimizer.step()
    moved = sum(not torch.equal(old, new) for old, new in zip(before, trainable, strict=True))
    assert moved > len(trainable) / 4  # zero-initialised layers hold back what is behind them for one step
    assert not frozen or changed(made.vae, frozen) == set()
    with torch.no_grad():
        assert made.loss(y, seeded(2))[0] != loss
