"""The same code on a GPU: run with `pytest -m gpu` on a machine that has one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from run_tools import Run, resolved

import vaeglow
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.device import pick_device

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, blobs_dir) -> dict[str, Run]:
    made: dict[str, Run] = {}
    for model in ("vae", "vaeglow", "glow"):
        base = made["vae"] if model == "vaeglow" else None
        folder = tmp_path_factory.mktemp(model)
        made[model] = Run(folder, resolved(model), blobs_dir, base, device="cuda").train()
    return made


@pytest.mark.parametrize("model", ["vae", "vaeglow", "glow"])
def test_a_model_trained_on_a_gpu_says_the_same_on_a_cpu(runs, model):
    on_gpu = vaeglow.load(runs[model].model, device="cuda")
    on_cpu = vaeglow.load(runs[model].model, device="cpu")
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, *on_cpu.network.shape), np.uint8))
    y = dequantise(images, 256, step_generator(0, 0, 0))
    with torch.no_grad():
        if model == "vae":
            ours, theirs = on_gpu.network.reconstruct(y.cuda()).cpu(), on_cpu.network.reconstruct(y)
        else:
            flow = on_gpu.network.layer if model == "vaeglow" else on_gpu.network
            ours = flow.inverse(flow(y.cuda())[0])[0].cpu() if model == "vaeglow" else flow.reconstruct(y.cuda()).cpu()
            theirs = y
    assert (ours - theirs).abs().max() < 1e-4
    assert on_gpu.sample(5, temperature=0.5, seed=0).device.type == "cpu"
    assert torch.isfinite(on_gpu.bits_per_dim(images, importance_samples=10, seed=0)).all()


def test_history_falls_and_no_step_is_skipped(runs):
    for run in runs.values():
        rows = run.rows()
        assert float(rows[-1]["bits_per_dim"]) < float(rows[0]["bits_per_dim"])
        assert all(row["skipped_steps"] == "0" for row in rows)


def test_tf32_is_off():
    pick_device("cuda")
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
