"""Several processes that train or evaluate one run: the same numbers as one, one voice, one end.

Here they meet on one CPU (gloo); on GPUs each takes its own (NCCL), which nobody has run yet.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from models_tools import seeded
from run_tools import ROOT, Run, refused, resolved, same_tensors, step
from torch import nn
from waiting import LIMIT, call, state_of, until

from vaeglow import team as teams
from vaeglow.data.loader import dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.models.batch_norm import SharedBatchNorm, share_batch_norms
from vaeglow.models.bounds import normal_like
from vaeglow.team import ALONE, Team, rounds

RELATIVE = 1e-4  # largest relative difference of an epoch's bits/dim between one process and two
KINDS = ("vae", "vaeglow", "vaeglow_joint", "vae_two_stage", "glow")


def pair(run_folder: Path, model: str, data: Path, base: Run | None = None, **training: object) -> Run:
    """A run that two processes train, to its end, in processes of their own."""
    run = Run(run_folder, resolved(model, devices=2, **training), data, base)
    done = call(run.command())
    assert done.returncode == 0, done.stderr
    run.said = done.stdout
    return run


def bits(run: Run) -> list[float]:
    return [float(row["bits_per_dim"]) for row in run.rows()]


# ------------------------------------------------------------------------------------------------ pieces


def test_noise_of_parts_is_the_noise_of_the_batch():
    """Dequantisation and latents of one process with 6 images are those of three with 2 each, put together."""
    images = torch.randint(0, 256, (6, 3, 4, 4), generator=seeded()).to(torch.uint8)

    def noise(team: Team) -> tuple[torch.Tensor, torch.Tensor]:
        generator = team.share(step_generator(0, 1, 2))
        part = team.part(images)
        return dequantise(part, 256, generator), normal_like(torch.empty(len(part), 5), generator)

    whole, parts = noise(ALONE), [noise(Team(rank, 3)) for rank in range(3)]
    for one, several in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(one, torch.cat(several))


def test_one_process_alone_exchanges_nothing():
    loss = torch.tensor(2.5)
    assert ALONE.first and ALONE.gather("x") == ["x"] and ALONE.highest(3, True) == [3, True]
    assert ALONE.mean({"loss": loss})["loss"] is loss
    assert list(rounds(3, lambda i: i * i)) == [0, 1, 4]


@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 3, 3)])
def test_shared_batch_norm_of_one_process_is_batch_norm(shape, monkeypatch):
    """Outputs, gradients and running statistics, in training and evaluation."""
    monkeypatch.setattr("torch.distributed.all_reduce", lambda value: None)
    kind = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    plain, shared = (nn.Sequential(kind(5, 1e-3, 0.1)) for _ in range(2))
    with torch.no_grad():
        for layer in (plain[0], shared[0]):
            layer.weight.copy_(torch.linspace(0.5, 2, 5))
    kept = dict(shared.named_parameters())
    share_batch_norms(shared, 1)
    assert isinstance(shared[0], SharedBatchNorm)
    assert all(kept[name] is parameter for name, parameter in shared.named_parameters())
    inputs = [torch.randn(shape, generator=seeded()).mul(3).add(1).requires_grad_() for _ in range(2)]
    for layer, x in zip((plain, shared), inputs, strict=True):
        layer(x).pow(3).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for name, buffer in plain.state_dict().items():
        torch.testing.assert_close(buffer, shared.state_dict()[name], msg=name)
    torch.testing.assert_close(plain.eval()(inputs[0]), shared.eval()(inputs[0]))


def test_shared_batch_norm_under_bf16(monkeypatch):
    """A convolution's bfloat16 comes and goes; statistics and weights' gradients are float32, as in torch."""
    monkeypatch.setattr("torch.distributed.all_reduce", lambda value: None)
    plain, shared = (nn.Sequential(nn.BatchNorm2d(5, 1e-3, 0.1)) for _ in range(2))
    share_batch_norms(shared, 1)
    x = torch.randn(8, 5, 3, 3, generator=seeded()).mul(3).add(1).bfloat16()
    outputs = [layer(x) for layer in (plain, shared)]
    for output in outputs:
        output.float().pow(3).sum().backward()
    assert outputs[1].dtype == outputs[0].dtype == torch.bfloat16
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0.01, atol=0.01)
    torch.testing.assert_close(shared[0].running_var, plain[0].running_var)
    torch.testing.assert_close(shared[0].weight.grad, plain[0].weight.grad, rtol=0.02, atol=0.1)


class Ended:
    """Stands for a process that ended with a status."""

    def __init__(self, status: int) -> None:
        self.status = status

    def poll(self) -> int:
        return self.status


@pytest.mark.parametrize(
    ("statuses", "ending", "ends"), [((0, -9), False, 1), ((75,), False, 1), ((0,), False, 0), ((-9,), True, 0)]
)
def test_the_last_to_fail_is_seen_unless_nobody_waits_for_it(statuses, ending, ends, monkeypatch, capsys):
    """All others may be gone before the first look; what `end` killed is no failure."""
    exits: list[int] = []
    monkeypatch.setattr(teams, "GRACE", 0.0)
    monkeypatch.setattr("os._exit", exits.append)
    event = threading.Event()
    if ending:
        event.set()
    teams.watch([Ended(status) for status in statuses], event)
    assert exits == [2] * ends
    assert ("error: process" in capsys.readouterr().err) == bool(ends)


# ---------------------------------------------------------------------------------------------- training


@pytest.mark.slow
@pytest.mark.parametrize("model", KINDS)
def test_two_processes_train_as_one(model, request, tmp_path, blobs_dir):
    """The same losses but for rounding: noise, batch norm, clipping and gradients are the whole batch's."""
    alone = request.getfixturevalue(f"{model.removeprefix('vae_').removeprefix('vaeglow_')}_run")
    run = pair(tmp_path / "two", model, alone.data, alone.base)
    assert bits(run) == pytest.approx(bits(alone), rel=RELATIVE)
    assert bits(run)[-1] < bits(run)[0]
    ours, theirs = run.weights(), alone.weights()
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        if not name.endswith("body.2.bias"):  # before a batch norm: its gradient is rounding, its path chance
            torch.testing.assert_close(tensor, theirs[name], rtol=0.05, atol=0.01, msg=name)


