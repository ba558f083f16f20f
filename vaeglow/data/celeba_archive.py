"""CelebA's archive of aligned images, read without unpacking, and the official partition of its images."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from types import TracebackType

from vaeglow.data.fetch import PinnedFile
from vaeglow.data.sources import NotThere, pick
from vaeglow.errors import UserError

ARCHIVE = PinnedFile(
    "img_align_celeba.zip",
    "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
    max_bytes=1_443_490_838,
)
# list_eval_partition.txt: training images come first, then validation, then test. The last image of each.
LAST = {"train": 162_770, "val": 182_637, "test": 202_599}
FOLDER = "img_align_celeba"  # inside the archive
MAX_IMAGE = 1_000_000  # bytes of one JPEG, which has some 7,000
DAMAGED = (KeyError, OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


def partition() -> dict[str, list[str]]:
    """The official partition: split -> file names, in the list's order.

    The list itself is not needed: `tests/test_celeba.py` writes it from this and gets the published file's sha256.
    """
    names, first = {}, 1
    for split, last in LAST.items():
        names[split] = [f"{number:06}.jpg" for number in range(first, last + 1)]
        first = last + 1
    return names


def look(where: Path) -> ImageBytes:
    """The archive, from its folder or itself, once its hash is checked.

    Raises:
        NotThere: there is none.
        UserError: it is another file, or damaged.
    """
    if (where / FOLDER).is_dir() and not (where / ARCHIVE.name).is_file():
        raise NotThere(f"{where} has the folder {FOLDER} but not {ARCHIVE.name}, and only that has a hash to check")
    return ImageBytes(pick(where, ARCHIVE))


class ImageBytes:
    """Reads image files by name; nothing is unpacked to disk, so no name in the archive leads anywhere.

    Args:
        path: of the archive.

    Raises:
        UserError: no zip file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise UserError(f"{path} is cut short or no zip file ({error}): fetch it again") from None

    def __enter__(self) -> ImageBytes:
        """Itself."""
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Close the archive."""
        self._archive.close()

    def read(self, name: str) -> bytes:
        """The bytes of one image file.

        Raises:
            UserError: it is missing, damaged, or larger than it can be, whatever size the archive says.
        """
        try:
            with self._archive.open(f"{FOLDER}/{name}") as file:
                content = file.read(MAX_IMAGE + 1)
        except DAMAGED as error:
            raise UserError(f"{self.path} has no whole {name} ({error}): fetch it again") from error
        if len(content) > MAX_IMAGE:
            raise UserError(f"{self.path}: {name} has more than {MAX_IMAGE:,} bytes, too many for a CelebA image")
        return content
