"""Full disks, read-only folders, missing permissions and limits: one line, nothing lost, and on it goes afterwards."""

import os
import resource
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from faults_tools import Child, fork, hold
from run_tools import Run, prepare, resolved, same_tensors
from waiting import ROOT

from vaeglow.data import prepare as prepare_data
from vaeglow.errors import UserError

pytestmark = pytest.mark.faults
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
CLOSED = [str(folder) for folder in (ROOT, *ROOT.parents) if not folder.stat().st_mode & 0o001]
OPEN_ONLY = pytest.mark.skipif(bool(CLOSED), reason=f"another user cannot read the checkout below {', '.join(CLOSED)}")


def one_line(child: Child, status: int = 2) -> str:
    assert child.wait() == status, child.text("stderr")
    (line,) = child.text("stderr").splitlines()
    assert line.startswith("error: ")
    return line


def fill(disk: Path) -> Path:
    """Leave no room."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_the_disk_fills_while_a_model_trains(long_run, small_disk, fault):
    disk = small_disk("8m")
    run = Run(disk / "run", long_run.config, long_run.data)
    with fault("disk full during a save") as tried:
        child = fork(run, 0, hold, 5).held()
        filler = fill(disk)
        child.send(signal.SIGCONT)
        assert "the disk is full: free some room and run the same command again" in one_line(child)
        saved = run.saved_step()
        assert saved == 5 and not list(run.state.rglob(".*.tmp"))
        filler.unlink()
        again = fork(run, 10)
        assert again.wait() == 0 and f"resuming at epoch {(saved - 1) // 4 + 1}, " in again.text()
        assert same_tensors(run.weights(), long_run.weights()) and run.rows() == long_run.rows()
        tried.lost("nothing")


def test_the_disk_is_full_when_the_results_are_written(long_run, small_disk, tmp_path, fault):
    disk = small_disk("64k")
    run = Run(tmp_path, long_run.config, long_run.data)
    run.model = disk / "model.safetensors"
    run.model.write_text("an older file")
    filler = fill(disk)
    with fault("disk full while the results are written"):
        line = one_line(fork(run))
        assert f"cannot write {disk}" in line and "the disk is full: free some room and run the same command" in line
        assert run.model.read_text() == "an older file" and not run.training.exists()
        assert not list(disk.glob(".*.tmp"))
        filler.unlink()
        run.model = tmp_path / "model.safetensors"
        again = fork(run)
        assert again.wait() == 0 and "resuming at epoch 11, step 0" in again.text()
        assert same_tensors(run.weights(), long_run.weights())


def test_data_onto_a_full_disk(small_disk, fault):
    entry = {"kind": "digits", "channels": 1, "size": 32, "val_images": 97, "test_images": 400}
    data = small_disk("1m") / "data"
    with fault("disk full while data are prepared"):
        with pytest.raises(UserError, match="the disk is full: free some room"):
            prepare_data("digits32", entry, data)
        assert not (data / "dataset.json").exists() and not list(data.glob(".*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=8m", str(data.parent)], check=True)
        prepare_data("digits32", entry, data)


@pytest.mark.parametrize("what", ["state", "model"])
def test_a_read_only_folder(what, long_run, small_disk, tmp_path, fault):
    disk = small_disk("8m")
    run = Run(tmp_path, long_run.config, long_run.data)
    setattr(run, what, disk / "folder" / "old")
    (disk / "folder").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with fault("read-only folder"):
        line = one_line(fork(run))
        assert str(disk) in line and "the file system is read-only: choose another folder" in line
        assert not run.training.exists()
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert fork(run).wait() == 0
        assert same_tensors(run.weights(), long_run.weights())


def become_nobody() -> None:
    """In the child: a user that owns nothing."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


@ROOT_ONLY
@OPEN_ONLY
@pytest.mark.parametrize("what", ["the run's folder", "the prepared data"])
def test_no_permission(what, long_run, fault):
    with tempfile.TemporaryDirectory() as name, fault("no permission to read or write"):
        folder = Path(name)
        folder.chmod(0o755)
        data = prepare(folder / "data")
        run = Run(folder / "run", long_run.config, data)
        if what == "the prepared data":
            run.folder.chmod(0o777)
            (data / "train.npy").chmod(0o600)
        line = one_line(fork(run, 10, become_nobody))
        assert "no permission to use" in line or "Permission denied" in line
        assert str(run.state if what == "the run's folder" else data / "train.npy") in line
        run.folder.chmod(0o777)
        (data / "train.npy").chmod(0o644)
        again = fork(run, 10, become_nobody)
        assert again.wait() == 0, again.text("stderr")
        assert same_tensors(run.weights(), long_run.weights())


def limit(what: str, more: int) -> None:
    """In the child: no more than so much above what it has."""
    if what == "RLIMIT_NOFILE":
        now = len(os.listdir("/proc/self/fd")) - 1
    elif what == "RLIMIT_AS":
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    else:
        now = 0
    resource.setrlimit(getattr(resource, what), (now + more,) * 2)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("what", "more", "says"),
    [
        ("RLIMIT_NOFILE", 0, "too many files are open"),
        ("RLIMIT_NOFILE", 1, "too many files are open"),
        ("RLIMIT_FSIZE", 20_000, "the file would be larger than is allowed here: raise the limit (ulimit -f)"),
        ("RLIMIT_AS", 8 * 2**20, "out of memory: lower training.batch_size"),
    ],
)
def test_a_limit_is_reached(what, more, says, blobs_dir, tmp_path, fault):
    """Half trained, then a try under the limit, then without it."""
    config = resolved("vae", epochs=2)
    if what == "RLIMIT_AS":  # 32 MB of weights
        config["network"] |= {"fc_dim": 2048}
    whole = Run(tmp_path / "whole", config, blobs_dir).train()
    run = Run(tmp_path / "run", config, blobs_dir)
    child = fork(run, 0, hold, 2).held()
    child.send(signal.SIGTERM, signal.SIGCONT)
    assert child.wait() == 75
    saved = {path: path.read_bytes() for path in run.state.glob("*-*.safetensors")}
    with fault(f"limit of {'files open' if what[-4:] == 'FILE' else 'memory' if what[-2:] == 'AS' else 'file size'}"):
        assert says in one_line(fork(run, 0, limit, what, more))
        assert {path: path.read_bytes() for path in run.state.glob("*-*.safetensors")} == saved
        again = fork(run)
        assert again.wait() == 0, again.text("stderr")
        assert "resuming at epoch" in again.text() and same_tensors(run.weights(), whole.weights())
