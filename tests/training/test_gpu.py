"""The same code on a GPU: run with `pytest -m gpu` on a machine that has one."""

import numpy as np
import pytest
import torch
from run_tools import Run, interrupt, resolved
from test_timing import timed

import vaeglow
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.device import pick_device

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, blobs_dir) -> dict[str, Run]:
    made: dict[str, Run] = {}
    for model in ("vae", "vaeglow", "glow", "vaeglow_joint"):
        base = made["vae"] if model == "vaeglow" else None
        made[model] = Run(tmp_path_factory.mktemp(model), resolved(model), blobs_dir, base, device="cuda").train()
    return made


@pytest.mark.parametrize("model", ["vae", "vaeglow", "glow"])
def test_a_model_trained_on_a_gpu_says_the_same_on_a_cpu(runs, model):
    on_gpu, on_cpu = (vaeglow.load(runs[model].model, device=device) for device in ("cuda", "cpu"))
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, *on_cpu.network.shape), np.uint8))
    y = dequantise(images, 256, step_generator(0, 0, 0))
    with torch.no_grad():
        assert (on_gpu.network.reconstruct(y.to("cuda")).cpu() - on_cpu.network.reconstruct(y)).abs().max() < 1e-4
        if model == "vaeglow":
            (ours, our_log_det), (theirs, log_det) = on_gpu.network.layer(y.to("cuda")), on_cpu.network.layer(y)
            assert (ours.cpu() - theirs).abs().max() < 1e-4 and abs(our_log_det.cpu() - log_det) < 0.1
        if model == "glow":
            ours, theirs = on_gpu.network.log_likelihood(y.to("cuda")), on_cpu.network.log_likelihood(y)
            for name, term in theirs.items():
                assert torch.allclose(ours[name].cpu(), term, rtol=1e-4, atol=0.1)
    assert on_gpu.sample(5, temperature=0.5, seed=0).device.type == "cpu"
    assert torch.isfinite(on_gpu.bits_per_dim(images, importance_samples=10, seed=0)).all()


def test_steps_are_timed_on_a_gpu_with_the_memory_of_their_tensors(tmp_path, blobs_dir):
    found = timed(tmp_path, blobs_dir, ["vae", "vaeglow", "glow"], device="cuda")
    assert found["device_kind"] == "cuda" and found["device"] == torch.cuda.get_device_name()
    for one in found["models"].values():
        assert one["peak_memory_of"] == "tensors on the GPU" and one["peak_memory_bytes"] > 0


def test_a_stopped_run_goes_on(tmp_path, blobs_dir, runs):
    run = interrupt(Run(tmp_path, resolved("glow"), blobs_dir, device="cuda"), 3)
    assert run.saved_step() == 3
    resumed, undisturbed = run.train().weights(), runs["glow"].weights()
    assert all(torch.allclose(resumed[name], undisturbed[name], atol=1e-4) for name in undisturbed)


def test_tf32_is_off():
    pick_device("cuda")
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
