"""Several processes that train one run: the same numbers as one, one voice, one end. Here on one CPU (gloo)."""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from models_tools import seeded
from refusals import user_error
from run_tools import Run, assert_equal_runs, blobs, losses, resolved
from torch import nn
from torch.testing import assert_close
from waiting import LIMIT, ROOT, call, said, state_of, until

from vaeglow.data.loader import dequantise, step_generator
from vaeglow.distributed import Group, SharedBatchNorm, process_group, share_batch_norms
from vaeglow.models.base import build
from vaeglow.noise import normal_like
from vaeglow.training.progress import TERMINAL
from vaeglow.training.step import TrainingStep

RELATIVE = 1e-4  # largest relative difference of an epoch's bits/dim between one process and two
KINDS = ("vae", "vaeglow", "vaeglow_joint", "vae_two_stage", "glow", "pixelcnn", "pixeliqn", "residual_flow")


def test_noise_of_parts_is_the_noise_of_the_batch():
    """Dequantisation and latents of one process with 6 images are those of three with 2 each, put together."""
    images = torch.randint(0, 256, (6, 3, 4, 4), generator=seeded()).to(torch.uint8)

    def noise(rank: int, ranks: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = step_generator(0, 1, 2)
        part = images.chunk(ranks)[rank]
        generator.rank = rank
        generator.ranks = ranks
        return dequantise(part, 256, generator), normal_like(torch.empty(len(part), 5), generator)

    parts = [noise(rank, 3) for rank in range(3)]
    for whole, *several in zip(noise(0, 1), *parts, strict=True):
        assert torch.equal(whole, torch.cat(several))


@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 3, 3)])
@pytest.mark.parametrize("bf16", [False, True])
def test_shared_batch_norm_of_one_process_is_batch_norm(bf16, shape, monkeypatch):
    """Outputs, gradients and running statistics, which are float32 whatever comes and goes."""
    monkeypatch.setattr("torch.distributed.all_reduce", lambda value: None)
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    plain, shared = (nn.Sequential(kind(5, 1e-3, 0.1)) for _ in range(2))
    share_batch_norms(shared, 1)
    assert isinstance(shared[0], SharedBatchNorm)
    x = torch.randn(shape, generator=seeded()) * 3 + 1
    close = {}
    if bf16:
        x = x.bfloat16()
        close = {"rtol": 0.02, "atol": 0.1}
    passed = []
    for norm in (plain, shared):
        inputs = x.clone().requires_grad_()
        output = norm(inputs)
        output.float().pow(3).sum().backward()
        passed.append([output, norm[0].weight.grad, x if bf16 else inputs.grad, norm.eval()(x)])
    assert_close(*passed, **close)
    assert_close(dict(plain.state_dict()), dict(shared.state_dict()))


def compared(run: Run) -> dict[str, torch.Tensor]:
    """Weights, but for biases before a batch norm, whose gradients are rounding and whose paths are chance."""
    return {name: tensor for name, tensor in run.weights().items() if not name.endswith("body.2.bias")}


@pytest.mark.slow
@pytest.mark.parametrize("model", KINDS)
def test_two_processes_train_as_one(model, request, tmp_path):
    """The same losses but for rounding: noise, batch norm, clipping and gradients are the whole batch's."""
    alone = request.getfixturevalue(f"{model.removeprefix('vae_').removeprefix('vaeglow_')}_run")
    run = Run(tmp_path / "two", resolved(model, devices=2), alone.data, alone.base)
    said(call(run.command()))
    assert losses(run.rows()) == pytest.approx(losses(alone.rows()), rel=RELATIVE)
    assert_close(compared(run), compared(alone), rtol=0.05, atol=0.01)


@pytest.fixture(scope="module")
def two(tmp_path_factory, blobs_dir) -> Run:
    """A VAE that two processes trained without a break; torchrun started them, as on several nodes."""
    config = resolved("vae", devices=2, epochs=6, validate_every=1, snapshots=[0.5])
    run = Run(tmp_path_factory.mktemp("two"), config, blobs_dir)
    torchrun = Path(sys.executable).with_name("torchrun")
    command = [torchrun, "--standalone", "--nproc-per-node", "2", *run.command()[1:]]
    run.said = said(call(command, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}))
    return run


def test_the_first_process_speaks_and_writes_for_all(two, vae_run):
    lines = [line.split()[1] for line in two.said.splitlines() if line.startswith("epoch")]
    assert lines == [f"{n}/6" for n in range(1, 7)]
    assert losses(two.rows())[:2] == pytest.approx(losses(vae_run.rows()), rel=RELATIVE)
    assert len(list(two.state.glob("*.safetensors"))) == 2
    assert list(two.kept()) == [12]


def test_stopped_and_resumed_to_the_same_bits(two, tmp_path):
    """Here the step itself starts them."""
    run = Run(tmp_path / "run", two.config, two.data)
    child = run.start(save_minutes=0)
    until(lambda: run.saved_step() > 0)
    child.terminate()
    _, err = child.communicate(timeout=LIMIT)
    assert child.returncode == 75
    assert err == "stopped: SIGTERM: state saved, run again to resume\n"
    assert not (run.state / "lease").exists()
    read, write = os.pipe()
    done = call(run.command(), env={**os.environ, TERMINAL: str(write)}, pass_fds=[write])
    assert "resuming at" in said(done)
    assert b"all epochs done" in os.read(read, 65536)  # Snakemake's own output reaches the first process
    assert_equal_runs(run, two)


@pytest.mark.parametrize("victim", ["all's parent", "one"])
def test_no_process_outlives_another(victim, tmp_path, blobs_dir):
    """SIGKILL of one: the other ends, with one line, and the lock is free. SIGKILL of their parent stops both."""
    run = Run(tmp_path / "run", resolved("vae", devices=2, validate_every=1, epochs=2000), blobs_dir)
    parent = run.start(save_minutes=0)
    until(lambda: run.saved_step() >= 1, lambda: parent.poll() is None)
    workers = [int(pid) for pid in call(["pgrep", "-P", str(parent.pid)]).stdout.split()]
    assert len(workers) == 2
    os.kill(workers[1] if victim == "one" else parent.pid, signal.SIGKILL)
    _, err = parent.communicate(timeout=LIMIT)
    until(lambda: not any(map(state_of, workers)))
    assert not (run.state / "lease").exists()
    if victim == "one":
        assert err == "error: process 1 of this run ended with status -9: run it again\n"
        assert parent.returncode == 2


def test_a_batch_that_cannot_be_cut_is_refused():
    config = resolved("vae")
    with user_error("training.devices is 3, which does not divide the batch of 16 images: change "):
        TrainingStep(build(config), config, blobs(64, 1), torch.device("cpu"), Group(0, 3))


def test_another_number_of_processes_or_too_few_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with user_error("4 devices are configured, but 3 processes were started: start as many"):
        process_group(4, "cpu").__enter__()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with user_error(r"torch sees 2 GPUs, too few for 3 processes: lower training\.devices"):
        process_group(3, "cuda").__enter__()