@pytest.mark.slow
def test_two_processes_train_in_bf16(vae_run, tmp_path):
    """Batch norms get bfloat16 and share float32."""
    run = pair(tmp_path / "two", "vae", vae_run.data, precision="bf16")
    assert bits(run) == pytest.approx(bits(vae_run), rel=1e-2)


@pytest.fixture(scope="module")
def two(tmp_path_factory, blobs_dir) -> Run:
    """A VAE that two processes trained without a break."""
    return pair(tmp_path_factory.mktemp("two"), "vae", blobs_dir, validate_every=1, snapshots=[0.5])


def test_the_first_process_speaks_and_writes_for_all(two, vae_run):
    lines = two.said.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["1/2", "2/2"]
    assert bits(two) == pytest.approx(bits(vae_run), rel=RELATIVE)
    assert len(list(two.state.glob("*.safetensors"))) <= 2 and list(two.kept()) == [4]
    assert all(float(row["val_bits_per_dim"]) > 0 for row in two.rows())


def test_stopped_and_resumed_to_the_same_bits(two, tmp_path):
    """SIGTERM to the first process alone: all stop after the same step, and go on from there."""
    run = Run(tmp_path / "run", resolved("vae", devices=2, validate_every=1, snapshots=[0.5], epochs=40), two.data)
    child = run.start(save_minutes=0)
    wait_for(lambda: run.saved_step() >= 5, child)
    child.terminate()
    out, err = child.communicate(timeout=LIMIT)
    assert child.returncode == 75 and err == "stopped: SIGTERM: state saved, run again to go on\n", (out, err)
    stopped_at = run.saved_step()
    assert 5 <= stopped_at < 160
    child = run.start()
    out, err = child.communicate(timeout=LIMIT)
    assert child.returncode == 0, err
    assert f"step {stopped_at % 4}" in out and "resuming" in out
    undisturbed = Run(tmp_path / "undisturbed", run.config, two.data)
    call(undisturbed.command(), check=True)
    assert same_tensors(run.weights(), undisturbed.weights()) and run.rows() == undisturbed.rows()


def wait_for(done, child: subprocess.Popen) -> None:
    until(done, lambda: child.poll() is None, lambda: str(child.communicate(timeout=LIMIT)))


def others_of(child: subprocess.Popen) -> list[int]:
    """The processes that the first one started."""
    found = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True)
    return [int(line) for line in found.stdout.split()]


