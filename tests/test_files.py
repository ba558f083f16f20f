"""Files that are whole or absent, and errors of the file system in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vaeglow.errors import UserError
from vaeglow.files import read_json, write_json


def test_json_comes_back(tmp_path):
    value = {"a": [1, 2.5, None, "ä"], "b": {"c": True}}
    write_json(tmp_path / "x" / "a.json", value)
    assert read_json(tmp_path / "x" / "a.json") == value
    with pytest.raises(ValueError):
        write_json(tmp_path / "x" / "a.json", {"a": float("nan")})
    assert read_json(tmp_path / "x" / "a.json") == value
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["a.json"]


def says(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_json(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_what_cannot_be_read_as_json_is_one_line(tmp_path):
    assert "does not exist: run the step that makes it" in says(tmp_path / "a.json")
    assert "cannot read" in says(tmp_path)
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{")
    assert "is not valid JSON" in says(tmp_path / "a.json")
    assert "cannot read" in says(tmp_path / "a.json" / "b.json")


def test_a_file_without_permission(tmp_path, monkeypatch):
    def read_text(self, **_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "read_text", read_text)
    assert "(Permission denied): check" in says(tmp_path / "a.json")
