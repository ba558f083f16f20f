"""Look at a prepared dataset: its numbers to a JSON file and the terminal, images and histograms to a picture."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data import moments, value_counts
from vaeglow.data.arrays import SPLITS, open_split, read_info, slabs
from vaeglow.files import sha256_json
from vaeglow.steps import cli


def inspect(data_dir: str | Path) -> dict[str, Any]:
    """Look through all images, a slab at a time.

    Args:
        data_dir: folder of a prepared dataset.

    Returns:
        `dataset`, `kind`, `channels`, `size`, `levels`, `data_sha256` (as every result on these data carries it),
        `source`, and `splits`: for each its count, sha256 and `repeated` (images that are the same as an earlier one
        of the split, pixel by pixel), `in_train` (as one of train; not for train), and for each channel the lowest and
        the highest value, mean and sd (of the value plus a half, divided by the levels, as in dataset.json), and the
        histogram: how often each value occurs. A split without images has counts only.

    Raises:
        UserError: not a prepared dataset, or changed since.
    """
    info = read_info(data_dir)
    seen: dict[str, set[bytes]] = {}
    splits = {}
    for split in SPLITS:
        images = open_split(data_dir, split)
        digests = [hashlib.blake2b(image, digest_size=16).digest() for slab in slabs(images) for image in slab]
        seen[split] = set(digests)
        splits[split] = {
            "count": len(images),
            "sha256": info["sha256"][split],
            "repeated": len(digests) - len(seen[split]),
            **({} if split == "train" else {"in_train": sum(digest in seen["train"] for digest in digests)}),
        }
        if len(images):
            counts = value_counts(images, info["levels"])
            mean, std = moments(counts)
            values = [np.flatnonzero(channel) for channel in counts]  # that occur
            lowest, highest = ([int(found[end]) for found in values] for end in (0, -1))
            splits[split] |= {"lowest": lowest, "highest": highest, "mean": mean, "std": std}
            splits[split]["histogram"] = counts.tolist()
    shape = {key: info[key] for key in ("kind", "channels", "size", "levels")}
    hashes = {"data_sha256": sha256_json(info["sha256"])}
    return {"dataset": info["name"], **shape, **hashes, "source": info["source"], "splits": splits}


@cli.step
def main(*, data_dir: Path, json: Path, output: Path) -> None:
    """Read all images, write the numbers, draw the page.

    Args:
        json: file to write the numbers to, .json
        output: file to draw the page to, .png or .pdf
    """
    from vaeglow.provenance import collect
    from vaeglow.reporting import data_page, style
    from vaeglow.results import read_result, write_result

    provenance = collect()
    found = inspect(data_dir)
    write_result(json, found, [], provenance)
    style.save(data_page.draw(read_result(json).content, data_dir, json), output)
    for split, about in found["splits"].items():
        print(f"{found['dataset']} {split}: {about['count']:,} images")
        if about["count"]:
            print(f"  {data_page.numbers(about)}\n  {data_page.repetitions(about)}")
