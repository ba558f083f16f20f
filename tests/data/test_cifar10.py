"""Dataset kind `cifar10`: from a tiny stand-in of its archive, never the network."""

from __future__ import annotations

import dataclasses
import io
import pickle
import tarfile
from hashlib import md5, sha256
from pathlib import Path

import numpy as np
import pytest
from server_tools import Reply, file_server
from torchvision.datasets import CIFAR10

from vaeglow.data import cifar10, fetch
from vaeglow.data.arrays import open_split, read_info
from vaeglow.data.prepare import prepare
from vaeglow.errors import UserError

FILES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
Members = dict[str, tuple[tarfile.TarInfo, bytes]]


@dataclasses.dataclass
class Tiny:
    """An archive like CIFAR-10's, of 5 x 4 training and 3 test images."""

    archive: Path
    files: dict[str, bytes]
    train: np.ndarray
    test: np.ndarray

    def members(self) -> Members:
        members = {}
        for name, content in self.files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            members[name] = member, content
        return members


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Tiny:
    """Its hashes stand where the real ones do."""
    draw = np.random.default_rng(0)
    batches = {name: draw.integers(0, 256, (4, 3072), dtype=np.uint8) for name in FILES[:5]}
    batches["test_batch"] = draw.integers(0, 256, (3, 3072), dtype=np.uint8)
    files = {name: pickle.dumps({"data": data, "labels": [0] * len(data)}) for name, data in batches.items()}
    monkeypatch.setattr(cifar10, "MD5", {name: md5(files[name]).hexdigest() for name in FILES})
    train = np.concatenate([batches[name] for name in FILES[:5]]).reshape(-1, 3, 32, 32)
    archive = tmp_path / "served" / cifar10.ARCHIVE.name
    archive.parent.mkdir()
    tiny = Tiny(archive, files, train, batches["test_batch"].reshape(-1, 3, 32, 32))
    write(archive, tiny.members(), monkeypatch)
    return tiny


def write(archive: Path, members: Members, monkeypatch) -> None:
    """Write an archive and pin it."""
    with tarfile.open(archive, "w:gz") as tar:
        for member, content in members.values():
            tar.addfile(member, io.BytesIO(content))
    pin(archive, monkeypatch)


def pin(archive: Path, monkeypatch) -> None:
    digest = sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar10, "ARCHIVE", dataclasses.replace(cifar10.ARCHIVE, digest=digest))


def made(folder: Path, **settings) -> Path:
    prepare("cifar10", {"kind": "cifar10", "size": 32, **settings}, folder)
    return folder


def left_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) if folder.exists() else []


ARRAYS = ["dataset.json", "test.npy", "train.npy", "val.npy"]


@pytest.mark.parametrize("form", ["archive", "folder of archive", "folder of batches", "batches"])
def test_a_copy_at_hand_is_used_and_split(tiny, tmp_path, form):
    if form in ("archive", "folder of archive"):
        local = tiny.archive if form == "archive" else tiny.archive.parent
    else:
        with tarfile.open(tiny.archive) as tar:
            tar.extractall(tmp_path / "unpacked", filter="data")
        local = tmp_path / "unpacked" / ("cifar-10-batches-py" if form == "batches" else "")
    folder = made(tmp_path / "out", local=str(local), val_images=5)
    out = {split: open_split(folder, split) for split in ("train", "val", "test")}
    assert np.array_equal(out["test"], tiny.test) and (len(out["train"]), len(out["val"])) == (15, 5)
    together = sorted(image.tobytes() for image in (*out["train"], *out["val"]))
    assert together == sorted(image.tobytes() for image in tiny.train)
    assert not np.array_equal(out["train"], tiny.train[:15]) and left_in(folder) == ARRAYS


def test_a_dataset_says_the_same_wherever_its_files_came_from(tiny, tmp_path):
    with file_server() as server:
        server.files[tiny.archive.name] = tiny.archive.read_bytes()
        fetched = made(tmp_path / "fetched", sources=[str(tmp_path / "nowhere"), server.url])
    assert left_in(fetched) == [ARRAYS[0], f"download/{tiny.archive.name}", *ARRAYS[1:]]
    at_hand = made(tmp_path / "at_hand", sources=[str(tiny.archive.parent)])
    assert (fetched / "dataset.json").read_bytes() == (at_hand / "dataset.json").read_bytes()
    assert read_info(fetched)["source"] == {"archive_sha256": cifar10.ARCHIVE.digest, "split_seed": 0}


@pytest.mark.parametrize(
    ("reply", "says"),
    [(Reply(status=404), "HTTP 404"), (Reply(cut=100), "broke off"), (Reply(cut=100, told=False), "another file")],
)
def test_a_failed_download_is_one_line_and_leaves_no_dataset(tiny, tmp_path, monkeypatch, reply, says):
    monkeypatch.setattr(fetch, "BACK_OFF", 0.001)
    with file_server() as server:
        server.files[tiny.archive.name], server.always = tiny.archive.read_bytes()[:350], reply
        monkeypatch.setattr(fetch, "TRIES", 2)
        with pytest.raises(UserError, match=says) as caught:
            made(tmp_path / "out", sources=[server.url])
    assert "set datasets.cifar10.local" in str(caught.value) and "\n" not in str(caught.value)
    assert not set(left_in(tmp_path / "out")) - {f"download/{tiny.archive.name}.part"}


