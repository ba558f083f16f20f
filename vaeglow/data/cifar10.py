"""Dataset kind `cifar10`: CIFAR-10 (Krizhevsky 2009) through torchvision, from a local copy or the network.

The batches are Python pickles, which can run code when read. They are read only after their hashes have
been checked: the archive against its sha256 and torchvision's md5 before it is unpacked, then each batch
against torchvision's md5 (`CIFAR10.__init__` checks all six, and the file of names, before it loads them).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.seeds import Stream
from vaeglow.errors import UserError
from vaeglow.files import explain_os_error, sha256_file

ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
TIMEOUT_SECONDS = 60
SIZE, CHANNELS = 32, 3


def build(settings: dict[str, Any], output_dir: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read CIFAR-10 and take the val split off the end of a seeded permutation of the training images.

    Args:
        settings: local (path or None), val_images, split_seed, size (32), channels (3).
        output_dir: a download is kept in its folder `download`, so a second run needs no network.

    Returns:
        The splits (uint8 [N, 3, 32, 32]) and how they were made. Training images come in the order of the
        permutation, so the first n are a fair subset; test images in their own order.

    Raises:
        UserError: no copy can be had, it is not CIFAR-10, or the settings do not fit.
    """
    if (settings["size"], settings["channels"]) != (SIZE, CHANNELS):
        raise UserError(f"cifar10 has images of size {SIZE} with {CHANNELS} channels: set `size` and `channels` so")
    train, test, origin = _read(settings["local"], output_dir)
    held_out, seed = settings["val_images"], settings["split_seed"]
    if not 0 <= held_out < len(train):
        raise UserError(f"`val_images` is {held_out}: it must lie in 0..{len(train) - 1}, some images must train")
    order = Stream(seed, "cifar10").permutation(len(train))
    cut = len(train) - held_out
    splits = {"train": train[order[:cut]], "val": train[order[cut:]], "test": test}
    return splits, {"origin": origin, "archive_sha256": ARCHIVE_SHA256, "split_seed": seed}


def _read(local: str | None, output_dir: Path) -> tuple[np.ndarray, np.ndarray, str]:
    from torchvision.datasets import CIFAR10

    if local is not None:
        where = Path(local).expanduser()
        if where.name == CIFAR10.base_folder and where.is_dir():
            where = where.parent
        if (where / CIFAR10.base_folder).is_dir():
            return *_load(where, f"datasets.cifar10.local: {where / CIFAR10.base_folder}"), "local folder"
        archive = where / CIFAR10.filename if where.is_dir() else where
        if not archive.is_file():
            looked_for = f"neither an archive nor a folder with {CIFAR10.filename} or {CIFAR10.base_folder}"
            raise UserError(f"datasets.cifar10.local: {local} is {looked_for}: correct the path")
        if not _is_genuine(archive):
            raise UserError(
                f"datasets.cifar10.local: {archive} is not the whole, genuine archive (hash differs): fetch it again "
                f"from {CIFAR10.url}"
            )
        return *_unpack_and_load(archive, output_dir), "local archive"
    archive = output_dir / "download" / CIFAR10.filename
    if not (archive.is_file() and _is_genuine(archive)):
        _download(archive)
    return *_unpack_and_load(archive, output_dir), CIFAR10.url


def _is_genuine(archive: Path) -> bool:
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    return sha256_file(archive) == ARCHIVE_SHA256 and check_integrity(archive, CIFAR10.tgz_md5)


def _download(archive: Path) -> None:
    """Fetch the archive to a temporary folder, check it, and only then give it its name."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_url

    by_hand = "fetch it by hand and set datasets.cifar10.local to the file"
    with temporary_folder(archive.parent) as folder:
        try:
            with socket_timeout(TIMEOUT_SECONDS):
                download_url(CIFAR10.url, folder, filename=CIFAR10.filename, md5=None)
        except (OSError, RuntimeError, RecursionError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and isinstance(explain_os_error(error, archive), UserError):
                raise explain_os_error(error, archive) from error
            raise UserError(f"cannot download {CIFAR10.url} ({error}): {by_hand}") from error
        if not _is_genuine(folder / CIFAR10.filename):
            raise UserError(
                f"the download of {CIFAR10.url} is cut short or altered (hash differs): try again, or {by_hand}"
            )
        os.replace(folder / CIFAR10.filename, archive)


def _unpack_and_load(archive: Path, output_dir: Path) -> tuple[np.ndarray, np.ndarray]:
    """Unpack the files that torchvision reads from a checked archive, for as long as it reads them."""
    from torchvision.datasets import CIFAR10

    names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list] + [CIFAR10.meta["filename"]]
    with temporary_folder(output_dir) as folder:
        target = folder / CIFAR10.base_folder
        target.mkdir()
        with tarfile.open(archive, "r:gz") as tar:
            for name in names:
                (target / name).write_bytes(tar.extractfile(f"{CIFAR10.base_folder}/{name}").read())
        return _load(folder, str(archive))


def _load(root: Path, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The training and test images under `root`/cifar-10-batches-py, uint8 [N, 3, 32, 32]."""
    from torchvision.datasets import CIFAR10

    try:
        parts = [CIFAR10(root, train=train, download=False).data for train in (True, False)]
    except RuntimeError as error:
        raise UserError(
            f"{where}: a batch file is missing, cut short or altered (md5 differs): unpack {CIFAR10.filename} again"
        ) from error
    train, test = (np.ascontiguousarray(part.transpose(0, 3, 1, 2)) for part in parts)
    return train, test


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder in `parent` (so a rename stays on one disk), removed at the end whatever happens."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".temporary-") as folder:
            yield Path(folder)
    except OSError as error:
        raise explain_os_error(error, parent) from error


@contextlib.contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Bound the wait for a socket: torchvision sets no timeout, so a silent host would hang."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
