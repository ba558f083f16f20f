"""One writer to a state folder, and no lock that outlives its holder: on this machine or another."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from faults_tools import fork, hold
from run_tools import Run, resolved, same_tensors
from waiting import until

from vaeglow.errors import UserError
from vaeglow.training import lock
from vaeglow.training.lock import FolderLock

pytestmark = pytest.mark.faults
ELSEWHERE = {"pid": 4242, "host": "node17", "boot": "another", "token": "0" * 16}


@pytest.fixture
def quick(monkeypatch):
    """Seconds become hundredths."""
    monkeypatch.setattr(lock, "BEAT", 0.1)
    monkeypatch.setattr(lock, "STALE", 0.6)


def leave_card(folder: Path, age: float = 0.0, **changes: str) -> Path:
    """A card as another holder left it so many seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    card = folder / "holder.json"
    card.write_text(json.dumps(ELSEWHERE | changes))
    os.utime(card, (time.time() - age,) * 2)
    return card


@contextlib.contextmanager
def without_locks(monkeypatch: pytest.MonkeyPatch, number: int):
    """As on a file system without locks, or where they do not reach the other host (`number` 0)."""

    class Lock:
        def __init__(self, path: object) -> None:
            Path(str(path)).touch()

        def acquire(self, timeout: float) -> None:
            if number:
                raise OSError(number, os.strerror(number))

        def release(self) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr(lock, "FileLock", Lock)
        yield


def test_a_second_trainer_is_refused_at_once(vae_run, tmp_path, fault):
    whole = Run(tmp_path / "whole", resolved("vae", epochs=10), vae_run.data).train()
    run = Run(tmp_path / "run", whole.config, whole.data)
    with fault("a second trainer on the same run") as tried:
        first = fork(run, 0, hold, 1).held()
        second = fork(run)
        assert second.wait() == 2
        (line,) = second.text("stderr").splitlines()
        assert "is in use by another training process" in line and f'"pid": {first.process.pid}' in line
        assert "last sign of life" in line and line.endswith("wait for it, or stop it")
        first.send(signal.SIGCONT)
        assert first.wait() == 0
        assert same_tensors(run.weights(), whole.weights()) and run.rows() == whole.rows()
        assert not (run.state / "holder.json").exists()
        tried.lost("nothing")


def test_the_lock_of_a_killed_process_is_free(vae_run, tmp_path, fault):
    run = Run(tmp_path / "run", resolved("vae", epochs=10), vae_run.data)
    with fault("lock of a dead process, this host"):
        first = fork(run, 0, hold, 1).held()
        first.kill()
        pid = first.process.pid
        assert json.loads((run.state / "holder.json").read_text())["pid"] == pid
        second = fork(run)
        assert second.wait() == 0, second.text("stderr")
        assert f'the last holder ({{"pid": {pid}, ' in second.text() and "is gone without a word" in second.text()


def test_a_stale_card_of_another_host_is_taken_over_at_once(tmp_path, capsys, fault):
    leave_card(tmp_path, age=lock.STALE + 5)
    with fault("lock of a dead process, another host"):
        with FolderLock(tmp_path).held():
            assert json.loads((tmp_path / "holder.json").read_text())["pid"] == os.getpid()
        said = capsys.readouterr().out
        assert "node17" in said and "looking whether" not in said and not (tmp_path / "holder.json").exists()


def test_a_fresh_card_of_another_host_is_watched_until_it_is_stale(tmp_path, quick, capsys, fault):
    leave_card(tmp_path, age=-2.0)
    with fault("lock of a dead process, another host") as tried:
        with FolderLock(tmp_path).held():
            pass
        assert "looking whether it still lives" in capsys.readouterr().out
        tried.lost("nothing")


@pytest.mark.parametrize("number", [0, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_living_holder_on_another_host_is_respected_without_its_lock(number, tmp_path, quick, monkeypatch, fault):
    monkeypatch.setattr(lock, "STALE", 30.0)
    with fault("a second trainer on another host, locks not shared"), without_locks(monkeypatch, number):
        first = FolderLock(tmp_path)
        first.me |= {"host": "node17", "boot": "another"}
        with first.held():  # touches its card in a thread
            second = FolderLock(tmp_path)
            with pytest.raises(
                UserError, match=r'is in use by another training process \({"pid": \d+, "host": "node17'
            ):
                second.held().__enter__()
            first.require()
        assert not (tmp_path / "holder.json").exists()
        with second.held():
            pass


def test_who_lost_the_folder_writes_nothing_more(tmp_path, fault):
    """Two that start in the same moment where locks are not shared, or a folder deleted under a trainer."""
    with fault("state folder taken over or deleted under a trainer"):
        mine = FolderLock(tmp_path / "state")
        with mine.held():
            mine.require()
            leave_card(tmp_path / "state")
            with pytest.raises(UserError, match=r"is no longer ours but of .*node17.*nothing more is written"):
                mine.require()
        assert json.loads((tmp_path / "state/holder.json").read_text()) == ELSEWHERE  # left to its owner
        (tmp_path / "state/holder.json").unlink()
        with mine.held():
            (tmp_path / "state/holder.json").unlink()
            with pytest.raises(UserError, match="no longer ours but of nobody"):
                mine.require()


def test_a_trainer_whose_folder_is_deleted_stops(vae_run, tmp_path, fault):
    import shutil

    run = Run(tmp_path / "run", resolved("vae", epochs=10), vae_run.data)
    with fault("state folder taken over or deleted under a trainer"):
        child = fork(run, 0, hold, 3).held()
        shutil.rmtree(run.state)
        child.send(signal.SIGCONT)
        assert child.wait() == 2
        assert "error: " in child.text("stderr") and child.text("stderr").count("\n") == 1
        assert not run.model.exists()


def test_the_holder_touches_its_card(tmp_path, quick):
    mine = FolderLock(tmp_path)
    with mine.held():
        os.utime(tmp_path / "holder.json", (0, 0))
        until(lambda: mine.age() < 1e6)
    assert threading.active_count() < 20


def test_an_unreadable_card_is_watched_like_any_other(tmp_path, quick):
    leave_card(tmp_path).write_bytes(b"\xff{")
    with FolderLock(tmp_path).held():
        assert json.loads((tmp_path / "holder.json").read_text())["pid"] == os.getpid()
