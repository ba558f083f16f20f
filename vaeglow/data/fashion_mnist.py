"""Dataset kind `fashion_mnist` (Xiao et al. 2017): 28x28 grey images, from a local copy or through torchvision."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.cifar10 import TIMEOUT_SECONDS, socket_timeout, temporary_folder
from vaeglow.data.seeds import Stream
from vaeglow.errors import UserError
from vaeglow.files import explain_os_error

SIZE, CHANNELS = 28, 1
FILES = {  # name, sha256 of what it holds (compressed anew, a copy is another file), images
    "train": (
        "train-images-idx3-ubyte.gz",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        60000,
    ),
    "test": (
        "t10k-images-idx3-ubyte.gz",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        10000,
    ),
}
# Where Debian's package dataset-fashion-mnist puts them.
SYSTEM = Path("/usr/share/datasets/fashion-mnist")


def build(settings: dict[str, Any], output_dir: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the images and take the val split off the end of a seeded permutation of the training images.

    Args:
        settings: local (a folder with the two files of images, or None), val_images, split_seed, size (28),
            channels (1).
        output_dir: a download is kept in its folder `download`, so a second run needs no network.

    Returns:
        The splits (uint8 [N, 1, 28, 28]) and how they were made.

    Raises:
        UserError: no copy can be had, it is not Fashion-MNIST, or the settings do not fit.
    """
    if (settings["size"], settings["channels"]) != (SIZE, CHANNELS):
        raise UserError(f"fashion_mnist has images of size {SIZE} with one channel: set `size` and `channels` so")
    train, test = (_find(split, settings["local"], output_dir) for split in ("train", "test"))
    held_out, seed = settings["val_images"], settings["split_seed"]
    if not 0 <= held_out < len(train):
        raise UserError(f"`val_images` is {held_out}: it must lie in 0..{len(train) - 1}, some images must train")
    order = Stream(seed, "fashion_mnist").permutation(len(train))
    cut = len(train) - held_out
    splits = {"train": train[order[:cut]], "val": train[order[cut:]], "test": test}
    hashes = {split: sha256 for split, (_, sha256, _) in FILES.items()}
    return splits, {"files_sha256": hashes, "split_seed": seed}


def _find(split: str, local: str | None, output_dir: Path) -> np.ndarray:
    """The images of one split: from the user's folder, the system's, an earlier download, or a new one."""
    name, sha256, _ = FILES[split]
    if local is not None:
        path = Path(local).expanduser() / name
        if not path.is_file():
            raise UserError(f"datasets.fashion_mnist.local: {local} has no file {name}: correct the path")
        content = _content(path)
        if content is None or hashlib.sha256(content).hexdigest() != sha256:
            raise UserError(f"datasets.fashion_mnist.local: {path} is not genuine (hash differs): fetch it again")
        return _decode(content, split)
    downloaded = output_dir / "download" / name
    for path in (SYSTEM / name, downloaded):
        content = _content(path) if path.is_file() else None
        if content is not None and hashlib.sha256(content).hexdigest() == sha256:
            return _decode(content, split)
    return _decode(_download(name, sha256, downloaded), split)


def _content(path: Path) -> bytes | None:
    """What a gzip file holds; None if it is damaged."""
    try:
        return gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return None


def _download(name: str, sha256: str, target: Path) -> bytes:
    """Fetch one file to a temporary folder, check it, and only then give it its name; returns what it holds."""
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.utils import download_url

    url = FashionMNIST.mirrors[0] + name
    by_hand = "fetch it by hand and set datasets.fashion_mnist.local to its folder"
    with temporary_folder(target.parent) as folder:
        try:
            with socket_timeout(TIMEOUT_SECONDS):
                download_url(url, folder, filename=name, md5=None)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and isinstance(explain_os_error(error, target), UserError):
                raise explain_os_error(error, target) from error
            raise UserError(f"cannot download {url} ({error}): {by_hand}") from error
        content = _content(folder / name)
        if content is None or hashlib.sha256(content).hexdigest() != sha256:
            raise UserError(f"the download of {url} is cut short or altered (hash differs): try again, or {by_hand}")
        os.replace(folder / name, target)
    return content


def _decode(content: bytes, split: str) -> np.ndarray:
    """The images of a checked idx file, uint8 [N, 1, 28, 28], through torchvision's reader."""
    from torchvision.datasets.mnist import read_image_file

    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        images = read_image_file(file.name).numpy()
    return np.ascontiguousarray(images.reshape(FILES[split][2], 1, SIZE, SIZE))
