"""Downloads from a server on 127.0.0.1 that breaks off, lies, stalls and refuses; never the network."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_tools import FileServer, Reply, file_server
from waiting import LIMIT

from vaeglow.data import fetch as module
from vaeglow.data.fetch import PinnedFile, Unreachable, fetch
from vaeglow.errors import UserError

CONTENT = random.Random(0).randbytes(50_000)
FILE = PinnedFile("set.bin", hashlib.sha256(CONTENT).hexdigest(), max_bytes=60_000)


@pytest.fixture
def server(monkeypatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(module, "BACK_OFF", 0.001)
    monkeypatch.setattr(module, "TIMEOUT", LIMIT)
    with file_server() as server:
        server.files["set.bin"] = CONTENT
        yield server


def get(server: FileServer, folder: Path, file: PinnedFile = FILE) -> Path:
    return fetch(f"{server.url}/{file.name}", file, folder)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def ranges(server: FileServer) -> list[str]:
    return [asked for _, asked, _ in server.asked]


def refused(server: FileServer, folder: Path, file: PinnedFile = FILE) -> str:
    """The one line of a download that failed; nothing lies under the final name."""
    with pytest.raises(Unreachable) as caught:
        get(server, folder, file)
    assert "\n" not in str(caught.value) and server.url in str(caught.value)
    assert file.name not in left_in(folder)
    return str(caught.value)


def test_a_file_arrives_whole_is_kept_and_not_asked_for_again(server, tmp_path):
    assert get(server, tmp_path / "a" / "b").read_bytes() == CONTENT
    assert left_in(tmp_path / "a" / "b") == ["set.bin"]
    assert get(server, tmp_path / "a" / "b").read_bytes() == CONTENT and len(server.asked) == 1
    (tmp_path / "a" / "b" / "set.bin").write_bytes(CONTENT[:-1])  # damaged on disk: fetched again
    assert get(server, tmp_path / "a" / "b").read_bytes() == CONTENT and len(server.asked) == 2


def test_a_connection_that_breaks_off_is_taken_up_where_it_ended(server, tmp_path):
    server.replies = [Reply(cut=20_000), Reply(cut=10_000)]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert ranges(server) == ["", "bytes=20000-", "bytes=30000-"] and left_in(tmp_path) == ["set.bin"]


def test_without_ranges_it_starts_anew(server, tmp_path):
    server.replies = [Reply(cut=20_000, ranges=False)]
    server.always = Reply(ranges=False)
    assert get(server, tmp_path).read_bytes() == CONTENT and ranges(server) == ["", "bytes=20000-"]


def test_what_a_broken_download_left_serves_the_next_run_even_from_another_server(server, tmp_path):
    server.always = Reply(cut=2_000)
    line = refused(server, tmp_path)
    assert len(server.asked) == module.TRIES and "5 tries" in line and "set.bin.part" in line
    assert left_in(tmp_path) == ["set.bin.part"] and (tmp_path / "set.bin.part").stat().st_size == 10_000
    with file_server() as other:
        other.files["set.bin"] = CONTENT
        assert get(other, tmp_path).read_bytes() == CONTENT and ranges(other) == ["bytes=10000-"]


def test_tries_that_bring_much_do_not_count(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEADWAY", 2_000)
    server.always = Reply(cut=2_500)  # twenty tries
    assert get(server, tmp_path).read_bytes() == CONTENT and len(server.asked) == 20


def test_a_part_of_another_file_is_found_out_and_dropped(server, tmp_path):
    (tmp_path / "set.bin.part").write_bytes(b"x" * 100)
    assert get(server, tmp_path).read_bytes() == CONTENT and ranges(server) == ["bytes=100-", ""]


@pytest.mark.parametrize("length", [50_000, 55_000])
def test_a_part_as_long_as_the_file_or_longer(server, tmp_path, length):
    (tmp_path / "set.bin.part").write_bytes((CONTENT + b"x" * 9000)[:length])
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert left_in(tmp_path) == ["set.bin"]


def test_a_file_that_changes_between_two_tries_is_not_pieced_together(server, tmp_path):
    server.replies = [Reply(cut=20_000, etag='"old"'), Reply(etag='"new"')]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked[1] == ("set.bin", "bytes=20000-", '"old"')


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_refusal_is_final(server, tmp_path, status):
    server.always = Reply(status=status)
    assert f"HTTP {status}" in refused(server, tmp_path)
    assert len(server.asked) == 1 and left_in(tmp_path) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_an_overloaded_server_is_asked_again(server, tmp_path, status, capsys):
    server.replies = [Reply(status=status)] * 3
    assert get(server, tmp_path).read_bytes() == CONTENT and len(server.asked) == 4
    assert f"HTTP {status}" in capsys.readouterr().err
    server.always = Reply(status=status)
    (tmp_path / "set.bin").unlink()
    assert "5 tries" in refused(server, tmp_path)


def test_the_waits_between_tries_double(server, tmp_path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    monkeypatch.setattr(module, "BACK_OFF", 1.0)
    server.always = Reply(status=503)
    refused(server, tmp_path)
    assert waits == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("told", [True, False])
def test_wrong_bytes_are_deleted_and_both_hashes_named(server, tmp_path, told):
    other = CONTENT[:-1] + b"?"
    server.files["set.bin"], server.always = other, Reply(told=told)
    line = refused(server, tmp_path)
    assert FILE.digest in line and hashlib.sha256(other).hexdigest() in line and left_in(tmp_path) == []


def test_a_truncated_file_of_untold_length_is_no_file(server, tmp_path):
    server.always = Reply(cut=100, told=False)
    assert "another file" in refused(server, tmp_path) and left_in(tmp_path) == []


@pytest.mark.parametrize("told", [True, False])
def test_more_bytes_than_the_file_can_have_are_not_taken(server, tmp_path, told):
    server.files["set.bin"], server.always = bytes(10_000_000), Reply(told=told)
    assert "at most 0.06 MB" in refused(server, tmp_path) and left_in(tmp_path) == []


def test_a_silent_server_is_given_up(server, tmp_path, monkeypatch):
    """The first try is; the second, to a server that answers, has all the time it needs."""
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    monkeypatch.setattr(module.time, "sleep", lambda _: setattr(module, "TIMEOUT", LIMIT))
    server.replies = [Reply(silent=True)]
    assert get(server, tmp_path).read_bytes() == CONTENT and len(server.asked) == 2
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    server.always = Reply(silent=True)
    (tmp_path / "set.bin").unlink()
    assert "timed out" in refused(server, tmp_path)


def test_a_trickle_counts_as_broken_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.05)
    server.replies = [Reply(drip=0.005)]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert len(server.asked) == 2 and ranges(server)[1].startswith("bytes=")


def test_nobody_there(server, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
    for address, says in ((url, "refused"), ("http://host.invalid/x", r"host\.invalid"), ("http://a b/x", "cannot")):
        with pytest.raises(Unreachable, match=says):
            fetch(address, FILE, tmp_path / "out")
    assert left_in(tmp_path / "out") == []


def test_a_full_disk_is_said_and_not_tried_again(server, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module._Transfer, "_copy", full)
    with pytest.raises(UserError, match="disk is full") as caught:
        get(server, tmp_path)
    assert not isinstance(caught.value, Unreachable) and len(server.asked) == 1


def test_progress_is_shown_in_a_log(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("vaeglow.data.progress.LOG_SECONDS", 0.0)
    get(server, tmp_path)
    assert "set.bin: 50,000 of 50,000 B" in capsys.readouterr().err
