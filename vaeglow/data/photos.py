"""Dataset kind `photos`: small crops of the photographs that the installed packages carry. No download.

Each picture is cut into a grid of blocks; each block belongs to one split; a crop lies wholly inside a block
and is resized after it is cut. So no pixel of a test image has any part in a training image.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vaeglow.data.arrays import SPLITS
from vaeglow.data.pictures import PICTURES, load_picture
from vaeglow.data.seeds import Stream
from vaeglow.errors import UserError

# Bicubic, which Pillow widens to antialias when shrinking: its weights are polynomials, so, unlike those of
# Lanczos (sines of the platform's libm), they are the same bits on every machine.
FILTER = Image.Resampling.BICUBIC
SHARES = {"test": 0.2, "val": 0.1}  # of a picture's blocks, at least one each; train has the rest
MAX_BLOCKS_ALONG = 6  # larger blocks in larger pictures: more different crops in each
MIN_BLOCKS = 10  # a picture cut into fewer cannot be shared out 70/10/20
BLANK_STD = 6.0  # of 255 in luminance; below it lie the black surround of the retina and flat sky
MAX_DRAWS = 20


@dataclass(frozen=True)
class Crop:
    """A square of a picture: left edge x, top edge y, side, in pixels of the picture."""

    picture: str
    x: int
    y: int
    side: int


@dataclass(frozen=True)
class Grid:
    """A picture's blocks: `columns` x `rows` of `width` x `height` pixels, and each split's block numbers."""

    columns: int
    rows: int
    width: int
    height: int
    sides: tuple[int, ...]
    blocks: dict[str, tuple[int, ...]]


def build(settings: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, list[Crop]]]:
    """Cut the dataset.

    Args:
        settings: pictures, crop_sides, size, channels, train_images, val_images, test_images, split_seed.

    Returns:
        The splits (uint8 [N, C, size, size]), how they were made (for dataset.json), and each image's crop.

    Raises:
        UserError: a picture that is unknown, altered or too small, or settings that cannot be met.
    """
    _check(settings)
    size, seed = settings["size"], settings["split_seed"]
    pictures = {name: load_picture(name, settings["channels"]) for name in settings["pictures"]}
    grids = {name: make_grid(name, image.size, settings["crop_sides"], seed) for name, image in pictures.items()}
    crops = {split: _plan(split, settings[f"{split}_images"], pictures, grids, seed) for split in SPLITS}
    splits = {split: _cut(crops[split], pictures, size, settings["channels"]) for split in SPLITS}
    source = {
        "pictures": {
            name: {
                "sha256": PICTURES[name].sha256,
                "credit": PICTURES[name].credit,
                "blocks": [grid.columns, grid.rows],
                "crop_sides": list(grid.sides),
            }
            for name, grid in grids.items()
        },
        "split_seed": seed,
        "blank_std": BLANK_STD,
        "filter": FILTER.name.lower(),
    }
    return splits, source, crops


def make_grid(name: str, size: tuple[int, int], crop_sides: list[int], seed: int) -> Grid:
    """Cut a picture of `size` (width, height) into blocks and deal them to the splits.

    Sides too large for at least `MIN_BLOCKS` blocks are dropped for this picture.

    Raises:
        UserError: even the smallest side leaves too few blocks.
    """
    sides = sorted(set(crop_sides))
    while True:
        columns, rows = (min(length // sides[-1], MAX_BLOCKS_ALONG) for length in size)
        if columns * rows >= MIN_BLOCKS:
            break
        sides.pop()
        if not sides:
            least = min(crop_sides)
            raise UserError(
                f"picture {name} ({size[0]}x{size[1]}) is too small for crops of {least}: lower `crop_sides`"
            )
    order = Stream(seed, "blocks", name).permutation(columns * rows).tolist()
    blocks = {}
    for split, share in SHARES.items():
        count = max(1, round(share * columns * rows))
        blocks[split], order = tuple(order[:count]), order[count:]
    blocks["train"] = tuple(order)
    return Grid(columns, rows, size[0] // columns, size[1] // rows, tuple(sides), blocks)


def _plan(split: str, count: int, pictures: dict[str, Image.Image], grids: dict[str, Grid], seed: int) -> list[Crop]:
    """Draw `count` crops, the pictures taking turns, in each round in another order.

    So the first n images, and any n evenly spaced ones, are as even a mixture as all.
    """
    rounds = (Stream(seed, "turns", split, number).permutation(len(pictures)) for number in itertools.count())
    names = [list(pictures)[k] for k in itertools.islice(itertools.chain.from_iterable(rounds), count)]
    grey = {name: np.asarray(image.convert("L"), dtype=np.int64) for name, image in pictures.items()}
    # The i-th crop has its own stream: one redrawn for a last bit of a JPEG decoder moves no other.
    return [_draw(name, split, i, grey, grids, seed) for i, name in enumerate(names)]


def _draw(name: str, split: str, index: int, grey: dict[str, np.ndarray], grids: dict[str, Grid], seed: int) -> Crop:
    """Draw one crop; nearly blank ones are drawn again, and the least blank kept if all are."""
    grid, stream = grids[name], Stream(seed, "crop", split, name, index)
    best, best_variance = None, -1.0
    for _ in range(MAX_DRAWS):
        row, column = divmod(grid.blocks[split][stream.below(len(grid.blocks[split]))], grid.columns)
        side = grid.sides[stream.below(len(grid.sides))]
        x = column * grid.width + stream.below(grid.width - side + 1)
        y = row * grid.height + stream.below(grid.height - side + 1)
        pixels = grey[name][y : y + side, x : x + side]
        variance = (pixels.size * int((pixels**2).sum()) - int(pixels.sum()) ** 2) / pixels.size**2  # exact integers
        if variance > best_variance:
            best, best_variance = Crop(name, x, y, side), variance
        if variance >= BLANK_STD**2:
            break
    return best


def _cut(crops: list[Crop], pictures: dict[str, Image.Image], size: int, channels: int) -> np.ndarray:
    """The crops' pixels, uint8 [N, C, size, size]."""
    images = np.empty((len(crops), size, size, channels), dtype=np.uint8)
    for image, crop in zip(images, crops, strict=True):
        square = pictures[crop.picture].crop((crop.x, crop.y, crop.x + crop.side, crop.y + crop.side))
        image[:] = np.asarray(square.resize((size, size), FILTER)).reshape(size, size, channels)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _check(settings: dict[str, Any]) -> None:
    names, sides, size = settings["pictures"], settings["crop_sides"], settings["size"]
    if not names or len(set(names)) < len(names):
        raise UserError("`pictures` must name at least one picture, each once")
    if not sides or min(sides) < size:
        raise UserError(f"`crop_sides` must be {size} (`size`) or more: a smaller crop would have to be enlarged")
    for split in SPLITS:
        count, least = settings[f"{split}_images"], 0 if split == "val" else 1
        if count < least:
            raise UserError(f"`{split}_images` is {count}: it must be {least} or more")
