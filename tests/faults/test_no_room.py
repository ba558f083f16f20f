"""Full disks, read-only folders, missing permissions and limits: one line, nothing lost, and on it goes afterwards."""

import os
import resource
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest
from faults_tools import fork, hold
from refusals import user_error
from run_tools import Run, assert_equal_runs, interrupt, prepare, resolved, same_tensors, states
from waiting import ROOT

from vaeglow.data import prepare as prepare_data
from vaeglow.files import atomic_path

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
def test_the_disk_fills_while_a_model_trains(vae_run, small_disk):
    run = Run(small_disk("8m") / "run", vae_run.config, vae_run.data)
    child = fork(run, 0, hold, 5).held()
    filler = fill(run.folder.parent)
    assert f"{FULL} again" in child.go_on().refused()
    assert run.saved_step() == 5
    assert not list(run.state.rglob(".*.tmp"))
    filler.unlink()
    assert_equal_runs(run.train(), vae_run)


@pytest.mark.faults("disk full while the results are written")
def test_the_disk_is_full_when_the_results_are_written(vae_run, small_disk, tmp_path):
    disk = small_disk("64k")
    run = Run(tmp_path, vae_run.config, vae_run.data)
    run.model = disk / "model.safetensors"
    run.model.write_text("an older file")
    fill(disk)
    line = fork(run).refused()
    assert f"cannot write {disk}" in line
    assert FULL in line
    assert run.model.read_text() == "an older file"
    assert not run.training.exists()
    assert not list(disk.glob(".*.tmp"))
    run.model = tmp_path / "model.safetensors"
    assert "resuming at epoch 3, step 0" in fork(run).ended()
    assert same_tensors(run.weights(), vae_run.weights())


@pytest.mark.faults("disk full while data are prepared")
def test_data_onto_a_full_disk(small_disk):
    entry = {"kind": "digits", "channels": 1, "size": 32, "val_images": 97, "test_images": 400}
    disk = small_disk("1m")
    data = disk / "data"
    with user_error("the disk is full: free some room"):
        prepare_data("digits32", entry, data)
    assert not (data / "dataset.json").exists()
    assert not list(data.glob(".*.tmp"))
    remount(disk, "size=8m")
    prepare_data("digits32", entry, data)


@pytest.mark.faults("read-only folder")
@pytest.mark.parametrize("what", ["state", "model"])
def test_a_read_only_folder(what, vae_run, small_disk, tmp_path):
    disk = small_disk("8m")
    run = Run(tmp_path, vae_run.config, vae_run.data)
    setattr(run, what, disk / "folder" / "old")
    (disk / "folder").mkdir()
    remount(disk, "ro")
    line = fork(run).refused()
    assert str(disk) in line
    assert "the file system is read-only: choose another folder" in line
    assert not run.training.exists()
    remount(disk, "rw")
    run.train()
    assert same_tensors(run.weights(), vae_run.weights())


def become_nobody() -> None:
    """In the child: a user that owns nothing."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


@ROOT_ONLY
@OPEN_ONLY
@pytest.mark.faults("no permission to read or write")
@pytest.mark.parametrize("what", ["the run's folder", "the prepared data"])
def test_no_permission(what, vae_run):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        run = Run(folder / "run", vae_run.config, prepare(folder / "data"))
        images = run.data / "train.npy"
        closed = run.state
        if what == "the prepared data":
            run.folder.chmod(0o777)
            images.chmod(0o600)
            closed = images
        line = fork(run, 10, become_nobody).refused()
        assert "no permission to use" in line or "Permission denied" in line
        assert str(closed) in line
        run.folder.chmod(0o777)
        images.chmod(0o644)
        fork(run, 10, become_nobody).ended()
        assert same_tensors(run.weights(), vae_run.weights())


@pytest.mark.faults
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_what_a_library_wrote_for_its_owner_only_is_for_all_whom_the_umask_lets_read(umask, mode, tmp_path):
    path = tmp_path / "result"
    before = os.umask(umask)
    try:
        with atomic_path(path) as temporary:
            temporary.touch(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def limit(what: str, more: int) -> None:
    """In the child: no more than so much above what it has."""
    number = resource.RLIMIT_FSIZE
    now = 0
    if what == "files open":
        number = resource.RLIMIT_NOFILE
        now = len(os.listdir("/proc/self/fd")) - 1
    if what == "memory":
        number = resource.RLIMIT_AS
        pages, *_ = Path("/proc/self/statm").read_text().split()
        now = int(pages) * resource.getpagesize()
    resource.setrlimit(number, (now + more, now + more))


@pytest.fixture(scope="module")
def large_run(tmp_path_factory, blobs_dir) -> Run:
    """Of 32 MB of weights."""
    config = resolved("vae")
    config["network"]["fc_dim"] = 2048
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
    run = interrupt(Run(tmp_path, whole.config, whole.data), 2)
    before = {path: path.read_bytes() for path in states(run)}
    assert says in fork(run, 0, limit, what, more).refused()
    assert {path: path.read_bytes() for path in states(run)} == before
    assert_equal_runs(run.train(), whole)
