"""Look at a prepared dataset: its numbers to a JSON file and the terminal, images and histograms to a picture."""

from __future__ import annotations

import hashlib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaeglow.data.arrays import SPLITS, open_split, read_info, slabs
from vaeglow.data.kinds import moments, value_counts
from vaeglow.files import sha256_json
from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--data-dir", required=True, type=Path, help="folder of the prepared dataset")
    parser.add_argument("--json", required=True, type=Path, help="file to write the numbers to, .json")
    parser.add_argument("--output", required=True, type=Path, help="file to draw the page to, .png or .pdf")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read all images, write the numbers, draw the page.

    Raises:
        UserError: not a prepared dataset, or changed since it was prepared.
    """
    options = parse(argv)
    from vaeglow.provenance import collect
    from vaeglow.reporting import data_page, style
    from vaeglow.results import read_result, write_result

    provenance = collect()
    found = inspect(options.data_dir)
    write_result(options.json, found, [], provenance)
    style.save(data_page.draw(read_result(options.json).content, options.data_dir, options.json), options.output)
    for split, about in found["splits"].items():
        print(f"{found['dataset']} {split}: {about['count']:,} images")
        if about["count"]:
            print(f"  {data_page.numbers(about)}\n  {data_page.repetitions(about)}")


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
            **(channels_of(images, info["levels"]) if len(images) else {}),
        }
    shape = {key: info[key] for key in ("kind", "channels", "size", "levels")}
    hashes = {"data_sha256": sha256_json(info["sha256"])}
    return {"dataset": info["name"], **shape, **hashes, "source": info["source"], "splits": splits}


def channels_of(images: np.ndarray, levels: int) -> dict[str, list[Any]]:
    """Lowest and highest value, mean, sd and histogram of each channel of uint8 [N, C, H, W], N > 0."""
    counts = value_counts(images, levels)
    occurring = [np.flatnonzero(channel) for channel in counts]
    mean, std = moments(counts)
    return {
        "lowest": [int(values[0]) for values in occurring],
        "highest": [int(values[-1]) for values in occurring],
        "mean": mean,
        "std": std,
        "histogram": counts.tolist(),
    }


if __name__ == "__main__":
    cli.run(main)
