"""Snakemake killed while its trainer lives on, and workflows that run at the same time."""

import os
import shutil
import signal
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest
from fid_tools import write_pngs
from run_tools import blobs, holder, same_tensors
from test_workflow import workflow
from waiting import LIMIT, ROOT, call, said, state_of, until

from vaeglow.weights import read_tensors

pytestmark = pytest.mark.slow
TARGET = "results/demo/mine/vae/seed0/model.safetensors"
OVERLAY = """
runtime: {save_minutes: 0.0001, device: cpu}
datasets: {mine: {kind: folder, root: images, size: 8, test_fraction: 0.2}}
overrides:
  roles: {main: mine}
  training: &training {epochs: 40, batch_size: 16, threads: 1, learning_rate: 0.002, snapshots: []}
  models:
    vae:
      network: {num_scale: 2, base_dim: 4, fc_dim: 16, latent_dim: 4}
      prior: {layers: 2, width: 8}
      training: *training
"""
ONE = ("--configfile", "overlay.yaml", "--cores", "1", TARGET)


class Project:
    """Tiny images, and a tiny model of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / Path(TARGET).with_name("state")
        write_pngs(folder / "images", blobs(80, 0, 8))
        (folder / "overlay.yaml").write_text(OVERLAY)

    def run(self, *more: str, ok: bool = True) -> str:
        """Snakemake to its end; what it said."""
        return workflow(*ONE, *more, cwd=self.folder, ok=ok)

    def begun(self, step: int = 8) -> tuple[Popen[str], int]:
        """Snakemake in a process group of its own, and its trainer, once that has saved so many steps."""
        listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  # ignored in a script's background
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), *ONE]
        pipes = {"stdout": PIPE, "stderr": STDOUT}
        started = Popen(command, cwd=self.folder, text=True, process_group=0, preexec_fn=listen, **pipes)
        until(lambda: self.saved() >= step)
        return started, holder(self.state)

    def saved(self) -> int:
        """The newest checkpoint's step."""
        return max((int(path.stem[-10:]) for path in self.state.glob("*-*.safetensors")), default=0)

    def weights(self) -> dict:
        return read_tensors(self.folder / TARGET, "vaeglow")[0]

    def log(self) -> str:
        return (self.folder / "logs/train_vae/demo/mine/vae/seed0.log").read_text()

    def attempt(self) -> str:
        """The log of the first attempt, which outlived its name."""
        return (self.state / "attempts/1.log").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict:
    """The weights that an undisturbed workflow ends with."""
    project = Project(tmp_path_factory.mktemp("whole"))
    project.run()
    return project.weights()


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def finish(project: Project, whole: dict) -> None:
    """Run the same command again, to the results of a workflow that was not disturbed."""
    project.run()
    assert same_tensors(project.weights(), whole)


@pytest.mark.faults("SIGKILL of Snakemake, trainer left alive, unlock, run again")
def test_snakemake_is_killed_and_its_trainer_lives_on(whole, project):
    snakemake, trainer = project.begun()
    snakemake.kill()
    snakemake.wait()
    os.kill(trainer, signal.SIGSTOP)  # lives on; stopped before, its orphaned group would be sent SIGHUP
    assert "cannot be locked" in project.run(ok=False)
    project.run("--unlock")
    before = project.saved()
    refused = project.run(ok=False)
    assert "is in use by another training process" in refused and f"(process {trainer} of " in refused
    assert project.saved() == before and state_of(trainer)
    os.kill(trainer, signal.SIGCONT)
    until(lambda: not state_of(trainer))
    finish(project, whole)
    assert "epoch 40/40" in project.attempt()


@pytest.mark.faults("SIGKILL of Snakemake and its trainer")
def test_snakemake_and_its_trainer_are_killed(whole, project):
    snakemake, trainer = project.begun()
    os.killpg(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    until(lambda: not state_of(trainer))
    project.run("--unlock")
    finish(project, whole)
    assert "resuming at epoch" in project.log() and "epoch 1/40" in project.attempt()


@pytest.mark.faults("SIGKILL of a trainer under Snakemake, run again")
def test_the_trainer_alone_is_killed(whole, project):
    snakemake, trainer = project.begun()
    os.kill(trainer, signal.SIGKILL)
    output, _ = snakemake.communicate(timeout=LIMIT)
    assert snakemake.returncode != 0
    assert output.splitlines()[-1] == "error: train_vae failed: see logs/train_vae/demo/mine/vae/seed0.log"
    finish(project, whole)


@pytest.mark.faults("Ctrl-C of a workflow, run again")
def test_ctrl_c(whole, project):
    snakemake, _ = project.begun()
    os.killpg(snakemake.pid, signal.SIGINT)
    output, _ = snakemake.communicate(timeout=LIMIT)
    assert "stopped: SIGINT: state saved" in project.log()
    assert output.splitlines()[-1] == "stopped: state saved, run again to go on"
    finish(project, whole)  # nothing to unlock


@pytest.mark.faults("the workflow twice at once in one folder", "make clean-state while a model trains")
def test_a_second_workflow_and_clean_state_leave_a_living_trainer_alone(whole, project):
    first, trainer = project.begun(1)
    os.kill(trainer, signal.SIGSTOP)
    refused = project.run(ok=False)
    assert "cannot be locked" in refused and "no other Snakemake process" in refused
    other = project.folder / "results/demo/mine/glow/seed0/state"
    other.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", project.folder)
    assert "in use" in said(call(["make", "clean-state"], project.folder)) and not other.exists()
    os.kill(trainer, signal.SIGCONT)
    output, _ = first.communicate(timeout=LIMIT)
    assert first.returncode == 0, output
    assert same_tensors(project.weights(), whole)
