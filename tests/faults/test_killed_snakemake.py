"""Snakemake killed while its trainer lives on, and workflows that run at the same time."""

import os
import shutil
import signal
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

import pytest
import yaml
from PIL import Image
from run_tools import ROOT, blobs, holder, same_tensors
from test_workflow import snakemake
from waiting import LIMIT, call, state_of, until

from vaeglow.weights import read_tensors

pytestmark = [pytest.mark.faults, pytest.mark.slow]
TARGET = "results/demo/mine/vae/seed0/model.safetensors"
WORKFLOW = ("-s", str(ROOT / "Snakefile"), "--configfile", "overlay.yaml")
ONE = ("--cores", "1", TARGET)
TRAINING = {"epochs": 40, "batch_size": 16, "threads": 1, "learning_rate": 0.002, "snapshots": []}
NETWORK = {"num_scale": 2, "base_dim": 4, "fc_dim": 16, "latent_dim": 4}
CONFIG = {
    "runtime": {"save_minutes": 0.0001, "device": "cpu"},
    "datasets": {"mine": {"kind": "folder", "root": "images", "size": 8, "test_fraction": 0.2}},
    "overrides": {
        "roles": {"main": "mine"},
        "training": TRAINING,
        "models": {"vae": {"network": NETWORK, "prior": {"layers": 2, "width": 8}, "training": TRAINING}},
    },
}


def project(folder: Path) -> Path:
    """Tiny images, and a tiny model of them."""
    (folder / "images").mkdir()
    for k, image in enumerate(blobs(80, 0, 8)):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"images/{k:02}.png")
    (folder / "overlay.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


def run(folder: Path, *arguments: str, ok: bool = True) -> str:
    """Snakemake to its end; what it said."""
    return snakemake(*WORKFLOW, *arguments, cwd=folder, ok=ok)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict:
    """The weights that an undisturbed workflow ends with."""
    folder = project(tmp_path_factory.mktemp("whole"))
    run(folder, *ONE)
    return weights(folder)


@pytest.fixture
def folder(tmp_path) -> Path:
    return project(tmp_path)


def weights(folder: Path) -> dict:
    return read_tensors(folder / TARGET, "vaeglow")[0]


def state(folder: Path) -> Path:
    return folder / Path(TARGET).parent / "state"


def saved(folder: Path) -> int:
    return max((int(path.stem[-10:]) for path in state(folder).glob("*-*.safetensors")), default=0)


def begun(folder: Path, step: int = 8) -> tuple[Popen[str], int]:
    """Snakemake in a process group of its own, and its trainer, once that has saved so many steps."""
    listen = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  # ignored in a script's background
    command = [sys.executable, "-m", "snakemake", *WORKFLOW, *ONE]
    pipes = {"stdout": PIPE, "stderr": STDOUT}
    started = Popen(command, cwd=folder, text=True, process_group=0, preexec_fn=listen, **pipes)
    until(lambda: saved(folder) >= step)
    return started, holder(state(folder))


def finish(folder: Path, whole: dict) -> None:
    """Run the same command again, to the results of a workflow that was not disturbed."""
    run(folder, *ONE)
    assert same_tensors(weights(folder), whole)


def log(folder: Path) -> str:
    return (folder / "logs/train_vae/demo/mine/vae/seed0.log").read_text()


def test_snakemake_is_killed_and_its_trainer_lives_on(whole, folder, fault):
    with fault("SIGKILL of Snakemake, trainer left alive, unlock, run again"):
        snakemake, trainer = begun(folder)
        snakemake.kill()
        snakemake.wait()
        os.kill(trainer, signal.SIGSTOP)  # lives on; stopped before, its orphaned group would be sent SIGHUP
        assert "cannot be locked" in run(folder, *ONE, ok=False)
        run(folder, "--unlock")
        before = saved(folder)
        refused = run(folder, *ONE, ok=False)
        assert "is in use by another training process" in refused and f"(process {trainer} of " in refused
        assert saved(folder) == before and state_of(trainer)
        os.kill(trainer, signal.SIGCONT)
        until(lambda: not state_of(trainer))
        finish(folder, whole)
        assert "epoch 40/40" in (state(folder) / "attempts/1.log").read_text()  # its log outlived its name


def test_snakemake_and_its_trainer_are_killed(whole, folder, fault):
    with fault("SIGKILL of Snakemake and its trainer"):
        snakemake, trainer = begun(folder)
        os.killpg(snakemake.pid, signal.SIGKILL)
        snakemake.wait()
        until(lambda: not state_of(trainer))
        run(folder, "--unlock")
        finish(folder, whole)
        assert "resuming at epoch" in log(folder)
        assert "epoch 1/40" in (state(folder) / "attempts/1.log").read_text()


def test_the_trainer_alone_is_killed(whole, folder, fault):
    with fault("SIGKILL of a trainer under Snakemake, run again"):
        snakemake, trainer = begun(folder)
        os.kill(trainer, signal.SIGKILL)
        output, _ = snakemake.communicate(timeout=LIMIT)
        assert snakemake.returncode != 0
        assert output.splitlines()[-1] == "error: train_vae failed: see logs/train_vae/demo/mine/vae/seed0.log"
        finish(folder, whole)


def test_ctrl_c(whole, folder, fault):
    with fault("Ctrl-C of a workflow, run again"):
        snakemake, _ = begun(folder)
        os.killpg(snakemake.pid, signal.SIGINT)
        output, _ = snakemake.communicate(timeout=LIMIT)
        assert "stopped: SIGINT: state saved" in log(folder)
        assert output.splitlines()[-1] == "stopped: state saved, run again to go on"
        finish(folder, whole)  # nothing to unlock


def test_two_workflows_in_one_folder(whole, folder, fault):
    with fault("the workflow twice at once in one folder"):
        first, trainer = begun(folder, 1)
        os.kill(trainer, signal.SIGSTOP)
        refused = run(folder, *ONE, ok=False)
        assert "cannot be locked" in refused and "no other Snakemake process" in refused
        os.kill(trainer, signal.SIGCONT)
        output, _ = first.communicate(timeout=LIMIT)
        assert first.returncode == 0, output
        assert same_tensors(weights(folder), whole)


def test_clean_state_leaves_a_living_trainers_state(folder, fault):
    with fault("make clean-state while a model trains"):
        first, _ = begun(folder, 1)
        other = folder / "results/demo/mine/glow/seed0/state"
        other.mkdir(parents=True)
        shutil.copy(ROOT / "Makefile", folder)
        done = call(["make", "clean-state"], folder)
        assert done.returncode == 0 and not other.exists() and "in use" in done.stdout
        output, _ = first.communicate(timeout=LIMIT)
        assert first.returncode == 0, output
