"""GPUs: jobs side by side take one each; the same code on one: run with `pytest -m gpu` on a machine that has one."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from run_tools import ROOT, Run, blobs, interrupt, resolved
from test_timing import timed
from torch.testing import assert_close

import vaeglow
from vaeglow import device
from vaeglow.data.loader import dequantise, step_generator

MODELS = ["vae", "vaeglow", "glow"]
HOLD = "import sys; from vaeglow.device import claim_gpu; print(claim_gpu(int(sys.argv[1]), 3), flush=True); input()"


@pytest.fixture(autouse=True)
def locks_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(device, "_claimed", {})
    yield
    for lock in device._claimed.values():
        lock.release()


def job(preferred: int) -> tuple[subprocess.Popen[str], int]:
    """A process that claims one of three GPUs and keeps it, and the GPU."""
    command = [sys.executable, "-c", HOLD, str(preferred)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def test_each_job_takes_a_gpu_of_its_own_until_it_dies():
    jobs = [job(preferred) for preferred in (0, 0, 2, 1)]
    try:
        assert [gpu for _, gpu in jobs] == [0, 1, 2, 1]  # all are taken: the preferred one is shared
        jobs[1][0].kill()
        jobs[1][0].wait()
        assert device.claim_gpu(0, 3) == 1
        assert device.claim_gpu(2, 3) == 1  # asked again: the same
    finally:
        for process, _ in jobs:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("asked, count, taken", [("1", 2, [1]), ("1", 1, []), ("", 2, [])])
def test_only_jobs_of_the_workflow_choose_and_tf32_is_off(asked, count, taken, monkeypatch):
    """A notebook, or a step by hand, takes the GPU that torch takes. With TF32 f^-1(f(x)) is off by a grey level."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace(allow_tf32=True))
    monkeypatch.setenv("VAEGLOW_CLAIM_GPU", asked)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device.pick_device("cuda") == torch.device("cuda")
    assert chosen == taken
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_a_gpu_has_one_name_for_all_who_see_it(monkeypatch):
    plain = device.gpu_lock(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8/a")
    assert device.gpu_lock(0) == plain
    assert device.gpu_lock(1).name.endswith("-GPU-8-a.lock")
    assert device.gpu_lock(1).parent == plain.parent


def on_a_gpu(test):
    """Marks a test that needs one."""
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")(test))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, blobs_dir) -> dict[str, Run]:
    made = {}
    for model in MODELS:
        base = made["vae"] if model == "vaeglow" else None
        made[model] = Run(tmp_path_factory.mktemp(model), resolved(model), blobs_dir, base, device="cuda").train()
    return made


@on_a_gpu
@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_a_model_trained_on_a_gpu_says_the_same_on_a_cpu(runs, model):
    on_gpu, on_cpu = (vaeglow.load(runs[model].model, device=name) for name in ("cuda", "cpu"))
    images = torch.from_numpy(blobs(4, 0))
    y = dequantise(images, 256, step_generator(0, 0, 0))
    computed = []
    for loaded, here in ((on_gpu, y.to("cuda")), (on_cpu, y)):
        network = loaded.network
        values = [network.reconstruct(here)]
        if model == "vaeglow":
            values += network.layer(here)
        if model == "glow":
            values += network.log_likelihood(here).values()
        computed.append([value.cpu() for value in values])
    for ours, theirs in zip(*computed, strict=True):
        assert_close(ours, theirs, rtol=1e-4, atol=1e-4 if ours.ndim == 4 else 0.1)  # images, or nats
    assert on_gpu.sample(5, temperature=0.5, seed=0).device.type == "cpu"


@on_a_gpu
def test_steps_are_timed_on_a_gpu_with_the_memory_of_their_tensors(tmp_path, blobs_dir):
    measured = timed(tmp_path, blobs_dir, MODELS, device="cuda")
    assert measured["device"] == torch.cuda.get_device_name()
    for model in measured["models"].values():
        assert model["peak_memory_of"] == "tensors on the GPU"
        assert model["peak_memory_bytes"] > 0


@on_a_gpu
def test_a_stopped_run_goes_on(tmp_path, blobs_dir, runs):
    run = interrupt(Run(tmp_path, resolved("glow"), blobs_dir, device="cuda"), 3)
    assert run.saved_step() == 3
    assert_close(run.train().weights(), runs["glow"].weights(), rtol=1e-5, atol=1e-4)
