"""Commands `sample`, `score` and `info`: samples of a model, the quality of anybody's, what a file is."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from platformdirs import user_cache_path

from vaeglow.config.check import present_config
from vaeglow.data import folder, npz
from vaeglow.data.arrays import INFO_FILE, Arrays, evenly_spaced, open_split, read_info, require_images
from vaeglow.errors import UserError
from vaeglow.paths import INCEPTION, shipped
from vaeglow.released import locate, locate_weights
from vaeglow.reporting.figures import full_range
from vaeglow.steps import inception_weights
from vaeglow.verify import read_checked

SAMPLES = Path("samples")
WEIGHTS = Path(INCEPTION)
FEATURES = 2048  # of Inception
FEWEST = 6  # images that precision, recall etc. need
QUALITY = """KID        {kid:.5f} (standard error {kid_standard_error:.5f})
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
    from vaeglow.images import save_images, takes_images

    weights = locate_weights(model)
    path = Path(f"{output}.png") if grid and output.suffix != ".png" else output
    takes_images(path)  # said before the samples are drawn
    images, what = read(weights, count, temperature, seed, device)
    save_images(images, path)
    print(f"{path}: {what}")


def read(
    path: Path, count: int, temperature: float, seed: int, device: str, size: int = 0, split: str = "test"
) -> tuple[np.ndarray, str]:
    """Anybody's images, a dataset's split, or samples of a model: uint8 [N, C, H, W], 0..255; what they are."""
    if path.suffix == ".safetensors":
        from vaeglow.api import Model

        model = Model(path, device)
        images = full_range(model.sample(count, temperature, seed).numpy(), model.network.levels)
        return images, f"{count:,} images at temperature {temperature}, seed {seed}, of {model}"
    if (path / INFO_FILE).is_file():
        info = read_info(path)
        return full_range(open_split(path, split), info["levels"]), f"the {split} split of {info['name']}"
    if path.is_dir():
        return folder.read_whole(path, size or None), str(path)
    images, _ = npz.read(path, NAMES, {})
    if not images:
        raise UserError(f"{path} has no array {' or '.join(NAMES)}: give its array of images one of these names")
    array = next(iter(images.values()))
    if size and array.shape[2:] != (size, size):
        raise UserError(f"--size {size}: it resizes folders only; the images of {path} are {array.shape[2:]}")
    return array, str(path)


def score(
    samples: Path,
    reference: Path,
    *,
    count: int = 0,
    temperature: float = 1.0,
    seed: int = 0,
    size: int = 0,
    split: Literal["train", "val", "test"] = "test",
    save_statistics: Path | None = None,
    device: str = "auto",
    weights: Path = WEIGHTS,
) -> None:
    """Compare samples with real images as the workflow's tables do: FID, KID, precision, recall.

    Args:
        samples: a folder of images, an .npz of images or statistics, or a trained model, its file or its name
        reference: a prepared dataset's folder, a folder of images, or an .npz of images or statistics
        count: the first so many samples, and as many real images spread over all; 0: all
        seed: of a model's samples (0)
        size: the side to which the images of folders are cropped and resized; 0: as they are
        split: of a prepared dataset (test)
        save_statistics: a new .npz for the reference's statistics, as pytorch-fid reads them
    """
    from vaeglow.device import pick_device
    from vaeglow.evaluation.fid import frechet_distance, image_features
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.evaluation.sample_quality import compare_neighbours, kernel_inception_distance
    from vaeglow.evaluation.statistics import read_statistics, write_statistics
    from vaeglow.evaluation.trained import BATCH_SIZE

    if count and count < FEWEST:
        raise UserError(f"--count {count}: this comparison needs {FEWEST} images or more; 0 takes all")
    if save_statistics and (
        save_statistics.suffix != ".npz" or save_statistics.exists() or not save_statistics.parent.is_dir()
    ):
        raise UserError(f"--save-statistics {save_statistics}: give the name of a new file that ends in .npz")
    on = pick_device(device)
    sides = {"reference": locate(reference), "samples": locate(samples)}
    measured = {side: read_statistics(path, FEATURES) for side, path in sides.items()}
    net = None if all(measured.values()) else load_inception(inception(weights), FEATURES, on)
    images = {}
    what_is = {side: f"statistics in {path}" for side, path in sides.items()}
    for side, path in sides.items():
        if measured[side]:
            continue
        number = count or len(images.get("reference", ()))
        if path.suffix == ".safetensors" and not number:
            raise UserError(f"how many samples of {path} to draw is not said: give --count")
        images[side], what_is[side] = read(path, number, temperature, seed, device, size, split)
    if count:
        images = {side: x[:count] if side == "samples" else evenly_spaced(x, count) for side, x in images.items()}
    require_comparable(images, what_is, count)
    counts = {side: f"{len(images[side]):,}" if side in images else "an unknown number of" for side in sides}
    few = any(len(x) < FEATURES for x in images.values())
    biased = "; fewer images than features: FID is biased upward" if few else ""
    print(f"samples    {what_is['samples']}\nreference  {what_is['reference']}")
    words = f"{counts['samples']} samples, {counts['reference']} real images, {FEATURES} features{biased}"
    print(f"protocol   {words}", flush=True)
    for side, x in images.items():
        measured[side] = image_features(x, net, BATCH_SIZE, on)
    real = measured["reference"]
    drawn = measured["samples"]
    fid = frechet_distance(drawn["mean"], drawn["covariance"], real["mean"], real["covariance"])
    print(f"FID        {fid:.3f}")
    if save_statistics:
        write_statistics(save_statistics, real)
    if len(images) < len(sides):
        print("no KID, precision, recall, density and coverage: they need features, and statistics have none")
        return
    features = (drawn["features"], real["features"], on)
    print(QUALITY.format(**kernel_inception_distance(*features), **compare_neighbours(*features)))


def inception(weights: Path) -> Path:
    """The file of Inception's weights: as given, the working folder's, the clone's, or the cache's, made once."""
    if weights != WEIGHTS or weights.exists():
        return weights
    if shipped(INCEPTION).exists():
        return shipped(INCEPTION)
    cached = user_cache_path("vaeglow") / weights.name
    if not cached.exists():
        print(f"{cached}: Inception's weights are fetched, once", file=sys.stderr, flush=True)
        settings = present_config()["evaluation"]["inception"]
        with redirect_stdout(sys.stderr):
            inception_weights.main.__wrapped__(settings=settings, output=cached)
    return cached


def require_comparable(images: Arrays, what_is: dict[str, str], count: int) -> None:
    """Refuse (UserError) fewer images than are needed, and samples of another size than the reference."""
    for side, x in images.items():
        require_images(len(x), count or FEWEST, what_is[side], "this comparison", "give more, or another --count")
    sizes = {side: x.shape[2:] for side, x in images.items()}
    if len({*sizes.values()}) > 1:
        raise UserError(
            f"sizes differ, {sizes['samples']} of samples and {sizes['reference']}: resize one (a folder with --size)"
        )


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
