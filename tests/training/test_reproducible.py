"""The same seed on the same machine: the same bits, whatever else differs between two runs."""

import os
from pathlib import Path

import pytest
import torch
from faults_tools import fork
from run_tools import ROOT, Run, assert_equal_runs, bits, flags, run_step
from table_tools import without_times
from test_demo import SMALL, inception_overlay, made
from test_workflow import snakemake
from waiting import Done, python

from vaeglow.config import merge
from vaeglow.device import DETERMINISTIC
from vaeglow.results import read_result
from vaeglow.training.trainer import Trainer
from vaeglow.weights import read_tensors

OTHERWISE = {"PYTHONHASHSEED": "12345", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
OTHERWISE |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "2")


def step(name: str, folder: Path, *flags: object, **environment: str) -> Done:
    """A step in a process of its own, called from another folder."""
    done = python(
        "-m",
        f"vaeglow.steps.{name}",
        *map(str, flags),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    assert done.returncode == 0, done.stderr
    return done


def arrays(path: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_result(path, None).arrays.items()}


def evaluated(run: Run, folder: Path, **environment: str) -> list[object]:
    """Samples and likelihoods of a run, by processes of their own where there is an `environment`."""

    def take(name: str, **options: object) -> None:
        options |= {"model": run.model, "device": "cpu"}
        if environment:
            step(name, folder, *flags(**options), **environment)
        else:
            run_step(name, **options)

    samples = folder / "samples.npz"
    take("sample", output=samples, temperature=1.0, count=5, shown=1)
    numbers = folder / "likelihood.json"
    draws = {"batch_size": 5, "importance_samples": 10, "importance_images": 5}
    take("likelihood", output=numbers, data_dir=run.data, **draws)
    content = dict(read_result(numbers).content)
    del content["provenance"], content["inputs"]  # the file with the arrays says when it was made
    return [content, arrays(samples), arrays(numbers.with_suffix(".npz"))]


def test_another_process_in_other_circumstances_gives_the_same_bits(vae_run, tmp_path):
    """Hash seed, thread settings of the environment, folder, locale: only the config's `threads` counts."""
    run = Run(tmp_path / "run", vae_run.config, vae_run.data)
    done = step("train", tmp_path, *run.flags(10), **OTHERWISE)
    assert done.stderr == ""
    assert done.stdout.count("bits/dim  lr") == 2  # one line an epoch
    assert_equal_runs(run, vae_run)
    assert evaluated(run, tmp_path) == evaluated(run, tmp_path, **OTHERWISE)


def test_deterministic_changes_nothing_on_a_cpu(any_run, tmp_path):
    run = Run(tmp_path, any_run.config, any_run.data, any_run.base)
    assert "deterministic: True, :4096:8" in fork(run, 10, turn_on).ended()
    assert_equal_runs(run, any_run)
    assert run.summary()["provenance"]["deterministic"]
    assert not any_run.summary()["provenance"]["deterministic"]


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
    outcomes = []
    for name, cores in (("one", "1"), ("two", "2")):
        folder = tmp_path / name
        folder.mkdir()
        made(folder, merge(SMALL, inception_overlay(folder / "weights.pth")), cores)
        results = folder / "results"
        files = {}
        for path in results.rglob("model.safetensors"):
            files[path.relative_to(results)] = bits(read_tensors(path, "vaeglow")[0])
        for path in results.rglob("*.npz"):
            files[path.relative_to(results)] = arrays(path)
        outcomes.append([files, without_times(results / "table2.full.csv")])
    assert outcomes[0] == outcomes[1]
    files, table = outcomes[0]
    assert len(files) >= 11
    assert {row["run"] for row in table} >= {"glow", "vae", "vaeglow"}
