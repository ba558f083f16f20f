"""Downloads, and where files are looked for: a server on 127.0.0.1 that fails on demand, never the network."""

import hashlib
import random
import socket
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from fid_tools import left_in, one_line
from refusals import user_error
from server_tools import FileServer, Reply, file_server

from vaeglow.data import sources as module
from vaeglow.data.sources import PinnedFile, Unavailable, fetch, obtain

CONTENT = random.Random(0).randbytes(50_000)
FILE = PinnedFile("set.bin", hashlib.sha256(CONTENT).hexdigest(), max_bytes=60_000)
SMALL = {"a.bin": b"one", "b.bin": b"two"}
BOTH = [b"one", b"two"]
SHELF = "resources/by_hand"
FILES = [PinnedFile(name, hashlib.sha256(content).hexdigest(), 100) for name, content in SMALL.items()]


@pytest.fixture
def server(served) -> FileServer:
    served.files |= SMALL | {"set.bin": CONTENT}
    return served


def get(server: FileServer, folder: Path) -> bytes:
    path = fetch(f"{server.url}/{FILE.name}", FILE, folder)
    return path.read_bytes()


def asked_for(server: FileServer) -> list[str]:
    """The parts that were asked for, "" for all."""
    return [part for _, part in server.asked]


def refuse(server: FileServer, folder: Path, says: str) -> None:
    """A download fails in one line with these words; nothing lies under the final name."""
    with pytest.raises(Unavailable, match=one_line(server.url, says)):
        get(server, folder)
    assert FILE.name not in left_in(folder)


def test_a_file_arrives_whole_is_kept_and_not_asked_for_again(server, tmp_path):
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        assert get(server, folder) == CONTENT
        assert left_in(folder) == ["set.bin"]
        assert len(server.asked) == 1
    (folder / "set.bin").write_bytes(CONTENT[:-1])  # damaged on disk: fetched again
    assert get(server, folder) == CONTENT


def test_after_a_broken_connection_it_continues_from_there(server, tmp_path):
    server.replies = [Reply(cut=20_000), Reply(cut=10_000)]
    assert get(server, tmp_path) == CONTENT
    assert asked_for(server) == ["", "bytes=20000-", "bytes=30000-"]


def test_without_ranges_it_starts_anew(server, tmp_path):
    server.replies = [Reply(cut=20_000, ranges=False)]
    server.always = Reply(ranges=False)
    assert get(server, tmp_path) == CONTENT
    assert asked_for(server) == ["", "bytes=20000-"]


def test_what_a_broken_download_left_serves_the_next_run_even_from_another_server(server, tmp_path):
    server.always = Reply(cut=2_000)
    refuse(server, tmp_path, "broke off after 10,000 of 50,000 bytes")
    assert len(server.asked) == module.TRIES
    assert left_in(tmp_path) == ["set.bin.part"]
    assert (tmp_path / "set.bin.part").stat().st_size == 10_000
    with file_server() as other:
        other.files["set.bin"] = CONTENT
        assert get(other, tmp_path) == CONTENT
        assert asked_for(other) == ["bytes=10000-"]


PARTS = [b"x" * 100, CONTENT, CONTENT[:-1] + b"x", CONTENT + b"x" * 5000]


@pytest.mark.parametrize("left", PARTS, ids=["another", "whole", "damaged", "longer"])
def test_whatever_an_earlier_run_left_it_ends_with_the_file(server, tmp_path, left):
    """Another file's part, all of the file, and as many bytes or more of something else."""
    (tmp_path / "set.bin.part").write_bytes(left)
    assert get(server, tmp_path) == CONTENT
    assert left_in(tmp_path) == ["set.bin"]


@pytest.mark.parametrize("status", [503, 408, 425, 429])
def test_an_overloaded_server_is_asked_again_after_growing_waits(server, tmp_path, monkeypatch, status):
    sleep = Mock()
    monkeypatch.setattr(module.time, "sleep", sleep)
    monkeypatch.setattr(module, "BACK_OFF", 1.0)
    server.replies = [Reply(status=status)] * 3
    assert get(server, tmp_path) == CONTENT
    assert [call.args for call in sleep.call_args_list] == [(1.0,), (2.0,), (4.0,)]
    server.always = Reply(status=status)
    refuse(server, tmp_path / "again", f"HTTP {status}")
    assert len(server.asked) == 4 + module.TRIES


def test_a_refusal_is_final(server, tmp_path):
    server.always = Reply(status=403)
    refuse(server, tmp_path, "HTTP 403")
    assert len(server.asked) == 1


