"""Your own images; see `examples/own_dataset.yaml`."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import SPLITS, on_disk
from vaeglow.data.progress import ordered_map
from vaeglow.data.seeds import SPLIT_SEED, Stream
from vaeglow.errors import UserError

SCHEMA = {
    "root": {
        "type": "string",
        "minLength": 1,
        "format": "path",
        "description": "a folder of images at any depth, or with folders `train/` and `test/` (and perhaps `val/`). "
        "Relative to where you call Snakemake",
    },
    "test_fraction": {
        "type": ["number", "null"],
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "default": None,
        "description": "share of the images held out for testing; leave it out with folders `train/` and `test/`",
    },
    "val_fraction": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.0,
        "description": "share of the training images held out for validation",
    },
    "on_broken": {
        "enum": ["error", "skip"],
        "default": "error",
        "description": "a file that cannot be read: `error` or `skip` (named in `dataset.json`)",
    },
    **SPLIT_SEED,
}
THREADS = 8  # that decode; Snakemake takes fewer where it has fewer cores
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
LOOKED_FOR = f"{' '.join(SUFFIXES)}; links that lead out of the root are not followed"
SHOWN = 3  # broken files named in an error; dataset.json names all


def build(
    settings: Mapping[str, Any], output_dir: Path, threads: int, **_: Any
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a folder of images; see `kinds`.

    Files are taken by suffix (`SUFFIXES`), at any depth, hidden ones left out; sorted by relative path, then
    put in a seeded order, so neither the result nor its order depends on the file system. A link that leads
    out of the root, or to a file already taken (test first, then val, then train), is skipped.

    Raises:
        UserError: folder missing, empty, unreadable or half split; a broken file under on_broken "error";
            too few images for the split.
    """
    root = Path(settings["root"]).expanduser()
    files, links_skipped = _divide(root, settings)
    broken: dict[str, str] = {}
    splits = {split: _read(root, files[split], settings, broken, output_dir, threads) for split in SPLITS}
    total = sum(map(len, files.values()))
    if broken and settings["on_broken"] == "error":
        named = "; ".join(f"{name}: {reason}" for name, reason in list(broken.items())[:SHOWN])
        more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        remedy = "repair or remove them, or set the dataset's `on_broken` to skip"
        raise UserError(f"{root}: {len(broken)} of {total} image files are broken ({named}{more}): {remedy}")
    for split, images in splits.items():
        if files[split] and not len(images):
            raise UserError(f"{root}: all {len(files[split])} images of the {split} split are broken: repair the files")
    source = {
        "root": str(settings["root"]),
        "broken_files": broken,
        "links_passed_over": links_skipped,
        "split_seed": settings["split_seed"],
        "filter": "lanczos",
    }
    return splits, source


def _divide(root: Path, settings: Mapping[str, Any]) -> tuple[dict[str, list[Path]], int]:
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


def _read(
    root: Path,
    files: list[Path],
    settings: Mapping[str, Any],
    broken: dict[str, str],
    output_dir: Path,
    threads: int,
) -> np.ndarray:
    """Read files into one array; the broken ones go to `broken` with the reason."""
    from vaeglow.data.images import read_or_reason

    size, channels = settings["size"], settings["channels"]
    images, count = on_disk(output_dir, (len(files), channels, size, size)), 0
    read = functools.partial(read_or_reason, size=size, channels=channels)
    for path, image in zip(files, ordered_map(read, files, len(files), threads, str(root)), strict=True):
        if isinstance(image, str):
            broken[path.relative_to(root).as_posix()] = image
        else:
            images[count] = image
            count += 1
    return images[:count]
