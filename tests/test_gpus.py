"""Jobs side by side on a machine with several GPUs: each takes its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from filelock import FileLock
from run_tools import ROOT

from vaeglow import device, gpus

HOLD = "import sys; from vaeglow import gpus; print(gpus.claim(int(sys.argv[1]), 3), flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def nobody_holds_one(tmp_path, monkeypatch):
    """Locks in a folder of this test's own."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    held: dict[int, FileLock] = {}
    monkeypatch.setattr(gpus, "_held", held)
    yield
    for lock in held.values():
        lock.release()


class Job:
    """A process that claims one of three GPUs and keeps it."""

    def __init__(self, preferred: int = 0) -> None:
        command = [sys.executable, "-c", HOLD, str(preferred)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.gpu = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_each_job_takes_a_gpu_of_its_own_until_it_dies():
    jobs = [Job(), Job(), Job(preferred=2)]
    try:
        assert [job.gpu for job in jobs] == [0, 1, 2]
        jobs.append(Job(preferred=1))
        assert jobs[-1].gpu == 1  # all are taken: the preferred one is shared
        jobs[1].kill()
        assert gpus.claim(0, 3) == 1 and gpus.claim(2, 3) == 1  # asked again: the same
    finally:
        for job in jobs:
            job.kill()


def test_a_gpu_has_one_name_for_all_who_see_it(monkeypatch):
    plain = gpus.lock_of(2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8/a")
    assert gpus.lock_of(0) == plain
    assert gpus.lock_of(1).name.endswith("-GPU-8-a.lock") and gpus.lock_of(1).parent == plain.parent


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
