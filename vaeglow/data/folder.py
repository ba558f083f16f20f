"""Your own images: `make mine` writes an overlay; another is `examples/own_dataset.yaml`."""

import functools
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray
from PIL import Image, ImageOps, UnidentifiedImageError

from vaeglow.config.keys import choice
from vaeglow.data.arrays import MODES, SPLITS, Made, on_disk, ordered_map
from vaeglow.data.seeds import PATH, SPLIT_SEED, Stream
from vaeglow.errors import UserError
from vaeglow.files import Config

SCHEMA = {
    "root": {
        **PATH,
        "description": "a folder of images at any depth, or with folders `train/` and `test/` (and optionally `val/`). "
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
    "on_broken": choice(
        "a file that cannot be read: `error` or `skip` (named in `dataset.json`)", "error", "skip", default="error"
    ),
    **SPLIT_SEED,
}
THREADS = 8  # that decode; Snakemake takes fewer where it has fewer cores
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def build(settings: Config, output_dir: Path, threads: int, **_: Any) -> Made:
    """Read a folder of images; see `vaeglow.data`.

    Files are taken by suffix (`SUFFIXES`), at any depth, hidden ones left out; sorted by relative path, then
    put in a seeded order, so neither the result nor its order depends on the file system. A link that leads
    out of the root, or to a file already taken (test first, then val, then train), is skipped.
    """
    root = Path(settings["root"]).expanduser()
    size = settings["size"]
    channels = settings["channels"]
    files, links_skipped = divide(root, settings)
    read = functools.partial(read_or_reason, size=size, channels=channels)
    splits = {}
    broken = {}
    for split in SPLITS:
        paths = files[split]
        images = on_disk(output_dir, (len(paths), channels, size, size))
        count = 0
        for path, image in zip(paths, ordered_map(read, paths, len(paths), threads, str(root)), strict=True):
            if isinstance(image, str):
                broken[path.relative_to(root).as_posix()] = image
            else:
                images[count] = image
                count += 1
        splits[split] = images[:count]
    if broken and settings["on_broken"] == "error":
        remedy = ", or set `on_broken: skip` in the overlay that names this dataset"
        raise UserError(said_broken(root, broken, sum(map(len, files.values()))) + remedy)
    for split, paths in files.items():
        if paths and not len(splits[split]):
            raise UserError(f"{root}: all {len(paths)} images of the {split} split are broken: repair the files")
    return splits, {
        "root": str(settings["root"]),
        "broken_files": broken,
        "links_passed_over": links_skipped,
        "split_seed": settings["split_seed"],
        "filter": "lanczos",
    }


def said_broken(root: Path, broken: dict[str, str], total: int) -> str:
    """What is said of broken files, whose reasons are given by name, among so many in a folder."""
    examples = "; ".join(f"{name}: {reason}" for name, reason in itertools.islice(broken.items(), 3))
    return f"{root}: {len(broken)} of {total} image files are broken, such as {examples}: repair or remove them"


def divide(root: Path, settings: Config) -> tuple[dict, int]:
    """The files of each split, in their final order, and how many links were skipped."""
    if not root.is_dir():
        raise UserError(f"the dataset's `root` {root} is not a folder: correct the path")
    folders = {split: root / split for split in ("test", "val", "train") if (root / split).is_dir()}
    if ("train" in folders) != ("test" in folders):
        present, absent = ("train", "test") if "train" in folders else ("test", "train")
        raise UserError(
            f"{root} has a folder {present} but none named {absent}: add it, or set `root` to {root / present}"
        )
    if "train" not in folders:
        folders = {"all": root}
        if settings["test_fraction"] is None:
            raise UserError(f"{root} has no folders train and test: set the dataset's `test_fraction`, for example 0.1")
    files = {"train": [], "val": [], "test": []}
    seen = set()
    links = 0
    for split, folder in folders.items():
        paths, skipped = _list(folder, root, seen)
        files["train" if split == "all" else split] = [
            paths[i] for i in Stream(settings["split_seed"], "folder", split).permutation(len(paths))
        ]
        links += skipped
    train = files["train"]
    for split in ("test", "val"):
        fraction = settings[f"{split}_fraction"]
        if not fraction:
            continue
        if split in folders:
            raise UserError(f"{root} has a folder {split}, so `{split}_fraction` would do nothing: leave it out")
        count = round(fraction * len(train))
        if not 1 <= count < len(train):
            raise UserError(
                f"{root}: `{split}_fraction` {fraction} of {len(train)} images is {count}: "
                "too few images for this split"
            )
        files[split] = train[-count:]
        del train[-count:]
    return files, links


def _list(folder: Path, root: Path, seen: set[Path]) -> tuple[list[Path], int]:
    """Image files under `folder`, at least one, sorted by path, without links out of `root` and files in `seen`."""
    files = []

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read the folder {error.filename} ({error.strerror}): check its permissions")

    for parent, folders, names in os.walk(folder, onerror=refuse):  # does not enter links to folders
        folders[:] = [name for name in folders if name[0] != "."]
        files += [Path(parent, name) for name in names if name.lower().endswith(SUFFIXES) and name[0] != "."]
    files.sort(key=Path.as_posix)
    real_root = root.resolve()
    kept = set()
    for path in sorted(files, key=Path.is_symlink):  # files before links: of a file and a link to it the file is taken
        real = path.resolve()
        if real not in seen and real.is_relative_to(real_root):
            seen.add(real)
            kept.add(path)
    if not kept:
        raise UserError(
            f"{folder} holds no image files ({' '.join(SUFFIXES)}; links that lead out of it are not followed): "
            "correct the path"
        )
    return [path for path in files if path in kept], len(files) - len(kept)


def read_whole(root: Path, size: int | None) -> ndarray:
    """All images of a folder, in RGB: uint8 [N, 3, H, W]; UserError where sizes differ or one is broken.

    `size`: see `read_square`.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a folder of images: correct the path")
    if size is not None and size < 1:
        raise UserError(f"--size {size}: give the side of the images in pixels")
    paths, _ = _list(root, root, set())
    images = {str(path.relative_to(root)): read_or_reason(path, size, 3) for path in paths}
    broken = {name: image for name, image in images.items() if isinstance(image, str)}
    if broken:
        raise UserError(said_broken(root, broken, len(paths)))
    looks = {f"{image.shape[2]}x{image.shape[1]}": name for name, image in images.items()}  # the last of each size
    if len(looks) > 1:
        named = ", ".join(f"{name} ({look})" for look, name in itertools.islice(looks.items(), 3))
        raise UserError(f"{root}: images of one size are needed, not {named}: remove some, or give a --size")
    return np.stack([*images.values()])


def read_or_reason(path: Path, size: int | None, channels: int) -> ndarray | str:
    """`read_square`, or in a few words why the file cannot be read."""
    try:
        return read_square(path, size, channels)
    except MemoryError:
        raise
    except UnidentifiedImageError:
        return "not an image"
    except Exception as error:  # decoders fed with damaged bytes raise anything from SyntaxError to struct.error
        return " ".join(str(error).split()) or type(error).__name__


def read_square(path: Path, size: int | None, channels: int) -> ndarray:
    """Read an image file, cut the largest centred square, resize it with antialiasing; without a size, neither.

    EXIF orientation is applied. Alpha is composited on white. Palette, 16-bit grey and CMYK become 8-bit RGB (colour
    profiles are not applied); of an animation the first frame is taken. A smaller image is enlarged.

    Returns:
        uint8 [channels, size, size], or [channels, H, W]; 3 channels are RGB, 1 is ITU-R 601 luminance.

    Raises:
        ValueError: 32-bit pixels, or so many that it may be a decompression bomb.
        Exception: whatever Pillow raises of a file that is not an image, damaged or cut short.
    """
    with Image.open(path) as image:
        limit = Image.MAX_IMAGE_PIXELS  # Pillow itself only warns up to twice its limit
        if limit is not None and image.width * image.height > limit:
            raise ValueError(f"{image.width}x{image.height} pixels, more than {limit}: possibly a decompression bomb")
        image.verify()  # checksums, where the format has them; the file must then be reopened
    with Image.open(path) as image:
        flat = _to_8_bit(ImageOps.exif_transpose(image))
    if size is not None:
        side = min(flat.size)
        left = (flat.width - side) // 2
        top = (flat.height - side) // 2
        # Pillow's Lanczos widens its kernel when shrinking, so it antialiases; it keeps the most detail of the filters.
        flat = flat.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)
    return np.atleast_3d(flat.convert(MODES[channels])).transpose(2, 0, 1)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """RGB or L, 8 bits, alpha composited on white."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels of unknown range")
        return Image.fromarray(((values.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
