"""Commands `sample`, `score` and `info`: samples of a model, the quality of anybody's, what a file is."""

from pathlib import Path

import numpy as np
import yaml

from vaeglow.data import folder, npz
from vaeglow.data.arrays import INFO_FILE, evenly_spaced, open_split, read_info, require_images
from vaeglow.errors import UserError
from vaeglow.paths import INCEPTION, shipped
from vaeglow.released import locate, locate_weights
from vaeglow.reporting.figures import full_range
from vaeglow.results import Result
from vaeglow.verify import read_checked

SAMPLES = Path("samples")
WEIGHTS = Path(INCEPTION)
FEATURES = 2048  # of Inception
FEWEST = 6  # images that precision, recall etc. need
QUALITY = """FID        {fid:.3f}
KID        {kid:.5f} (standard error {kid_standard_error:.5f})
precision  {precision:.3f}
recall     {recall:.3f}
density    {density:.3f}
coverage   {coverage:.3f}"""
NAMES = ("images", "samples", "arr_0", "test")  # of the images in anybody's .npz


def sample(
    model: Path,
    *,
    count: int = 16,
    temperature: float = 1.0,
    seed: int = 0,
    grid: bool = False,
    device: str = "auto",
    output: Path = SAMPLES,
) -> None:
    """Draw images from a trained model into PNG files.

    Args:
        model: a model.safetensors, or a name that `vaeglow models` lists
        count: how many images (16)
        seed: of all noise (0)
        grid: one picture of all in place of a folder of files
        output: a new or empty folder (samples), or a .png file for a grid
    """
    from vaeglow.images import save_images

    weights = locate_weights(model)
    path = Path(f"{output}.png") if grid and output.suffix != ".png" else output
    images, what = read(weights, count, temperature, seed, device)
    save_images(images, path)
    print(f"{path}: {what}")


def read(path: Path, count: int, temperature: float, seed: int, device: str, size: int = 0) -> tuple[np.ndarray, str]:
    """Anybody's images, a dataset's test split, or samples of a model: uint8 [N, C, H, W], 0..255; what they are."""
    path = locate(path)
    if path.suffix == ".safetensors":
        from vaeglow.api import Model

        model = Model(path, device)
        images = full_range(model.sample(count, temperature, seed).numpy(), model.network.levels)
        return images, f"{count:,} images at temperature {temperature}, seed {seed}, of {model}"
    if (path / INFO_FILE).is_file():
        info = read_info(path)
        return full_range(open_split(path, "test"), info["levels"]), f"the test split of {info['name']}"
    if path.is_dir():
        return folder.read_whole(path, size or None), str(path)
    images, _ = npz.read(path, NAMES, {})
    if not images:
        raise UserError(f"{path} has no array {' or '.join(NAMES)}: give its array of images one of these names")
    return next(iter(images.values())), str(path)


def score(
    samples: Path,
    reference: Path,
    *,
    count: int = 0,
    temperature: float = 1.0,
    seed: int = 0,
    size: int = 0,
    device: str = "auto",
    weights: Path = WEIGHTS,
) -> None:
    """Compare samples with real images as the workflow's tables do: FID, KID, precision, recall.

    Args:
        samples: a folder of images, an .npz, or a trained model, its file or its name, to draw from
        reference: a prepared dataset's folder (its test split), a folder of images, or an .npz
        count: the first so many samples, and as many real images spread over all; 0: all
        seed: of a model's samples (0)
        size: the side to which the images of folders are cropped and resized; 0: as they are
    """
    from vaeglow.device import pick_device
    from vaeglow.evaluation.fid import Reference, image_features
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.evaluation.trained import BATCH_SIZE

    if count and count < FEWEST:
        raise UserError(f"--count {count}: this comparison needs {FEWEST} images or more; 0 takes all")
    if weights == WEIGHTS and not weights.exists() and shipped(INCEPTION).exists():  # outside the checkout
        weights = shipped(INCEPTION)
    on = pick_device(device)
    net = load_inception(weights, FEATURES, on)
    real, real_are = read(reference, count, temperature, seed, device, size)
    drawn, drawn_are = read(samples, count or len(real), temperature, seed, device, size)
    if count:
        drawn = drawn[:count]
        real = evenly_spaced(real, count)
    for images, what in ((real, real_are), (drawn, drawn_are)):
        require_images(len(images), count or FEWEST, what, "this comparison", "give more, or another --count")
    if drawn.shape[2:] != real.shape[2:]:
        raise UserError(
            f"sizes differ, {drawn.shape[2:]} of samples and {real.shape[2:]}: resize one of them, or give --size"
        )
    biased = "; fewer images than features: FID is biased upward" if min(len(drawn), len(real)) < FEATURES else ""
    print(f"samples    {drawn_are}\nreference  {real_are}")
    print(f"protocol   {len(drawn):,} samples, {len(real):,} real images, {FEATURES} features{biased}", flush=True)
    protocol = {"images": len(drawn), "sets": 1, "levels": 256}
    measured = Result(reference, protocol, image_features(real, net, BATCH_SIZE, on))
    _, quality = Reference(measured, net, BATCH_SIZE, on).measure_sets(drawn)
    print(QUALITY.format(**quality))


def info(file: Path) -> None:
    """Say what a trained model or a result of the workflow is.

    Args:
        file: a trained model, its file or its name, or a result, .json or .npz
    """
    file = locate(file)
    if file.suffix not in (".safetensors", ".json", ".npz") or file.name in ("config.json", INFO_FILE):
        raise UserError(f"{file} is neither a model nor a result: give a .safetensors, .json or .npz of vaeglow")
    about = read_checked(file)
    if file.suffix == ".safetensors":
        from vaeglow.api import Model

        print(Model(file, "cpu"))
        about = {key: value for key, value in about.items() if not isinstance(value, dict) or key == "provenance"}
    print(yaml.safe_dump(about, sort_keys=False, width=10**6), end="")
