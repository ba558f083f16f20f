"""Tiny data and tiny trained runs, made once a session and never changed by a test."""

import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import error_line
from run_tools import Run, blobs, interrupt, prepare, resolved
from server_tools import FileServer, file_server
from waiting import LIMIT

from vaeglow import __main__ as vaeglow_command


@pytest.fixture(autouse=True)
def one_seed_and_thread() -> None:
    """Weights drawn without a generator are the same in whatever order the tests run; tiny tensors need one thread."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as every step does, whichever test runs first


@pytest.fixture(scope="session")
def blobs_dir(tmp_path_factory) -> Path:
    return prepare(tmp_path_factory.mktemp("data") / "blobs")


def trained(model: str, base: str | None = None, **training: Any) -> Any:
    """A fixture: a tiny run of a model on `blobs_dir`, its base another fixture; `training` as of `resolved`."""

    @pytest.fixture(scope="session")
    def run(request, tmp_path_factory, blobs_dir) -> Run:
        below = request.getfixturevalue(base) if base else None
        return Run(tmp_path_factory.mktemp(model), resolved(model, **training), blobs_dir, below).train()

    return run


vae_run = trained("vae")
long_run = trained("vae", epochs=10, snapshots=[0.06, 0.3])  # of 40 steps: after 3 and 12
vaeglow_run = trained("vaeglow", "vae_run")
vaeglow_beyond_run = trained("vaeglow_beyond", "vae_run")
glow_run = trained("glow")
pixelcnn_run = trained("pixelcnn")
pixeliqn_run = trained("pixeliqn")
residual_flow_run = trained("residual_flow")
standard_run = trained("vae_standard")
two_stage_run = trained("vae_two_stage", "standard_run")
joint_run = trained("vaeglow_joint", snapshots=[0.3, 0.5])  # of two epochs of four steps: after steps 3 and 4
finetune_run = trained("vaeglow_finetune", "vaeglow_run", epochs=1)


@pytest.fixture
def stopped(tmp_path, blobs_dir) -> Run:
    """A VAE's run stopped in the middle of its second epoch."""
    return interrupt(Run(tmp_path / "stopped", resolved("vae"), blobs_dir), 6)


@pytest.fixture(scope="session", params=["vae", "vaeglow", "glow"])
def any_run(request) -> Run:
    return request.getfixturevalue(f"{request.param}_run")


@pytest.fixture(params=["vae", "vaeglow"])
def latent_run(request) -> Run:
    return request.getfixturevalue(f"{request.param}_run")


@pytest.fixture
def images() -> torch.Tensor:
    """Twelve images that no run trained on."""
    return torch.from_numpy(blobs(12, 9))


@pytest.fixture
def served(monkeypatch) -> Iterator[FileServer]:
    """A server of files; a download from it waits for nothing."""
    from vaeglow.data import sources  # here: most tests download nothing

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(sources, "BACK_OFF", 0.001)
    monkeypatch.setattr(sources, "TIMEOUT", LIMIT)
    with file_server() as server:
        yield server


@pytest.fixture(scope="session")
def results_tree(tmp_path_factory) -> Path:
    """results/ and resources/data/ as a workflow leaves them, with pixels for features; not to be changed."""
    from verify_tools import make_tree  # here: it imports every step

    root = tmp_path_factory.mktemp("project")
    make_tree(root)
    return root


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory) -> Path:
    """Inception with random weights, as the step inception_weights writes it."""
    from benchmarks.work import random_inception  # here: most tests need no Inception and start faster without
    from vaeglow.evaluation.inception import KEY
    from vaeglow.weights import write_tensors

    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    write_tensors(path, random_inception(), KEY, {"source": "random"})
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`small_disk("16k")`: a file system of that size, which needs root to make; `remount=ro` later by mount."""
    made: list[Path] = []

    def make(size: str) -> Path:
        folder = tmp_path / f"small disk {len(made)}"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(mount, capture_output=True, check=False) if shutil.which("mount") else None
        if done is None or done.returncode != 0:
            pytest.skip("no right to mount a file system")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path) -> Callable[..., list[str]]:
    """`run("sample", model)`: the lines that a command prints, or that of its error, in a new folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["vaeglow", *map(str, words)])
        monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # `main` has its own
        try:
            vaeglow_command.main()
        except SystemExit as end:
            assert end.code == 2
            return [error_line(capsys.readouterr().err)]
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def fails(run) -> Callable[..., None]:
    """`fails("no such model", "sample", model)`: a command ends with one line that says this."""

    def fails(says: str, *words: object) -> None:
        (line,) = run(*words)
        assert re.search(says, line), line

    return fails


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.faults("name of a fault")` makes a row of the table that `make faults` prints."""
    for mark in item.iter_markers("faults"):
        for name in mark.args:
            item.user_properties.append(("fault", name.format(**item.callspec.params) if "{" in name else name))


@pytest.fixture
def lost(record_property: Callable[[str, Any], None]) -> Callable[..., None]:
    """`lost("steps trained again", 3)`: what a fault cost, in words, or as an amount of something."""
    return lambda what, amount=None: record_property("lost", [what, amount])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", help="print what the tests of faults recorded, and write it to this file")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    path = config.getoption("--faults-table")
    if path is None:
        return
    from faults_tools import table

    records = []
    for report in chain(*terminalreporter.stats.values()):
        about = getattr(report, "user_properties", ())
        cost = dict(about).get("lost", ["nothing", None])
        names = [value for key, value in about if key == "fault" and report.when == "call"]  # each phase carries all
        records += [[name, report.passed, *cost] for name in names]
    text = table(records)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text + "\n", encoding="utf-8")
    terminalreporter.write_line("\n" + text)