OTHER = [
    (CONTENT[:-1] + b"?", Reply(), hashlib.sha256(CONTENT[:-1] + b"?").hexdigest()),
    (CONTENT, Reply(cut=100, told=False), "another file"),
    (bytes(10_000_000), Reply(told=False), "more than the 60,000 bytes"),
]


@pytest.mark.parametrize("content, reply, says", OTHER, ids=["damaged", "cut short", "too long"])
def test_other_content_is_deleted(server, tmp_path, content, reply, says):
    server.files["set.bin"] = content
    server.always = reply
    refuse(server, tmp_path, says)
    assert left_in(tmp_path) == []


ADDRESSES = {
    "http://127.0.0.1:1/x": "refused",
    "http://host.invalid/x": "no such host",
    "http://a b/x": "control characters",
}


@pytest.mark.parametrize("address, says", ADDRESSES.items())
def test_there_is_nobody(server, tmp_path, address, says, monkeypatch):
    known = socket.getaddrinfo

    def resolve(host: str, *arguments: Any) -> Any:
        if host == "host.invalid":
            raise socket.gaierror("no such host")
        return known(host, *arguments)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(Unavailable, match=says):
        fetch(address, FILE, tmp_path / "out")
    assert left_in(tmp_path / "out") == []


def test_nobody_answers(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "TIMEOUT", 0.05)
    server.always = Reply(silent=True)
    refuse(server, tmp_path, "timed out")
    assert capsys.readouterr().err.count("timed out; next try") == module.TRIES - 1


def test_a_full_disk_is_said_and_not_tried_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "Lines", Mock(side_effect=OSError(28, "No space left on device")))
    with user_error("disk is full") as caught:
        get(server, tmp_path)
    assert not isinstance(caught.value, Unavailable)
    assert len(server.asked) == 1


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where both small files lie."""
    (tmp_path / "mirror").mkdir()
    for name, content in SMALL.items():
        (tmp_path / "mirror" / name).write_bytes(content)
    return tmp_path / "mirror"


def obtained(tmp_path: Path, sources: list[str], local: str | None = None, files: int = 2) -> list[bytes]:
    settings = {"local": local, "sources": sources}
    paths = obtain("mine", settings, FILES[:files], "its page", tmp_path / "out")
    return [path.read_bytes() for path in paths]


def test_the_first_place_that_has_the_files_is_taken(server, folder, tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    assert obtained(tmp_path, [nowhere, str(folder), server.url]) == BOTH
    assert not server.asked
    out, err = capsys.readouterr()
    assert f"from {folder}" in out
    assert f"{nowhere} does not exist" in err
    for sources in ([nowhere, server.url, str(folder)], [server.url + "/"]):
        assert obtained(tmp_path, sources) == BOTH
        assert [name for name, _ in server.asked] == ["a.bin", "b.bin"]  # then kept
    assert left_in(tmp_path / "out" / "download") == ["a.bin", "b.bin"]
    assert obtained(tmp_path / "new", [f"{server.url}/a.bin"], files=1) == [b"one"]  # the file's own address


def test_a_place_may_be_a_file_url_or_in_the_home_and_local_is_taken_instead(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    for sources, local in (([folder.as_uri()], None), (["~/mirror"], None), ([], "~/mirror")):
        assert obtained(tmp_path, sources, local) == BOTH


def test_a_server_without_the_files_leads_to_the_next(server, tmp_path):
    with file_server() as empty:
        assert obtained(tmp_path, [empty.url, server.url]) == BOTH
        server.files["a.bin"] = b"six"
        with user_error(r"404.*another file.*fetch .* by hand .its page"):
            obtained(tmp_path / "anew", [empty.url, server.url])


@pytest.mark.parametrize(
    "sources, local, says",
    [
        ([], None, r"dataset mine: .*`sources` are empty.*fetch .* by hand .its page"),
        ([SHELF], None, r"by hand \(its page\) into resources/by_hand/, or set datasets\.mine\.local"),
        ([SHELF], "nowhere", r"by hand \(its page\) and set datasets\.mine\.local"),
    ],
)
def test_no_place_has_the_files(tmp_path, sources, local, says):
    with user_error(says):
        obtained(tmp_path, sources, local)


def test_a_wrong_file_at_hand_is_an_error_even_where_a_server_has_it(server, folder, tmp_path):
    (folder / "b.bin").write_bytes(b"tw")
    with user_error(rf"b\.bin .*{FILES[1].digest}.*delete it or fetch it again"):
        obtained(tmp_path, [str(folder), server.url])
    assert not server.asked
