"""Full disks, read-only folders, missing permissions and limits: one line, nothing lost, and on it goes afterwards."""

import os
import resource
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from faults_tools import fork, hold
from refusals import user_error
from run_tools import Run, prepare, resolved, same_tensors
from waiting import ROOT

from vaeglow.data import prepare as prepare_data

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
CLOSED = [str(folder) for folder in (ROOT, *ROOT.parents) if not folder.stat().st_mode & 0o001]
OPEN_ONLY = pytest.mark.skipif(bool(CLOSED), reason=f"another user cannot read the checkout below {', '.join(CLOSED)}")
FULL = "the disk is full: free some room and run the same command"


def fill(disk: Path) -> Path:
    """Leave no room."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)


@pytest.mark.faults("disk full during a save")
def test_the_disk_fills_while_a_model_trains(long_run, small_disk):
    disk = small_disk("8m")
    run = Run(disk / "run", long_run.config, long_run.data)
    child = fork(run, 0, hold, 5).held()
    filler = fill(disk)
    assert f"{FULL} again" in child.go_on().refused()
    assert run.saved_step() == 5 and not list(run.state.rglob(".*.tmp"))
    filler.unlink()
    assert "resuming at epoch 2, " in fork(run).ended()
    assert same_tensors(run.weights(), long_run.weights()) and run.rows() == long_run.rows()


@pytest.mark.faults("disk full while the results are written")
def test_the_disk_is_full_when_the_results_are_written(long_run, small_disk, tmp_path):
    disk = small_disk("64k")
    run = Run(tmp_path, long_run.config, long_run.data)
    run.model = disk / "model.safetensors"
    run.model.write_text("an older file")
    filler = fill(disk)
    line = fork(run).refused()
    assert f"cannot write {disk}" in line and FULL in line
    assert run.model.read_text() == "an older file" and not run.training.exists()
    assert not list(disk.glob(".*.tmp"))
    filler.unlink()
    run.model = tmp_path / "model.safetensors"
    assert "resuming at epoch 11, step 0" in fork(run).ended()
    assert same_tensors(run.weights(), long_run.weights())


@pytest.mark.faults("disk full while data are prepared")
def test_data_onto_a_full_disk(small_disk):
    entry = {"kind": "digits", "channels": 1, "size": 32, "val_images": 97, "test_images": 400}
    disk = small_disk("1m")
    data = disk / "data"
    with user_error("the disk is full: free some room"):
        prepare_data("digits32", entry, data)
    assert not (data / "dataset.json").exists() and not list(data.glob(".*.tmp"))
    remount(disk, "size=8m")
    prepare_data("digits32", entry, data)


@pytest.mark.faults("read-only folder")
@pytest.mark.parametrize("what", ["state", "model"])
def test_a_read_only_folder(what, long_run, small_disk, tmp_path):
    disk = small_disk("8m")
    run = Run(tmp_path, long_run.config, long_run.data)
    setattr(run, what, disk / "folder" / "old")
    (disk / "folder").mkdir()
    remount(disk, "ro")
    line = fork(run).refused()
    assert str(disk) in line and "the file system is read-only: choose another folder" in line
    assert not run.training.exists()
    remount(disk, "rw")
    fork(run).ended()
    assert same_tensors(run.weights(), long_run.weights())


def become_nobody() -> None:
    """In the child: a user that owns nothing."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


@ROOT_ONLY
@OPEN_ONLY
@pytest.mark.faults("no permission to read or write")
@pytest.mark.parametrize("what", ["the run's folder", "the prepared data"])
def test_no_permission(what, long_run):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        run = Run(folder / "run", long_run.config, prepare(folder / "data"))
        images = run.data / "train.npy"
        closed = run.state
        if what == "the prepared data":
            run.folder.chmod(0o777)
            images.chmod(0o600)
            closed = images
        line = fork(run, 10, become_nobody).refused()
        assert ("no permission to use" in line or "Permission denied" in line) and str(closed) in line
        run.folder.chmod(0o777)
        images.chmod(0o644)
        fork(run, 10, become_nobody).ended()
        assert same_tensors(run.weights(), long_run.weights())


def limit(what: str, more: int) -> None:
    """In the child: no more than so much above what it has."""
    if what == "files open":
        number, now = resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) - 1
    elif what == "memory":
        number, now = resource.RLIMIT_AS, int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    else:
        number, now = resource.RLIMIT_FSIZE, 0
    resource.setrlimit(number, (now + more,) * 2)


@pytest.fixture(scope="module")
def large_run(tmp_path_factory, blobs_dir) -> Run:
    """Of 32 MB of weights."""
    config = resolved("vae")
    config["network"] |= {"fc_dim": 2048}
    return Run(tmp_path_factory.mktemp("large"), config, blobs_dir).train()


LIMITS = [
    ("files open", 0, "too many files are open", "vae_run"),
    ("files open", 1, "too many files are open", "vae_run"),
    ("file size", 20_000, "the file would be larger than is allowed here: raise the limit (ulimit -f)", "vae_run"),
    ("memory", 8 * 2**20, "out of memory: lower training.batch_size", "large_run"),
]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.faults("limit of {what}")
@pytest.mark.parametrize(("what", "more", "says", "model"), LIMITS)
def test_a_limit_is_reached(what, more, says, model, tmp_path, request):
    """Half trained, then a try under the limit, then without it."""
    whole = request.getfixturevalue(model)
    run = Run(tmp_path, whole.config, whole.data)
    fork(run, 0, hold, 2).held().go_on(signal.SIGTERM).ended(75)

    def saved() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in run.state.glob("*-*.safetensors")}

    before = saved()
    assert says in fork(run, 0, limit, what, more).refused()
    assert saved() == before
    assert "resuming at epoch" in fork(run).ended() and same_tensors(run.weights(), whole.weights())
