"""One trainer to a state folder, and no lock that survives its holder: on this machine or another."""

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest
from faults_tools import fork, hold
from filelock import SoftFileLease
from refusals import user_error
from run_tools import Run, holder, same_tensors

from vaeglow.training import checkpoint as locks
from vaeglow.training.checkpoint import FolderLock

ELSEWHERE = "filelock/2\npid=4242\nhost=node17\nmode=lease\ntoken=0123\nduration={}\n"


@pytest.fixture
def run(long_run, tmp_path) -> Run:
    return Run(tmp_path / "run", long_run.config, long_run.data)


def leave_lease(folder: Path) -> Path:
    """A lease as a holder on another host left it."""
    lease = folder / "lease"
    lease.unlink(missing_ok=True)
    lease.write_text(ELSEWHERE.format(locks.LEASE))
    return lease


def without_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As on a file system without locks, or where they do not reach the other host (`number` 0)."""

    def acquire(self: filelock.FileLock) -> None:
        if number:
            raise OSError(number, os.strerror(number))
        self._mark_descriptor_owned(os.open(os.devnull, os.O_RDONLY), (0, 0))

    monkeypatch.setattr(filelock.FileLock, "_acquire", acquire)


def replace(monkeypatch: pytest.MonkeyPatch, name: str, function: Callable) -> None:
    """Replace one of filelock's internal functions in each of its modules that has it: they move between versions."""
    modules = [module for path, module in sys.modules.items() if path.startswith("filelock.") and hasattr(module, name)]
    assert modules, f"filelock has no {name} any more"
    for module in modules:
        monkeypatch.setattr(module, name, function)


@pytest.mark.faults("a second trainer on the same run")
def test_a_second_trainer_is_refused_at_once(run, long_run):
    first = fork(run, 0, hold, 1).held()
    with user_error(f"is in use by another training process .process {first.process.pid} of .*wait for it, or stop it"):
        run.train()
    first.go_on().ended()
    assert same_tensors(run.weights(), long_run.weights())
    assert run.rows() == long_run.rows()
    assert not (run.state / "lease").exists()


@pytest.mark.faults("lock of a dead process, this host")
def test_the_lock_of_a_killed_process_is_free_at_once(run):
    first = fork(run, 0, hold, 1).held()
    first.kill()
    assert holder(run.state) == first.process.pid
    output = fork(run).ended()
    assert f"the last trainer (process {first.process.pid} of " in output
    assert "waiting for a sign of life" not in output


@pytest.mark.faults("lock of a dead process, another host")
@pytest.mark.parametrize("exchange", [True, False])  # NFS has no atomic exchange of two names
def test_the_lease_of_a_dead_process_of_another_host_is_watched_and_taken(exchange, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(locks, "LEASE", 10.0)  # longer than a pause of this process
    leave_lease(tmp_path)
    if not exchange:
        replace(monkeypatch, "exchange_names", lambda *_: False)
    with FolderLock(tmp_path).held():
        assert holder(tmp_path) == os.getpid()
    output = capsys.readouterr().out
    assert "(process 4242 of node17): wait for it, or stop it; waiting for a sign of life" in output
    assert "the last trainer (process 4242 of node17) was killed" in output
    assert not (tmp_path / "lease").exists()


@pytest.mark.faults("a second trainer on another host, locks not shared")
@pytest.mark.parametrize("number", [0, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_living_holder_on_another_host_is_respected_without_its_lock(number, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "LEASE", 30.0)
    without_locks(monkeypatch, number)
    lease = SoftFileLease(tmp_path / "lease", lease_duration=30.0, heartbeat_interval=0.2)
    with monkeypatch.context() as patch:
        replace(patch, "host_name", lambda: "node17")
        lease.acquire()  # a thread touches it
    second = FolderLock(tmp_path)
    with user_error(r"is in use by another training process \(process \d+ of node17\)"), second.held():
        pass
    lease.release()
    with second.held():
        second.require()


@pytest.mark.faults("state folder taken over or deleted under a trainer")
def test_who_lost_the_folder_writes_nothing_more(tmp_path):
    """Two that start in the same moment where locks are not shared."""
    mine = FolderLock(tmp_path)
    with mine.held():
        mine.require()
        lease = leave_lease(tmp_path)
        with user_error("was taken over by .*node17 under this trainer: nothing more is written"):
            mine.require()
    assert lease.read_text() == ELSEWHERE.format(locks.LEASE)  # left to its owner


@pytest.mark.faults("state folder taken over or deleted under a trainer")
def test_a_trainer_whose_folder_is_deleted_stops(run):
    child = fork(run, 0, hold, 3).held()
    shutil.rmtree(run.state)
    assert "was deleted under this trainer" in child.go_on().refused()
    assert not run.model.exists()