@pytest.mark.skipif(shutil.which("pgrep") is None, reason="pgrep is not installed")
@pytest.mark.parametrize("victim", ["first", "other"])
def test_no_process_outlives_another(victim, tmp_path, blobs_dir):
    """SIGKILL of one: the rest end by themselves, and the lock is free."""
    run = Run(tmp_path / "run", resolved("vae", devices=2, epochs=2000), blobs_dir)
    child = run.start(save_minutes=0)
    wait_for(lambda: run.saved_step() >= 1, child)
    (other,) = others_of(child)
    os.kill(child.pid if victim == "first" else other, signal.SIGKILL)
    _, err = child.communicate(timeout=LIMIT)
    until(lambda: not state_of(other))
    if victim == "other":
        assert (
            child.returncode == 2
            and "error: process 1 of this run ended with status -9: run the same command again" in err
        ), err
        assert "Traceback" not in err
    again = run.start(save_minutes=0)
    wait_for(lambda: others_of(again), again)
    again.kill()
    _, err = again.communicate(timeout=LIMIT)
    assert "in use" not in err


def test_torchrun_starts_them_too(two, tmp_path):
    """As on several nodes: the processes are there, and the step takes its place among them."""
    torchrun = Path(sys.executable).with_name("torchrun")
    run = Run(tmp_path / "run", two.config, two.data)
    command = [str(torchrun), "--standalone", "--nproc-per-node", "2", *run.command()[1:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = call(command, env=environment)
    assert done.returncode == 0, done.stderr
    assert same_tensors(run.weights(), two.weights())


# -------------------------------------------------------------------------------------------- evaluation


def test_sampling_and_likelihood_are_the_same_numbers(glow_run, vae_run, tmp_path):
    """To the last bit, however many processes share the work."""
    found = []
    for devices in (1, 2):
        samples, summary, images = (tmp_path / f"{devices}{name}" for name in (".npz", ".json", "-images.npz"))
        common = ["--devices", str(devices), "--device", "cpu", "--model"]
        flags = ["--temperature", "1.0", "--count", "250", "--output", str(samples)]
        done = step("sample", *common, str(glow_run.model), *flags)
        assert done.returncode == 0, done.stderr
        flags = ["--data-dir", str(vae_run.data), "--batch-size", "5", "--importance-samples", "10"]
        flags += ["--importance-images", "7", "--output", str(summary), "--per-image", str(images)]
        done = step("likelihood", *common, str(vae_run.model), *flags)
        assert done.returncode == 0, done.stderr
        numbers = {k: v for k, v in json.loads(summary.read_text()).items() if k in ("bits_per_dim", "importance")}
        with np.load(samples) as drawn, np.load(images) as each:
            arrays = [drawn["images"], *(each[name] for name in sorted(each.files) if name != "metadata")]
        found.append((numbers, arrays))
    (one, arrays), (two, others) = found
    assert one == two and len(arrays) == len(others) > 2
    assert all(np.array_equal(a, b) for a, b in zip(arrays, others, strict=True))


def test_features_are_the_same_numbers(tmp_path, blobs_dir, inception_file):
    found = []
    for devices in (1, 2):
        output = tmp_path / f"{devices}.npz"
        flags = ["--data-dir", str(blobs_dir), "--protocol", "p", "--split", "train", "--images", "25"]
        flags += ["--features", "64", "--sets", "1", "--weights", str(inception_file), "--batch-size", "10"]
        flags += ["--device", "cpu", "--threads", "1", "--devices", str(devices), "--output", str(output)]
        done = step("fid_reference", *flags)
        assert done.returncode == 0, done.stderr
        with np.load(output) as arrays:
            found.append({name: arrays[name] for name in arrays.files if name != "metadata"})
    assert found[0].keys() == found[1].keys() and len(found[0]) > 1
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])


# ------------------------------------------------------------------------------------------------ errors


def test_a_batch_that_cannot_be_cut_is_refused(tmp_path, blobs_dir):
    run = Run(tmp_path / "run", resolved("vae", devices=3), blobs_dir)
    done = call(run.command())
    assert done.returncode == 2 and not run.model.exists()
    lines = set(done.stderr.splitlines())
    assert lines == {
        "error: training.devices is 3, which does not divide the batch of 16 images: change training.devices or "
        "training.batch_size"
    }


def test_more_gpus_than_there_are_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    refusal = pytest.raises(UserError, match=r"2 GPUs are asked for, torch sees 1: lower training\.devices")
    with refusal, teams.team(2, torch.device("cuda")):
        pass


def test_another_number_of_processes_than_asked_for_is_refused(tmp_path, blobs_dir, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    run = Run(tmp_path / "run", resolved("vae", devices=2), blobs_dir)
    done = call(run.command())
    assert refused(done) == "error: 2 devices are asked for, but 4 processes were started: start as many"
