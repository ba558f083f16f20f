"""Jobs side by side on a machine with several GPUs: each takes its own."""

import subprocess
import sys

import pytest
import torch
from run_tools import ROOT

from vaeglow import device

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
    command, pipe = [sys.executable, "-c", HOLD, str(preferred)], subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
    return process, int(process.stdout.readline())


def test_each_job_takes_a_gpu_of_its_own_until_it_dies():
    jobs = [job(preferred) for preferred in (0, 0, 2, 1)]
    try:
        assert [gpu for _, gpu in jobs] == [0, 1, 2, 1]  # all are taken: the preferred one is shared
        jobs[1][0].kill()
        jobs[1][0].wait()
        assert device.claim_gpu(0, 3) == 1 and device.claim_gpu(2, 3) == 1  # asked again: the same
    finally:
        for process, _ in jobs:
            process.kill()
            process.communicate()


def test_a_gpu_has_one_name_for_all_who_see_it(monkeypatch):
    plain = device.gpu_lock(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8/a")
    assert device.gpu_lock(0) == plain
    assert device.gpu_lock(1).name.endswith("-GPU-8-a.lock") and device.gpu_lock(1).parent == plain.parent


@pytest.mark.parametrize(("asked", "count", "taken"), [("1", 2, [1]), ("1", 1, []), ("", 2, [])])
def test_only_jobs_of_the_workflow_choose(asked, count, taken, monkeypatch):
    """A notebook, or a step by hand, takes the GPU that torch takes."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setenv("VAEGLOW_CLAIM_GPU", asked)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device.pick_device("cuda") == torch.device("cuda") and chosen == taken
