"""Any image file to an 8-bit square, for dataset kind `folder`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

# Pillow's Lanczos widens its kernel when shrinking, so it antialiases; it keeps the most detail of the filters.
FILTER = Image.Resampling.LANCZOS


class BrokenImage(Exception):
    """A file that holds no whole image we can read; the message says why, in a few words."""


def read_square(path: Path, size: int, channels: int) -> np.ndarray:
    """Read a file, cut the largest centred square, resize it with antialiasing.

    EXIF orientation is applied. Alpha is composited on white. Palette, 16-bit grey and CMYK become 8-bit
    RGB (colour profiles are not applied); of an animation the first frame is taken.

    Args:
        path: an image file in any of Pillow's formats.
        size: side of the result; a smaller image is enlarged.
        channels: 3 (RGB) or 1 (ITU-R 601 luminance).

    Returns:
        uint8 [channels, size, size].

    Raises:
        BrokenImage: not an image, damaged, cut short, or so large that it may be a decompression bomb.
    """
    try:
        with Image.open(path) as image:
            _refuse_bomb(image)
            image.verify()  # checksums, where the format has them; the file must then be opened anew
        with Image.open(path) as image:
            ImageFile.LOAD_TRUNCATED_IMAGES = False  # another library may have set it: half an image is a broken one
            image.load()
            flat = _to_8_bit(ImageOps.exif_transpose(image))
    except (BrokenImage, MemoryError):
        raise
    except Exception as error:  # decoders fed with damaged bytes raise anything from SyntaxError to struct.error
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else " ".join(str(error).split())
        raise BrokenImage(reason or type(error).__name__) from error
    side = min(flat.size)
    left, top = (flat.width - side) // 2, (flat.height - side) // 2
    square = flat.crop((left, top, left + side, top + side)).resize((size, size), FILTER)
    pixels = np.asarray(square.convert({1: "L", 3: "RGB"}[channels]))
    return np.ascontiguousarray(pixels.reshape(size, size, channels).transpose(2, 0, 1))


def read_or_reason(path: Path, size: int, channels: int) -> np.ndarray | str:
    """`read_square`, or why it cannot read the file."""
    try:
        return read_square(path, size, channels)
    except BrokenImage as error:
        return str(error)


def _refuse_bomb(image: Image.Image) -> None:
    """Pillow only warns up to twice its limit, and raises beyond: here the limit is the limit."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and image.width * image.height > limit:
        raise BrokenImage(f"{image.width}x{image.height} pixels, more than {limit}: possibly a decompression bomb")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """RGB or L, 8 bits, alpha composited on white."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise BrokenImage("32-bit pixels, whose range the file does not tell")
        return Image.fromarray(((values.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
