"""The photographs inside the scikit-image and scikit-learn wheels: where they lie, their hashes and credits.

The files are read directly, never through `skimage.data`, which may go to the network for a missing one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from PIL import Image

from vaeglow.errors import UserError


@dataclass(frozen=True)
class Picture:
    """A photograph: its package and file in it, the sha256 of the file, and whose it is."""

    package: str
    file: str
    sha256: str
    credit: str


SKIMAGE, SKLEARN = "skimage", "sklearn"
DISTRIBUTIONS = {SKIMAGE: "scikit-image", SKLEARN: "scikit-learn"}

PICTURES = {
    "astronaut": Picture(
        SKIMAGE,
        "data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "Eileen Collins, NASA Great Images; public domain",
    ),
    "chelsea": Picture(
        SKIMAGE,
        "data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "Chelsea the cat, Stefan van der Walt; CC0",
    ),
    "coffee": Picture(
        SKIMAGE,
        "data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "Coffee cup, Rachel Michetti, courtesy of Pikolo Espresso Bar; CC0",
    ),
    "rocket": Picture(
        SKIMAGE,
        "data/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "Launch of DSCOVR on Falcon 9, SpaceX; public domain",
    ),
    "hubble_deep_field": Picture(
        SKIMAGE,
        "data/hubble_deep_field.jpg",
        "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
        "Hubble eXtreme Deep Field, NASA (HubbleSite 2012-37); public domain",
    ),
    "ihc": Picture(
        SKIMAGE,
        "data/ihc.png",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "Immunohistochemical staining of colonic glands, CMMI; no known copyright restrictions",
    ),
    "retina": Picture(
        SKIMAGE,
        "data/retina.jpg",
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        "Fundus photograph of a normal left eye, Mikael Häggström; CC0",
    ),
    "motorcycle_left": Picture(
        SKIMAGE,
        "data/motorcycle_left.png",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        "Middlebury 2014 stereo benchmark (Nesic, Westling, Wang, Kitajima, Krathwohl, Scharstein), down-sampled",
    ),
    "china": Picture(
        SKLEARN,
        "datasets/images/china.jpg",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "danielbuechele on flickr (6061409035); CC BY 2.0",
    ),
    "flower": Picture(
        SKLEARN,
        "datasets/images/flower.jpg",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
        "vultilion on flickr (6056698931); CC BY 2.0",
    ),
}


def load_picture(name: str, channels: int) -> Image.Image:
    """Read one photograph from its installed package, checking the file's hash.

    Args:
        name: a key of `PICTURES`.
        channels: 3 (RGB) or 1 (luminance).

    Raises:
        UserError: no such picture, or its file is missing or not the pinned one.
    """
    if name not in PICTURES:
        close = get_close_matches(name, PICTURES, 1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(PICTURES)}"
        raise UserError(f"no picture {name!r}: {hint}")
    picture = PICTURES[name]
    package = DISTRIBUTIONS[picture.package]
    remedy = f"reinstall it (pip install --force-reinstall --no-deps {package}) or leave {name} out of `pictures`"
    spec = importlib.util.find_spec(picture.package)  # finds the folder without importing a large package
    if spec is None or spec.origin is None:
        raise UserError(f"picture {name}: the package {package} is not installed: pip install {package}")
    path = Path(spec.origin).parent / picture.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"picture {name}: {package} lacks {path} ({error.strerror}): {remedy}") from error
    if hashlib.sha256(content).hexdigest() != picture.sha256:
        raise UserError(f"picture {name}: {path} of {package} is not the expected file (sha256 differs): {remedy}")
    return Image.open(io.BytesIO(content)).convert({1: "L", 3: "RGB"}[channels])
