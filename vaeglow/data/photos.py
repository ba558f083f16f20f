"""Crops of real photographs from the scikit-image and scikit-learn packages, no download.

Each picture is cut into a grid of blocks; each block belongs to one split; a crop lies entirely within a block
and is resized after it is cut. So no pixel of a test image occurs in a training image.
"""

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray
from PIL import Image

from vaeglow.config.keys import count
from vaeglow.data.arrays import MODES, SPLITS, Made
from vaeglow.data.seeds import SPLIT_SEED, Stream
from vaeglow.errors import UserError
from vaeglow.files import Config


class Crop(NamedTuple):
    """A square of a picture: left edge x, top edge y, side, in pixels of the picture."""

    picture: str
    x: int
    y: int
    side: int


class Grid(NamedTuple):
    """A picture's blocks: `columns` x `rows` of `width` x `height` pixels, and each split's block numbers."""

    columns: int
    rows: int
    width: int
    height: int
    sides: tuple
    blocks: dict


FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}  # in an installed package
PICTURES = {  # name, also of the file: package, suffix, credit, sha256
    "astronaut": (
        "skimage",
        "png",
        "Eileen Collins, NASA Great Images; public domain",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    "chelsea": (
        "skimage",
        "png",
        "Chelsea the cat, Stefan van der Walt; CC0",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "coffee": (
        "skimage",
        "png",
        "Coffee cup, Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "rocket": (
        "skimage",
        "jpg",
        "Launch of DSCOVR on Falcon 9, SpaceX; public domain",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
    "hubble_deep_field": (
        "skimage",
        "jpg",
        "Hubble eXtreme Deep Field, NASA (HubbleSite 2012-37); public domain",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    ),
    "ihc": (
        "skimage",
        "png",
        "Immunohistochemical staining of colonic glands, CMMI; no known copyright restrictions",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    ),
    "retina": (
        "skimage",
        "jpg",
        "Fundus photograph of a normal left eye, Mikael Häggström; CC0",
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    ),
    "motorcycle_left": (
        "skimage",
        "png",
        "Middlebury 2014 stereo benchmark (Nesic, Westling, Wang, Kitajima, Krathwohl, Scharstein), down-sampled",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    ),
    "china": (
        "sklearn",
        "jpg",
        "danielbuechele on flickr (6061409035); CC BY 2.0",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
    "flower": (
        "sklearn",
        "jpg",
        "vultilion on flickr (6056698931); CC BY 2.0",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
}
SOME = {"type": "array", "minItems": 1, "uniqueItems": True}
SCHEMA = {
    "pictures": {**SOME, "items": {"enum": list(PICTURES)}, "description": "which photographs"},
    "crop_sides": {
        **SOME,
        "items": {"type": "integer", "minimum": 1},
        "description": "sides of the square crops, in pixels of the photograph; each is resized to `size`",
    },
    "train_images": count("number of training crops; splits use disjoint regions of a picture"),
    "val_images": count("number of validation crops", 0),
    "test_images": count("number of test crops"),
    **SPLIT_SEED,
}
SHARES = {"test": 0.2, "val": 0.1}  # of a picture's blocks, at least one each; train has the rest
MAX_BLOCKS_ALONG = 6  # larger blocks in larger pictures: more different crops in each
MIN_BLOCKS = 10  # a picture cut into fewer cannot be split 70/10/20
BLANK_STD = 6.0  # of 255 in luminance; lower: the black surround of the retina, flat sky
MAX_DRAWS = 20


def build(settings: Config, **_: Any) -> Made:
    """Cut the crops; see `vaeglow.data`."""
    pictures, grids, crops = plan(settings)
    size = settings["size"]

    def cut(crop: Crop) -> ndarray:
        """Its pixels, uint8 [size, size, C] or [size, size]."""
        # Bicubic, which Pillow widens to antialias when shrinking: its weights are polynomials, so, unlike those of
        # Lanczos (sines of the platform's libm), they are the same bits on every machine.
        return np.asarray(
            pictures[crop.picture]
            .crop((crop.x, crop.y, crop.x + crop.side, crop.y + crop.side))
            .resize((size, size), Image.Resampling.BICUBIC)
        )

    splits = {}
    for split in SPLITS:
        splits[split] = (
            np.array([cut(crop) for crop in crops[split]], np.uint8)
            .reshape(-1, size, size, settings["channels"])
            .transpose(0, 3, 1, 2)
        )
    used = {
        name: {
            "sha256": PICTURES[name][3],
            "credit": PICTURES[name][2],
            "blocks": [grid.columns, grid.rows],
            "crop_sides": [*grid.sides],
        }
        for name, grid in grids.items()
    }
    return splits, {
        "pictures": used,
        "split_seed": settings["split_seed"],
        "blank_std": BLANK_STD,
        "filter": "bicubic",
    }


def plan(settings: Config) -> tuple[dict, dict, dict]:
    """Each picture and its grid, by name, and each split's crops; errors as for `build`.

    The pictures take turns, in a new order each round. So the first n images of a split, and any n evenly spaced
    ones, are as balanced a mixture as the whole split.
    """
    seed = settings["split_seed"]
    if min(settings["crop_sides"]) < settings["size"]:
        raise UserError(
            f"`crop_sides` must be {settings['size']} (`size`) or more: a smaller crop would have to be enlarged"
        )
    pictures = {name: load_picture(name, settings["channels"]) for name in settings["pictures"]}
    grids = {name: make_grid(name, image.size, settings["crop_sides"], seed) for name, image in pictures.items()}
    grey = {name: np.asarray(image.convert("L"), dtype=np.int64) for name, image in pictures.items()}
    crops = {}
    for split in SPLITS:
        crops[split] = []
        for number in range(settings[f"{split}_images"]):
            past_rounds, place = divmod(number, len(pictures))
            if place == 0:
                turns = Stream(seed, "turns", split, past_rounds).permutation(len(pictures))
            name = settings["pictures"][turns[place]]
            # Each crop has its own stream: if a JPEG decoder's last bit causes a redraw, no other crop changes.
            crops[split].append(draw(name, split, grey[name], grids[name], Stream(seed, "crop", split, name, number)))
    return pictures, grids, crops


def load_picture(name: str, channels: int) -> Image.Image:
    """Read one photograph from its installed package, in 3 channels (RGB) or 1 (luminance).

    The file is read directly, never through `skimage.data`, which may download a missing one. UserError where it is
    missing or not the pinned one.
    """
    package, suffix, _, digest = PICTURES[name]
    folder = Path(importlib.util.find_spec(package).origin).parent  # found without importing a large package
    path = folder / FOLDERS[package] / f"{name}.{suffix}"
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != digest:
        raise UserError(
            f"picture {name}: {path} is missing or not the expected file (sha256 differs): reinstall it "
            f"(pip install --force-reinstall --no-deps scikit-image scikit-learn) or leave {name} out of `pictures`"
        )
    return Image.open(io.BytesIO(content)).convert(MODES[channels])


def make_grid(name: str, size: tuple[int, int], crop_sides: list[int], seed: int) -> Grid:
    """Cut a picture of `size` (width, height) into blocks and assign them to the splits.

    Sides too large for at least `MIN_BLOCKS` blocks are dropped for this picture; UserError where all are.
    """
    width, height = size
    sides = sorted(crop_sides)
    while sides:
        columns = min(width // sides[-1], MAX_BLOCKS_ALONG)
        rows = min(height // sides[-1], MAX_BLOCKS_ALONG)
        if columns * rows >= MIN_BLOCKS:
            break
        sides.pop()
    else:
        raise UserError(
            f"picture {name} ({width}x{height}) is too small for crops of {min(crop_sides)}: lower `crop_sides`"
        )
    order = Stream(seed, "blocks", name).permutation(columns * rows).tolist()
    blocks = {}
    for split, share in SHARES.items():
        count = max(1, round(share * columns * rows))
        blocks[split] = order[:count]
        del order[:count]
    blocks["train"] = order
    return Grid(columns, rows, width // columns, height // rows, tuple(sides), blocks)


def draw(name: str, split: str, grey: ndarray, grid: Grid, stream: Stream) -> Crop:
    """Draw one crop of a picture; nearly blank ones are drawn again, and the least blank kept if all are."""
    blocks = grid.blocks[split]
    tried = {}  # variance: crop
    for _ in range(MAX_DRAWS):
        row, column = divmod(blocks[stream.below(len(blocks))], grid.columns)
        side = grid.sides[stream.below(len(grid.sides))]
        x = column * grid.width + stream.below(grid.width - side + 1)
        y = row * grid.height + stream.below(grid.height - side + 1)
        pixels = grey[y : y + side, x : x + side]
        variance = (pixels.size * int((pixels**2).sum()) - int(pixels.sum()) ** 2) / pixels.size**2  # exact integers
        tried.setdefault(variance, Crop(name, x, y, side))
        if variance >= BLANK_STD**2:
            break
    return tried[max(tried)]
