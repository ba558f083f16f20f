"""The profile for Slurm, on a real one: the same Table 2 as locally, though each training job is stopped once."""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import yaml
from run_tools import holder
from table_tools import without_times
from test_demo import ROWS, SMALL, inception_overlay
from waiting import LIMIT, ROOT, Row, call, said, until

from vaeglow.config import merge
from vaeglow.files import read_json

SCRIPTS = ROOT / "tests/slurm"
PLUGIN = "snakemake_executor_plugin_slurm"
FORMAT = "JobID:20,State:20,tres-per-job:20,Comment:200"


def missing() -> str:
    """What a Slurm for tests lacks on this machine, as one line; empty when nothing does."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if not all(shutil.which(name, path=path) for name in ("slurmctld", "slurmd", "sbatch", "munged")):
        return "no Slurm: apt-get install slurmctld slurmd slurm-client munge"
    return "" if find_spec(PLUGIN) else f"no {PLUGIN}: pip install -e '.[slurm]'"


class Slurm:
    """A running Slurm, in the folder that slurm-up.sh was given."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log/jobs.txt"
        path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = os.environ | {"SLURM_CONF": str(folder / "etc/slurm.conf"), "PATH": path}

    def call(self, *command: str) -> str:
        """The output of a command of Slurm."""
        return said(call(command, env=self.environment, stdin=subprocess.DEVNULL))

    def submit(self, folder: Path, *arguments: str, output: Path) -> subprocess.Popen:
        """Start the workflow with the profile, which leaves only this to a cluster; it prints to `output`'s end."""
        command = [sys.executable, str(SCRIPTS / "quick_polls.py"), "--workflow-profile", str(ROOT / "profiles/slurm")]
        command += ["--quiet", "host"]  # with what Snakemake says of each job
        command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
        options = {"cwd": ROOT, "env": self.environment, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        with open(output, "a", encoding="utf-8") as file:
            return subprocess.Popen([*command, *arguments, "--directory", str(folder)], stdout=file, **options)

    def jobs(self) -> list[Row]:
        """All jobs there were, in the order in which they came, each as its last attempt stands."""
        text = self.call("squeue", "--states=all", "--noheader", "--sort=i", f"--Format={FORMAT}")
        columns = {"job": 20, "state": 20, "gpus": 20, "what": 200}
        table = io.StringIO(text)
        widths = [*columns.values()]
        return pd.read_fwf(table, widths=widths, names=[*columns], dtype=str, keep_default_na=False).to_dict("records")

    def attempts(self) -> list[Row]:
        """What Slurm's completion log says of each time that a job ran, to an end; a requeued job has several."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [dict(pair.split("=", 1) for pair in line.split() if "=" in pair) for line in lines]


pytestmark = [pytest.mark.slurm, pytest.mark.skipif(bool(missing()), reason=missing())]

TARGET = "results/table2.csv"
SHOWN = [ROWS[0], ROWS[2]]  # Glow, and ours on the VAE below it
RUNS = {"glow": "train_baseline", "vae": "train_vae", "vaeglow": "train_glow_layer"}
EPOCHS = 24  # of four steps: long enough to be caught in the middle of


@pytest.fixture(scope="module")
def overlay(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("overlay")
    shown = {"presets": {"demo": {"tables": {"table2": {"rows": SHOWN}}}}}
    config = merge(SMALL, inception_overlay(folder / "weights.pth"), shown)
    for model in config["overrides"]["models"].values():
        model["training"]["epochs"] = EPOCHS
    (folder / "overlay.yaml").write_text(yaml.safe_dump(config))
    return folder / "overlay.yaml"


@pytest.fixture(scope="module")
def slurm(tmp_path_factory) -> Iterator[Slurm]:
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([SCRIPTS / "slurm-up.sh", folder], check=True, timeout=LIMIT)
    yield Slurm(folder)
    subprocess.run([SCRIPTS / "slurm-down.sh", folder], check=False, timeout=LIMIT)


@pytest.fixture(scope="module")
def local(tmp_path_factory, overlay) -> Iterator[Path]:
    """Table 2 made here, undisturbed, while the cluster works."""
    folder = tmp_path_factory.mktemp("local")
    options = ["--cores", "1", TARGET, "--directory", folder, "--configfile", overlay]
    with open(folder / "output", "w") as file:
        command = [sys.executable, "-m", "snakemake", *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    yield folder
    process.terminate()


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory, overlay, slurm, local) -> Iterator["Disturbed"]:
    run = Disturbed(slurm, tmp_path_factory.mktemp("cluster"), overlay)
    try:
        run.to_the_end()
        print("\n" + pd.DataFrame(slurm.jobs()).to_string(index=False))
        yield run
    finally:
        run.process.terminate()


class Disturbed:
    """The workflow on the cluster, and how each of its training jobs is stopped."""

    def __init__(self, slurm: Slurm, folder: Path, overlay: Path) -> None:
        self.slurm = slurm
        self.folder = folder
        self.overlay = overlay
        self.output = folder / "output"
        self.stops = {"glow": self.near_its_time_limit, "vae": self.preempted, "vaeglow": self.interrupted}
        self.stopped: Row = {}  # model: the job that was stopped
        self.submit()

    def submit(self) -> None:
        """With no retries but the trainings' own, so that those are what is seen to work."""
        options = (TARGET, "--configfile", str(self.overlay), "--retries", "0")
        self.process = self.slurm.submit(self.folder, *options, output=self.output)

    def to_the_end(self) -> None:
        """Stop each run after its first epoch and before its last, then wait for the table."""
        until(self.stop_those_at_work, lambda: self.process.poll() is None, self.output.read_text)
        assert self.process.wait(LIMIT) == 0, self.output.read_text()

    def stop_those_at_work(self) -> bool:
        """Stop each run that is through its first epoch; whether all have been stopped."""
        for model in self.stops.keys() - self.stopped:
            if "epoch 1/" in self.log(model):
                self.stop(model)
        return len(self.stopped) == len(self.stops)

    def stop(self, model: str) -> None:
        """Halt the trainer, which must not be through before Slurm acts, have it stopped, let it go on to notice."""
        pid = holder(run_of(self.folder, model) / "state")
        os.kill(pid, signal.SIGSTOP)
        assert f"epoch {EPOCHS}/" not in self.log(model), "too fast to be caught: raise EPOCHS"
        mine = re.compile(rf"rule_{RUNS[model]}_wildcards_.*_{model}_0")
        running = [job for job in self.slurm.jobs() if job["state"] == "RUNNING"]
        (job,) = [job["job"] for job in running if mine.fullmatch(job["what"])]
        self.stops[model](job)
        wake_when_told(pid)
        self.stopped[model] = job

    def near_its_time_limit(self, job: str) -> None:
        """A minute left: the profile asks for a SIGTERM two minutes before the end."""
        self.slurm.call("scontrol", "update", f"JobId={job}", "EndTime=now+1minute")

    def preempted(self, job: str) -> None:
        """Something more urgent needs the GPU: the job goes back into the queue."""
        options = ("--partition=urgent", "--gpus=1", "--mem=100", "--comment=urgent", "--output=/dev/null")
        self.slurm.call("sbatch", *options, "--wrap=sleep 1")

    def interrupted(self, job: str) -> None:
        """Ctrl-C at the Snakemake that submitted; it cancels its jobs. Then the same command again."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(LIMIT) != 0
        self.submit()

    def log(self, model: str) -> str:
        path = self.folder / f"logs/{RUNS[model]}/demo/photos32/{model}/seed0.log"
        return path.read_text() if path.exists() else ""


def wake_when_told(pid: int) -> None:
    """Let a halted process go on once SIGTERM waits for it; Slurm itself wakes what it ends, but not what it warns."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is gone
        while True:
            status = Path(f"/proc/{pid}/status").read_text()
            waiting = int(re.search(r"ShdPnd:\s*(\w+)", status)[1], 16)
            if waiting >> (signal.SIGTERM - 1) & 1 or "State:\tT" not in status:
                os.kill(pid, signal.SIGCONT)
                break
            time.sleep(0.02)


def run_of(root: Path, model: str) -> Path:
    return root / f"results/demo/photos32/{model}/seed0"


def finished(path: Path) -> Path:
    """A file of the local run, once that is through."""
    until(path.exists)
    return path


def test_the_table_is_that_of_a_local_run(disturbed, local):
    found = without_times(disturbed.folder / TARGET)
    assert [row["run"] for row in found if row["source"] == "measured"] == ["glow", "vaeglow"]
    assert found == without_times(finished(local / TARGET))


@pytest.mark.parametrize("model", RUNS)
def test_the_weights_of_a_run_that_was_stopped_are_those_of_one_that_was_not(disturbed, local, model):
    wanted = read_json(finished(run_of(local, model) / "training.json"))
    got = read_json(run_of(disturbed.folder, model) / "training.json")
    assert got["weights_sha256"] == wanted["weights_sha256"]
    assert re.search(r"\nresuming at epoch \d+, step \d+\n", disturbed.log(model))


def test_each_run_was_stopped_in_the_way_meant(disturbed):
    attempts = [(attempt["JobId"], attempt["JobState"]) for attempt in disturbed.slurm.attempts()]
    ways = {"glow": ["FAILED"], "vae": ["PREEMPTED", "COMPLETED"], "vaeglow": ["CANCELLED"]}
    for model, job in disturbed.stopped.items():
        assert [state for number, state in attempts if number == job] == ways[model]
    assert "stopped: SIGTERM: state saved, run again to resume" in disturbed.output.read_text()  # glow's own words


def test_every_job_asks_for_one_gpu_and_no_two_hold_it_at_once(disturbed):
    assert {job["gpus"] for job in disturbed.slurm.jobs()} == {"gres/gpu:1"}
    ran = pd.DataFrame(disturbed.slurm.attempts()).sort_values(["StartTime", "EndTime", "SubmitTime"])
    ends = ran["EndTime"].shift()[1:]
    assert (ends <= ran["StartTime"][1:]).all(), ran


def test_sampling_and_its_evaluation_are_one_job(disturbed):
    jobs = disturbed.slurm.jobs()
    completed = [job["what"] for job in jobs if job["state"] == "COMPLETED"]  # others went down with their Snakemake
    assert completed.count("rule_quality_evaluate_sample") == len(SHOWN)
    others = re.compile("rule_(sample|evaluate|table|publish|write_config|prepare_data)")
    assert not [job for job in jobs if others.match(job["what"])]
