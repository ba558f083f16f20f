"""The same seed on the same machine: the same bits, whatever else differs between two runs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from faults_tools import fork
from PIL import Image
from run_tools import ROOT, Run, assert_equal_runs, same_tensors
from table_tools import without_times
from test_demo import SMALL, inception_overlay, made
from test_workflow import snakemake
from waiting import call

from vaeglow.config import merge
from vaeglow.device import DETERMINISTIC
from vaeglow.results import read_result
from vaeglow.training.trainer import Trainer
from vaeglow.weights import read_tensors

OTHERWISE = {"PYTHONHASHSEED": "12345", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
OTHERWISE |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "2")


def step(name: str, folder: Path, *flags: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A step in a process of its own, called from another folder."""
    command = [sys.executable, "-m", f"vaeglow.steps.{name}", *map(str, flags)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = call(command, folder, env={**os.environ, "PYTHONPATH": path, **environment})
    assert done.returncode == 0, done.stderr
    return done


def likelihood(run: Run, folder: Path, **environment: str) -> tuple[dict, dict[str, np.ndarray]]:
    flags = ["--model", run.model, "--data-dir", run.data, "--batch-size", 5, "--importance-samples", 10]
    flags += ["--importance-images", 5, "--device", "cpu", "--output", folder / "l.json"]
    step("likelihood", folder, *flags, **environment)
    content = dict(read_result(folder / "l.json").content)
    for timed in ("provenance", "inputs"):  # the file with the arrays says when it was made
        del content[timed]
    return content, arrays(folder / "l.npz")


def arrays(path: Path) -> dict[str, np.ndarray]:
    return read_result(path, None).arrays


def same_arrays(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return left.keys() == right.keys() and all(left[name].tobytes() == right[name].tobytes() for name in left)


def test_another_process_in_other_circumstances_gives_the_same_bits(vae_run, tmp_path):
    """Hash seed, thread settings of the environment, folder, locale: only the config's `threads` counts."""
    run = Run(tmp_path / "run", vae_run.config, vae_run.data)
    name, *flags = run.command()[2:]
    done = step(name.rpartition(".")[2], tmp_path, *flags, **OTHERWISE)
    assert done.stderr == ""
    assert done.stdout.count("bits/dim  lr") == 2  # one line an epoch
    assert_equal_runs(run, vae_run)
    samples = []
    for number, environment in enumerate(({}, OTHERWISE)):
        output = tmp_path / "samples" / f"{number}.npz"
        flags = ["--model", run.model, "--temperature", 1.0, "--count", 5, "--shown", 1]
        step("sample", tmp_path, *flags, "--device", "cpu", "--output", output, **environment)
        samples.append(arrays(output))
    assert same_arrays(*samples)
    content, per_image = likelihood(run, tmp_path)
    other_content, other_per_image = likelihood(run, tmp_path, **OTHERWISE)
    assert content == other_content
    assert same_arrays(per_image, other_per_image)


def test_deterministic_changes_nothing_on_a_cpu(any_run, tmp_path):
    run = Run(tmp_path, any_run.config, any_run.data, any_run.base)
    assert "deterministic: True, :4096:8" in fork(run, 10, turn_on).ended()
    assert_equal_runs(run, any_run)
    assert [one.summary()["provenance"]["deterministic"] for one in (run, any_run)] == [True, False]


def turn_on() -> None:
    """In the child: what the workflow does, and a look at what has come of it."""
    os.environ[DETERMINISTIC] = "1"
    plain = Trainer.start

    def start(self: Trainer) -> None:
        on = torch.are_deterministic_algorithms_enabled()
        print(f"deterministic: {on}, {os.environ['CUBLAS_WORKSPACE_CONFIG']}", flush=True)
        plain(self)

    Trainer.start = start


@pytest.mark.gpu
def test_two_runs_on_one_gpu_are_equal(vae_run, tmp_path):
    runs = [Run(tmp_path / name, vae_run.config, vae_run.data, device="cuda") for name in ("one", "two")]
    for run in runs:
        fork(run, 10, turn_on).ended()
    assert_equal_runs(*runs)


def test_the_workflow_passes_it_on(tmp_path):
    (tmp_path / "overlay.yaml").write_text("runtime: {deterministic: true}\n")
    (tmp_path / "print.smk").write_text(
        f'include: "{ROOT}/workflow/Snakefile"\n'
        'rule look:\n    output: touch("seen")\n    shell: "echo seen:${{VAEGLOW_DETERMINISTIC:-unset}}"\n'
    )
    words = ["-s", "print.smk", "--configfile", "overlay.yaml", "--cores", "1", "look"]
    assert "seen:1" in snakemake(*words, cwd=tmp_path)


@pytest.mark.slow
def test_the_whole_workflow_twice(tmp_path):
    """Another folder, other cores, another order of jobs: the same weights, samples, features and table."""
    folders = []
    for name, cores in (("one", "1"), ("two", "2")):
        folder = tmp_path / name
        folder.mkdir()
        made(folder, merge(SMALL, inception_overlay(folder / "weights.pth")), cores)
        folders.append(folder / "results")
    for path in sorted(folders[0].rglob("model.safetensors")):
        other = folders[1] / path.relative_to(folders[0])
        assert same_tensors(read_tensors(path, "vaeglow")[0], read_tensors(other, "vaeglow")[0]), path
    found = sorted(folders[0].rglob("*.npz"))
    assert len(found) >= 8
    for path in found:
        assert same_arrays(arrays(path), arrays(folders[1] / path.relative_to(folders[0]))), path
    one, other = (without_times(folder / "table2.full.csv") for folder in folders)
    assert one == other
    assert {row["run"] for row in one} >= {"glow", "vae", "vaeglow"}
    pictures = [np.asarray(Image.open(folder / "samples.png")) for folder in folders]  # the files name their sources
    assert np.array_equal(*pictures)
