"""Images as a user gives them, checked; and images as files."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vaeglow.errors import UserError
from vaeglow.files import atomic_path
from vaeglow.reporting.style import image_grid


def as_array(images: Any) -> np.ndarray:
    """Images [N, C, H, W], C 1 or 3: a uint8 tensor or array, or a list of PIL images. UserError for anything else."""
    modes = {getattr(image, "mode", None) for image in images} if isinstance(images, list) else set()
    if modes in ({"L"}, {"RGB"}):
        sizes = {image.size for image in images}
        if len(sizes) > 1:
            raise UserError(f"PIL images must have one size, not {sorted(sizes)[:3]}: resize them")
        images = np.stack([np.atleast_3d(np.asarray(image)).transpose(2, 0, 1) for image in images])
    kind = getattr(images, "dtype", type(images).__name__)
    if str(kind).removeprefix("torch.") != "uint8":
        raise UserError(
            f"images must be uint8, not {kind}: give a tensor or array [N, C, H, W] of 0..255, or a list of PIL "
            "images, all RGB or all L"
        )
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise UserError(f"images must have shape [N, C, H, W] with C 1 or 3, not {list(images.shape)}")
    return images.cpu().numpy() if isinstance(images, Tensor) else images


def finite_numbers(values: Any, what: str, *shape: int) -> Tensor:
    """Values [N, *shape] as a float32 tensor; UserError, which names `what`, for another shape or values not finite."""
    try:
        numbers = torch.as_tensor(values if isinstance(values, Tensor) else np.array(values), dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.empty(0)
    if numbers.shape[1:] != shape or not len(numbers) or not numbers.isfinite().all():
        expected = ", ".join(map(str, shape))
        raise UserError(f"{what} must be finite numbers [N, {expected}], a tensor or an array: check shape and values")
    return numbers


def takes_images(path: Path) -> bool:
    """Whether `save_images` writes one file; UserError where it cannot write to that path."""
    one_file = path.suffix == ".png"
    if path.exists() and (not path.name or path.is_file() != one_file or (path.is_dir() and any(path.iterdir()))):
        raise UserError(f"{path} already exists: give a new or empty folder, or a .png file")
    if path.suffix.lower() in Image.registered_extensions() and not one_file:
        raise UserError(f"{path}: pictures are written as PNG: name it {path.with_suffix('.png').name}")
    return one_file


def save_images(images: Any, path: str | Path) -> None:
    """Write images as PNG: to a path in `.png` all in a grid, else each to a file of a new folder.

    Args:
        images: uint8 [N, C, H, W], C 1 or 3, a tensor or an array, or a list of PIL images.
        path: of the file or the folder.

    Raises:
        UserError: other images; the path is taken, or cannot be written.
    """
    path = Path(path)
    array = as_array(images)
    one_file = takes_images(path)
    with atomic_path(path) as temporary:
        if one_file:
            shape = array.shape[1:]
            columns = int(np.ceil(len(array) ** 0.5))
            blank = np.full((-len(array) % columns, *shape), 255, np.uint8)
            grid = np.concatenate([array, blank]).reshape(-1, columns, *shape)
            Image.fromarray(image_grid(grid)).save(temporary, "PNG")
        else:
            temporary.mkdir()
            for number, image in enumerate(array):
                Image.fromarray(image_grid(image[None, None])).save(temporary / f"{number:05}.png")
