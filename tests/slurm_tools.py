"""A Slurm of one node for tests, the workflow submitted to it with the shipped profile, and its list of jobs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from waiting import LIMIT, ROOT, call

SCRIPTS = ROOT / "tests/slurm"
NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")
FIELDS = {"job": 20, "state": 20, "gpus": 20, "start": 20, "end": 20, "limit": 15, "what": 200}  # width of each
FORMAT = ("JobID", "State", "tres-per-job", "StartTime", "EndTime", "TimeLimit", "Comment")


def missing() -> str:
    """What a Slurm for tests lacks on this machine, as one line; empty when nothing does."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    programs = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if programs:
        return f"no {', '.join(programs)}: apt-get install slurmctld slurmd slurm-client munge"
    if find_spec("snakemake_executor_plugin_slurm") is None:
        return "no Slurm plugin of Snakemake: pip install -e '.[slurm]'"
    return ""


class Slurm:
    """A running Slurm, in the folder that slurm-up.sh was given."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log/jobs.txt"
        path = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = os.environ | {"SLURM_CONF": str(folder / "etc/slurm.conf"), "PATH": path}

    def call(self, *command: str) -> str:
        """The output of a command of Slurm."""
        done = call(command, env=self.environment, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def submit(self, folder: Path, *arguments: str, output: Path) -> subprocess.Popen:
        """Start the workflow with the profile, which leaves only this to a cluster; it prints to `output`'s end."""
        command = [sys.executable, str(SCRIPTS / "quick_polls.py"), "--workflow-profile", str(ROOT / "profiles/slurm")]
        command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
        options = {"cwd": ROOT, "env": self.environment, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        with open(output, "a", encoding="utf-8") as file:
            return subprocess.Popen([*command, *arguments, "--directory", str(folder)], stdout=file, **options)

    def jobs(self) -> list[dict[str, str]]:
        """All jobs there were, in the order in which they came, each as its last attempt stands."""
        columns = ",".join(f"{name}:{width}" for name, width in zip(FORMAT, FIELDS.values(), strict=True))
        text = self.call("squeue", "--states=all", "--noheader", "--sort=i", f"--Format={columns}")
        found = []
        for line in text.splitlines():
            job = {}
            for name, width in FIELDS.items():
                job[name], line = line[:width].strip(), line[width:]
            found.append(job)
        return found

    def attempts(self) -> list[dict[str, str]]:
        """What Slurm's completion log says of each time that a job ran, to an end; a requeued job has several."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [dict(pair.split("=", 1) for pair in line.split() if "=" in pair) for line in lines]


@contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """A Slurm, up while the context lasts."""
    subprocess.run([str(SCRIPTS / "slurm-up.sh"), str(folder)], check=True, timeout=LIMIT)
    try:
        yield Slurm(folder)
    finally:
        subprocess.run([str(SCRIPTS / "slurm-down.sh"), str(folder)], check=False, timeout=LIMIT)
