"""Dataset kind `folder`: the user's own images, a root of files or of train/ and test/ (and perhaps val/)."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import SPLITS
from vaeglow.data.images import FILTER, BrokenImage, read_square
from vaeglow.data.parallel import ordered_map
from vaeglow.data.progress import progress
from vaeglow.data.seeds import Stream
from vaeglow.errors import UserError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LOOKED_FOR = f"{' '.join(SUFFIXES)}; links that lead out of the root are not followed"
MANY = 2000  # files; with fewer, starting other processes takes longer than they save
SHOWN = 3  # broken files named in an error; dataset.json names all


def build(settings: dict[str, Any], workers: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a folder of images.

    Files are taken by suffix (`SUFFIXES`), at any depth, hidden ones left out; sorted by relative path, then
    put in a seeded order, so neither the result nor its order depends on the file system. A link that leads
    out of the root, or to a file already taken (test first, then val, then train), is passed over.

    Args:
        settings: root, size, channels, split_seed, on_broken ("error" | "skip"), and
            test_fraction: share of all files, needed where there are no folders train/ and test/;
            val_fraction: share of the training files, 0 for none; not with a folder val/.
        workers: processes that decode; the result does not depend on it.

    Returns:
        The splits (uint8 [N, C, size, size]) and how they were made, with every broken file by name.

    Raises:
        UserError: folder missing, empty, unreadable or half split; a broken file under on_broken "error";
            too few images for the split; settings out of range.
    """
    _check(settings)
    root = Path(settings["root"]).expanduser()
    files, passed_over = _divide(root, settings)
    broken: dict[str, str] = {}
    splits = {split: _read(root, files[split], settings, broken, workers) for split in SPLITS}
    total = sum(map(len, files.values()))
    if broken and settings["on_broken"] == "error":
        named = "; ".join(f"{name}: {reason}" for name, reason in list(broken.items())[:SHOWN])
        more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        remedy = "mend or remove them, or set the dataset's `on_broken` to skip"
        raise UserError(f"{root}: {len(broken)} of {total} image files are broken ({named}{more}): {remedy}")
    for split, images in splits.items():
        if files[split] and not len(images):
            raise UserError(f"{root}: all {len(files[split])} images of the {split} split are broken: mend the files")
    source = {
        "root": str(settings["root"]),
        "broken_files": broken,
        "links_passed_over": passed_over,
        "split_seed": settings["split_seed"],
        "filter": FILTER.name.lower(),
    }
    return splits, source


def _check(settings: dict[str, Any]) -> None:
    if settings["size"] < 1:
        raise UserError(f"the dataset's `size` is {settings['size']}: it must be positive")
    if settings["on_broken"] not in ("error", "skip"):
        raise UserError(f"the dataset's `on_broken` is {settings['on_broken']!r}: it must be error or skip")
    for key in ("test_fraction", "val_fraction"):
        value, lowest_allowed = settings[key], key == "val_fraction"
        if value is not None and not (0 < value < 1 or (lowest_allowed and value == 0)):
            raise UserError(f"the dataset's `{key}` is {value}: it must lie between 0 and 1")


def _divide(root: Path, settings: dict[str, Any]) -> tuple[dict[str, list[Path]], int]:
    """The files of each split, in their final order, and how many links were passed over."""
    if not root.is_dir():
        raise UserError(f"the dataset's `root` {root} is not a folder: correct the path")
    have = {split: (root / split).is_dir() for split in SPLITS}
    if have["train"] != have["test"]:
        one, other = ("train", "test") if have["train"] else ("test", "train")
        raise UserError(f"{root} has a folder {one} but none named {other}: add it, or set `root` to {root / one}")
    seen: set[Path] = set()
    seed, test_fraction, val_fraction = settings["split_seed"], settings["test_fraction"], settings["val_fraction"]
    if have["train"]:
        if test_fraction is not None:
            raise UserError(f"{root} has folders train and test, so `test_fraction` would do nothing: leave it out")
        if have["val"] and val_fraction:
            raise UserError(f"{root} has a folder val, so `val_fraction` would do nothing: leave it out")
        found = {s: _list(root / s, root, seen) if have[s] else ([], 0) for s in ("test", "val", "train")}
        for split in SPLITS:
            if have[split] and not found[split][0]:
                raise UserError(f"{root / split} holds no image files ({LOOKED_FOR}): correct `root`")
        files = {split: _shuffle(found[split][0], seed, split) for split in SPLITS}
    else:
        if test_fraction is None:
            raise UserError(f"{root} has no folders train and test: set the dataset's `test_fraction`, for example 0.1")
        found = {"all": _list(root, root, seen)}
        if not found["all"][0]:
            raise UserError(f"{root} holds no image files ({LOOKED_FOR}): correct `root`")
        files = {"train": _shuffle(found["all"][0], seed, "all"), "val": []}
        files["test"] = _take(files["train"], test_fraction, root, "test_fraction")
    if val_fraction:
        files["val"] = _take(files["train"], val_fraction, root, "val_fraction")
    return files, sum(links for _, links in found.values())


def _take(files: list[Path], fraction: float, root: Path, key: str) -> list[Path]:
    """Take a fraction off the end of `files`, leaving at least one."""
    count = round(fraction * len(files))
    if not 1 <= count < len(files):
        raise UserError(f"{root}: `{key}` {fraction} of {len(files)} images is {count}: too few images for this split")
    taken = files[-count:]
    del files[-count:]
    return taken


def _list(folder: Path, root: Path, seen: set[Path]) -> tuple[list[Path], int]:
    """Image files under `folder`, sorted by relative path, without links out of `root` and files in `seen`."""
    found = []

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read the folder {error.filename} ({error.strerror}): check its permissions")

    for parent, folders, names in os.walk(folder, onerror=refuse):  # does not enter links to folders
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, n) for n in names if n.lower().endswith(SUFFIXES) and not n.startswith(".")]
    kept, real_root = [], root.resolve()
    # plain files before links: of a file and a link to it the file is taken
    for path in sorted(found, key=lambda path: (path.is_symlink(), path.relative_to(root).as_posix())):
        real = path.resolve()
        if real not in seen and real.is_relative_to(real_root):
            seen.add(real)
            kept.append(path)
    return sorted(kept, key=lambda path: path.relative_to(root).as_posix()), len(found) - len(kept)


def _shuffle(files: list[Path], seed: int, key: str) -> list[Path]:
    return [files[i] for i in Stream(seed, "folder", key).permutation(len(files))]


def _read(root: Path, files: list[Path], settings: dict[str, Any], broken: dict[str, str], workers: int) -> np.ndarray:
    """Read files into one array, one image at a time; the broken ones go to `broken` with the reason."""
    size, channels = settings["size"], settings["channels"]
    images, count = np.empty((len(files), channels, size, size), dtype=np.uint8), 0
    read = functools.partial(read_or_reason, size=size, channels=channels)
    workers = workers if len(files) >= MANY else 1
    with progress(str(root), len(files), "images") as advance:
        for path, image in zip(files, ordered_map(read, files, workers), strict=True):
            if isinstance(image, str):
                broken[path.relative_to(root).as_posix()] = image
            else:
                images[count] = image
                count += 1
            advance(1)
    return images[:count]


def read_or_reason(path: Path, size: int, channels: int) -> np.ndarray | str:
    """`read_square`, or why it cannot read the file."""
    try:
        return read_square(path, size, channels)
    except BrokenImage as error:
        return str(error)
