"""One dataset on a page: images, numbers and histograms of each split. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vaeglow.data.arrays import evenly_spaced, open_split
from vaeglow.reporting import style
from vaeglow.reporting.figures import full_range
from vaeglow.reporting.page import LABELS, Page
from vaeglow.results import Result

COLUMNS, LINES = 10, 3  # of images shown of a split, if it has as many and they are small
CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
LOOKS = {"train": {"c": style.BLUE}, "val": {"c": style.GREEN, "ls": ":"}, "test": {"c": style.VERMILION, "ls": "--"}}


def draw(found: Mapping[str, Any], data_dir: str | Path, written: str | Path) -> Figure:
    """Draw the page.

    Args:
        found: what `vaeglow.steps.inspect_data.inspect` found, with a `provenance`.
        data_dir: folder of the prepared dataset.
        written: the file that `found` was written to, the figure's evidence.
    """
    splits = {split: about for split, about in found["splits"].items() if about["count"]}
    shape = f"{found['channels']} x {found['size']} x {found['size']}, {found['levels']} levels"
    with style.styled():
        page = Page(f"{found['dataset']}: images of {shape}")
        rows = []
        for split, about in splits.items():
            detail = f"{numbers(about)} \u00b7 {repetitions(about)}".replace(" \u00b7 ", "\n")
            rows.append(((f"{split}: {about['count']:,} images", detail), images_of(data_dir, split, found["levels"])))
        page.sheet(rows)
        channels = CHANNELS[found["channels"]]
        panels = page.charts(channels, len(channels), 2.1, sharey=True)
        for number, axes in enumerate(panels):
            for split, about in splits.items():
                shares = np.asarray(about["histogram"][number]) / np.sum(about["histogram"][number])
                look = {"where": "mid", "linewidth": 0.9, "label": None if number else split, **LOOKS[split]}
                axes.step(np.arange(len(shares)), shares, **look)
            axes.set(yscale="log", xlabel="value")  # one level may have half of all pixels: a black background
        panels[0].set_ylabel("share of pixels")
        panels[0].legend(loc="best")
        footer = f"dataset {found['dataset']} \u00b7 data hash {found['data_sha256'][:10]}"
        return page.finish(footer, [Result(Path(written), dict(found))])


def images_of(data_dir: str | Path, split: str, levels: int) -> np.ndarray:
    """Images spread over a split, their levels spread over 0..255: uint8 [lines, columns, C, H, W]."""
    images = open_split(data_dir, split)
    most = round((style.WIDTH - LABELS) * style.DPI) // images.shape[-1]
    columns = max(1, min(COLUMNS, len(images), most))
    lines = min(LINES, len(images) // columns)
    shown = full_range(evenly_spaced(images, lines * columns), levels)
    return shown.reshape(lines, columns, *images.shape[1:])


def numbers(about: Mapping[str, Any]) -> str:
    """Range, mean and sd of each channel in a line."""
    ranges = zip(about["lowest"], about["highest"], strict=True)
    values = ", ".join(f"{low} to {high}" for low, high in ranges)
    mean, std = (", ".join(f"{value:.4f}" for value in about[name]) for name in ("mean", "std"))
    return f"values {values} \u00b7 mean {mean} \u00b7 sd {std}"


def repetitions(about: Mapping[str, Any]) -> str:
    """How many images are duplicates, in a line."""
    also = f", {about['in_train']:,} are in train, too" if "in_train" in about else ""
    return f"pixel by pixel, {about['repeated']:,} repeat an earlier image of the split{also}"
