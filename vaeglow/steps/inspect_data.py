"""Look at a prepared dataset: its numbers to a JSON file and the terminal, images and histograms to a picture."""

from hashlib import blake2b
from pathlib import Path
from textwrap import indent

import numpy as np

from vaeglow.data import moments, value_counts
from vaeglow.data.arrays import SPLITS, data_identity, evenly_spaced, open_split, read_info, slabs
from vaeglow.files import Config, Facts
from vaeglow.reporting import style
from vaeglow.reporting.figures import full_range
from vaeglow.results import collect, read_result, write_result
from vaeglow.steps import cli

COLUMNS, LINES = 10, 3  # of images shown of a split, if it has as many and they are small
CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
LOOKS = {"train": {"c": style.BLUE}, "val": {"c": style.GREEN, "ls": ":"}, "test": {"c": style.VERMILION, "ls": "--"}}


def inspect(data_dir: Path) -> Facts:
    """Look through all images, a slab at a time.

    Returns:
        What dataset.json says of all, and `splits`: for each its count, sha256 and `repeated` (images that are the
        same as an earlier one of the split, pixel by pixel), `in_train` (as one of train; not for train), and, of each
        channel, the lowest and the highest value, mean and sd (as in dataset.json), and the histogram: how often each
        value occurs. A split without images has counts only.

    Raises:
        UserError: not a prepared dataset, or changed since.
    """
    info = read_info(data_dir)
    seen: dict[str, set[bytes]] = {}
    splits = {}
    for split in SPLITS:
        images = open_split(data_dir, split)
        digests = []
        for slab in slabs(images):
            digests += [blake2b(image, digest_size=16).digest() for image in slab]
        seen[split] = set(digests)
        about = {"count": len(images), "sha256": info["sha256"][split], "repeated": len(digests) - len(seen[split])}
        if split != "train":
            about["in_train"] = sum(digest in seen["train"] for digest in digests)
        if len(images):
            counts = value_counts(images, info["levels"])
            present = [np.flatnonzero(channel) for channel in counts]  # values that occur
            about["lowest"] = [int(values[0]) for values in present]
            about["highest"] = [int(values[-1]) for values in present]
            about["mean"], about["std"] = moments(counts)
            about["histogram"] = counts.tolist()
        splits[split] = about
    return {
        **data_identity(info),
        **{key: info[key] for key in ("kind", "channels", "size", "levels")},
        "source": info["source"],
        "splits": splits,
    }


def draw(written: Path, data_dir: Path) -> style.Figure:
    """The page of a dataset, from what `inspect` found, as it was written, and its images."""
    result = read_result(written)
    content = result.content
    splits = {split: about for split, about in content["splits"].items() if about["count"]}
    with style.styled():
        page = style.Page("{dataset}: images of {channels} x {size} x {size}, {levels} levels".format(**content))
        rows = []
        for split, about in splits.items():
            label = f"{split}: {about['count']:,} images", described(about)
            rows.append((label, images_of(data_dir, split, content["levels"])))
        page.sheet(rows)
        channels = CHANNELS[content["channels"]]
        panels = page.charts(channels, len(channels), 2.1, sharey=True)
        for number, axes in enumerate(panels):
            for split, about in splits.items():
                counts = np.asarray(about["histogram"][number])
                look = {"label": None if number else split, **LOOKS[split]}
                axes.step(np.arange(len(counts)), counts / counts.sum(), where="mid", linewidth=0.9, **look)
            axes.set(yscale="log", xlabel="value")  # one level may have half of all pixels: a black background
        panels[0].set_ylabel("share of pixels")
        panels[0].legend(loc="best")
        return page.finish(f"dataset {content['dataset']} \u00b7 data hash {content['data_sha256'][:10]}", [result])


def images_of(data_dir: Path, split: str, levels: int) -> np.ndarray:
    """Images spread over a split, their levels spread over 0..255: uint8 [lines, columns, C, H, W]."""
    images = open_split(data_dir, split)
    most = round((style.WIDTH - style.LABELS) * style.DPI) // images.shape[-1]
    columns = max(1, min(COLUMNS, len(images), most))
    lines = min(LINES, len(images) // columns)
    shown = full_range(evenly_spaced(images, lines * columns), levels)
    return shown.reshape(lines, columns, *images.shape[1:])


def described(about: Config) -> str:
    """Range, mean and sd of each channel of a split, and how many images are duplicates, in lines."""
    ranges = zip(about["lowest"], about["highest"], strict=True)
    values = ", ".join(f"{low} to {high}" for low, high in ranges)
    mean = ", ".join(map("{:.4f}".format, about["mean"]))
    std = ", ".join(map("{:.4f}".format, about["std"]))
    also = f", {about['in_train']:,} are in train, too" if "in_train" in about else ""
    repeated = f"{about['repeated']:,} repeat an earlier image of the split{also}"
    return f"values {values}\nmean {mean}\nsd {std}\npixel by pixel, {repeated}"


@cli.step
def main(*, data_dir: Path, output: list[Path]) -> None:
    """Read all images, write the numbers, draw the page.

    Args:
        output: files to write the numbers to, .json, and to draw the page to, .png or .pdf
    """
    numbers, picture = output
    provenance = collect()
    content = inspect(data_dir)
    write_result(numbers, content, [], provenance)
    style.save(draw(numbers, data_dir), picture)
    for split, about in content["splits"].items():
        print(f"{content['dataset']} {split}: {about['count']:,} images")
        if about["count"]:
            print(indent(described(about), "  "))
