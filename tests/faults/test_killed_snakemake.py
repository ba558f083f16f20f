"""Snakemake killed while its trainer lives on, and workflows that run at the same time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from run_tools import ROOT, holder, same_tensors
from snakemake_tools import LAYER, TARGET, project, run, start
from waiting import LIMIT, state_of, until

from vaeglow.weights import read_tensors

pytestmark = [pytest.mark.faults, pytest.mark.slow]
ONE = ("--cores", "1", TARGET)


def weights(folder: Path, target: str = TARGET) -> dict:
    return read_tensors(folder / target, "vaeglow")[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The small workflow, undisturbed."""
    folder = project(tmp_path_factory.mktemp("whole"))
    run(folder, "--cores", "1", LAYER)
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    """The same before anything was run."""
    for name in ("images", "overlay.yaml"):
        (shutil.copytree if name == "images" else shutil.copy)(whole / name, tmp_path / name)
    return tmp_path


def state(folder: Path) -> Path:
    return folder / Path(TARGET).parent / "state"


def saved(folder: Path) -> int:
    return max((int(path.stem[-10:]) for path in state(folder).glob("*-*.safetensors")), default=0)


def test_snakemake_is_killed_and_its_trainer_lives_on(whole, folder, fault):
    with fault("SIGKILL of Snakemake, trainer left alive, unlock, run again") as tried:
        snakemake = start(folder, *ONE)
        until(lambda: saved(folder) >= 8)
        trainer = holder(state(folder))
        snakemake.kill()
        snakemake.wait()
        os.kill(trainer, signal.SIGSTOP)  # lives on; stopped before, its orphaned group would be sent SIGHUP
        assert state_of(trainer)
        assert "cannot be locked" in run(folder, *ONE, ok=False)
        run(folder, "--unlock")
        before = saved(folder)
        refused = run(folder, *ONE, ok=False)
        assert "is in use by another training process" in refused and f"(process {trainer} of " in refused
        assert saved(folder) == before and state_of(trainer)
        os.kill(trainer, signal.SIGCONT)
        until(lambda: not state_of(trainer))
        run(folder, *ONE)
        assert "epoch 40/40" in (state(folder) / "attempts/1.log").read_text()  # its log outlived its name
        assert same_tensors(weights(folder), weights(whole))
        tried.lost("nothing")


def test_snakemake_and_its_trainer_are_killed(whole, folder, fault):
    with fault("SIGKILL of Snakemake and its trainer"):
        snakemake = start(folder, *ONE)
        until(lambda: saved(folder) >= 8)
        trainer = holder(state(folder))
        os.killpg(snakemake.pid, signal.SIGKILL)
        snakemake.wait()
        until(lambda: not state_of(trainer))
        run(folder, "--unlock")
        run(folder, *ONE)
        assert "resuming at epoch" in (folder / "logs/train_vae/demo/mine/vae/seed0.log").read_text()
        assert "epoch 1/40" in (state(folder) / "attempts/1.log").read_text()
        assert same_tensors(weights(folder), weights(whole))


def test_the_trainer_alone_is_killed(whole, folder, fault):
    with fault("SIGKILL of a trainer under Snakemake, run again"):
        snakemake = start(folder, *ONE)
        until(lambda: saved(folder) >= 8)
        os.kill(holder(state(folder)), signal.SIGKILL)
        output, _ = snakemake.communicate(timeout=LIMIT)
        assert snakemake.returncode != 0 and "train_vae" in output
        run(folder, *ONE)
        assert same_tensors(weights(folder), weights(whole))


def test_ctrl_c(whole, folder, fault):
    with fault("Ctrl-C of a workflow, run again"):
        snakemake = start(folder, *ONE)
        until(lambda: saved(folder) >= 8)
        os.killpg(snakemake.pid, signal.SIGINT)
        snakemake.communicate(timeout=LIMIT)
        assert "stopped: SIGINT: state saved" in (folder / "logs/train_vae/demo/mine/vae/seed0.log").read_text()
        run(folder, *ONE)  # nothing to unlock
        assert same_tensors(weights(folder), weights(whole))


def test_two_workflows_in_one_folder(whole, folder, fault):
    with fault("the workflow twice at once in one folder"):
        first = start(folder, *ONE)
        until(lambda: saved(folder) >= 1)
        os.kill(holder(state(folder)), signal.SIGSTOP)
        refused = run(folder, *ONE, ok=False)
        assert "cannot be locked" in refused and "no other Snakemake process" in refused
        os.kill(holder(state(folder)), signal.SIGCONT)
        output, _ = first.communicate(timeout=LIMIT)
        assert first.returncode == 0, output
        assert same_tensors(weights(folder), weights(whole))


def test_clean_state_leaves_a_living_trainers_state(folder, fault):
    with fault("make clean-state while a model trains"):
        first = start(folder, *ONE)
        until(lambda: saved(folder) >= 1)
        other = folder / "results/demo/mine/glow/seed0/state"
        other.mkdir(parents=True)
        shutil.copy(ROOT / "Makefile", folder)
        done = subprocess.run(["make", "clean-state"], cwd=folder, capture_output=True, text=True, check=True)
        assert not other.exists() and "in use" in done.stdout
        output, _ = first.communicate(timeout=LIMIT)
        assert first.returncode == 0, output