def test_altered_copies_are_never_unpickled(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(pickle, "loads", lambda *_, **__: pytest.fail("read before its hash was checked"))
    with tarfile.open(tiny.archive) as tar:
        tar.extractall(tmp_path, filter="data")
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="data_batch_3 is cut short or altered"):
        made(tmp_path / "out", local=str(tmp_path))
    write(
        tiny.archive,
        tiny.members() | {"data_batch_3": (tiny.members()["data_batch_3"][0], batch.read_bytes())},
        monkeypatch,
    )
    with pytest.raises(UserError, match="data_batch_3 is cut short or altered"):
        made(tmp_path / "out", local=str(tiny.archive))
    tiny.archive.write_bytes(tiny.archive.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"sha256 is .* instead of {cifar10.ARCHIVE.digest}"):
        made(tmp_path / "out", local=str(tiny.archive))
    assert left_in(tmp_path / "out") == []


# ------------------------------------------------ archives that mean harm, as if their hash were the right one


def link(name: str, kind: bytes, target: str = "/etc/passwd") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def test_members_that_lead_out_are_never_written(tiny, tmp_path, monkeypatch):
    bad = b"overwritten"
    absolute, dotted, within = (
        tarfile.TarInfo(name)
        for name in (str(tmp_path / "absolute"), "../../dotted", "cifar-10-batches-py/../../within")
    )
    for member in (absolute, dotted, within):
        member.size = len(bad)
    extra: Members = {str(i): (member, bad) for i, member in enumerate((absolute, dotted, within))}
    extra["link"] = link("cifar-10-batches-py/link", tarfile.SYMTYPE, "/")
    extra["device"] = link("cifar-10-batches-py/device", tarfile.CHRTYPE)
    write(tiny.archive, {**extra, **tiny.members()}, monkeypatch)
    before = left_in(tmp_path)
    folder = made(tmp_path / "out", local=str(tiny.archive))
    assert np.array_equal(open_split(folder, "test"), tiny.test)
    assert left_in(tmp_path) == sorted([*before, *(f"out/{name}" for name in ARRAYS)])


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_a_batch_that_is_no_plain_file_is_refused(tiny, tmp_path, monkeypatch, kind):
    name = "cifar-10-batches-py/data_batch_2"
    write(
        tiny.archive,
        tiny.members() | {"data_batch_2": link(name, kind, "cifar-10-batches-py/data_batch_1")},
        monkeypatch,
    )
    with pytest.raises(UserError, match=f"{name} is no plain file"):
        made(tmp_path / "out", local=str(tiny.archive))
    assert left_in(tmp_path / "out") == []


def test_a_batch_larger_than_it_can_be_is_refused_unread(tiny, tmp_path, monkeypatch):
    member, content = tiny.members()["data_batch_1"]
    monkeypatch.setattr(cifar10, "MAX_MEMBER", len(content) - 1)
    with pytest.raises(UserError, match=f"{member.name} is no plain file of a sensible size"):
        made(tmp_path / "out", local=str(tiny.archive))


def test_a_header_that_says_more_than_there_is(tiny, tmp_path, monkeypatch):
    members = tiny.members()
    members["test_batch"][0].size += 100_000  # it is the last: nothing follows
    with tarfile.open(tiny.archive, "w:gz") as tar:
        for member, content in members.values():
            tar.fileobj.write(member.tobuf())
            tar.fileobj.write(content + bytes(-len(content) % 512))
    pin(tiny.archive, monkeypatch)
    with pytest.raises(UserError, match=r"fetch .*again"):
        made(tmp_path / "out", local=str(tiny.archive))
    assert left_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-300], lambda c: b"no archive", lambda c: c[:100] + b"x" * 50 + c[150:]]
)
def test_a_damaged_archive_is_one_line(tiny, tmp_path, monkeypatch, damage):
    tiny.archive.write_bytes(damage(tiny.archive.read_bytes()))
    pin(tiny.archive, monkeypatch)
    with pytest.raises(UserError, match="fetch it again") as caught:
        made(tmp_path / "out", local=str(tiny.archive))
    assert "\n" not in str(caught.value) and left_in(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"local": "/no/such/place"}, "correct the path"),
        ({"size": 64}, "size"),
        ({"channels": 1}, "channels"),
        ({"val_images": 20}, r"`val_images` is 20: it must lie in 0\.\.19"),
        ({"val_images": -1}, "val_images"),
    ],
)
def test_settings_that_do_not_fit(tiny, tmp_path, settings, says):
    with pytest.raises(UserError, match=says):
        made(tmp_path / "out", **{"local": str(tiny.archive), **settings})


def test_the_pinned_hashes_are_the_published_ones():
    assert cifar10.ARCHIVE.digest == "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    assert dict(CIFAR10.train_list + CIFAR10.test_list) == cifar10.MD5  # torchvision's
