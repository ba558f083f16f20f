"""Where a dataset's files are looked for: the place the user names, or paths and URLs in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_tools import FileServer, file_server

from vaeglow.data import fetch
from vaeglow.data.fetch import PinnedFile
from vaeglow.data.sources import obtain, pick
from vaeglow.errors import UserError

CONTENT = {"a.bin": b"one", "b.bin": b"two"}
FILES = [PinnedFile(name, hashlib.sha256(content).hexdigest(), 100) for name, content in CONTENT.items()]


@pytest.fixture
def server(monkeypatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "BACK_OFF", 0.001)
    with file_server() as server:
        server.files |= CONTENT
        yield server


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where both files lie."""
    (tmp_path / "mirror").mkdir()
    for name, content in CONTENT.items():
        (tmp_path / "mirror" / name).write_bytes(content)
    return tmp_path / "mirror"


def look(where: Path) -> list[bytes]:
    return [pick(where, file).read_bytes() for file in FILES]


def found(tmp_path: Path, sources: list[str], local: str | None = None) -> list[bytes]:
    settings = {"local": local, "sources": sources}
    return obtain("mine", settings, FILES, look, "fetch it by hand", tmp_path / "out")


def test_the_first_place_that_has_the_files_is_taken(server, folder, tmp_path, capsys):
    nowhere = str(tmp_path / "nowhere")
    assert found(tmp_path, [nowhere, str(folder), server.url]) == [b"one", b"two"] and not server.asked
    out, err = capsys.readouterr()
    assert f"from {folder}" in out and f"{nowhere} does not exist" in err
    assert found(tmp_path, [nowhere, server.url, str(folder)]) == [b"one", b"two"]
    assert [name for name, *_ in server.asked] == ["a.bin", "b.bin"]
    assert found(tmp_path, [server.url + "/"]) == [b"one", b"two"] and len(server.asked) == 2  # kept
    assert sorted(path.name for path in (tmp_path / "out" / "download").iterdir()) == ["a.bin", "b.bin"]


def test_file_urls_and_home_are_paths(folder, tmp_path, monkeypatch):
    assert found(tmp_path, [folder.as_uri()]) == [b"one", b"two"]
    monkeypatch.setenv("HOME", str(folder.parent))
    assert found(tmp_path, ["~/mirror"]) == [b"one", b"two"] == found(tmp_path, [], local="~/mirror")


def test_a_url_may_name_the_one_file(server, tmp_path):
    settings = {"local": None, "sources": [f"{server.url}/a.bin"]}
    assert obtain("mine", settings, FILES[:1], lambda where: pick(where, FILES[0]), "", tmp_path).read_bytes() == b"one"
    assert [name for name, *_ in server.asked] == ["a.bin"]


def test_a_server_without_the_files_leads_to_the_next(server, tmp_path):
    with file_server() as empty:
        assert found(tmp_path, [empty.url, server.url]) == [b"one", b"two"]
        server.files["a.bin"] = b"six"
        with pytest.raises(UserError, match=r"404.*another file.*fetch it by hand"):
            found(tmp_path / "anew", [empty.url, server.url])


def test_a_wrong_file_at_hand_is_an_error_not_passed_over(server, folder, tmp_path):
    (folder / "b.bin").write_bytes(b"tw")
    for settings in ({"sources": [str(folder), server.url]}, {"sources": [], "local": str(folder)}):
        with pytest.raises(UserError, match=rf"b\.bin .*{FILES[1].digest}.*delete it or fetch it again"):
            found(tmp_path, **settings)
    assert not server.asked


def test_what_is_named_as_local_must_have_it(server, folder, tmp_path):
    (folder / "b.bin").unlink()
    with pytest.raises(UserError, match=r"datasets\.mine\.local: .*mirror has no b\.bin: correct the path"):
        found(tmp_path, [server.url], local=str(folder))
    with pytest.raises(UserError, match=r"datasets\.mine\.local: .*nowhere does not exist"):
        found(tmp_path, [server.url], local=str(tmp_path / "nowhere"))
    assert not server.asked


def test_with_nothing_to_try_it_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"dataset mine: .*`sources` are empty.*fetch it by hand"):
        found(tmp_path, [])
