"""One dataset on a page: images of each split, its numbers, and the histograms of its channels. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaeglow.data.arrays import evenly_spaced, open_split
from vaeglow.errors import UserError
from vaeglow.reporting import style, traced
from vaeglow.reporting.chart import key
from vaeglow.reporting.drawn import commit_of
from vaeglow.reporting.page import BETWEEN, GAP, MARGIN, Page, dots, enlargement, height_of, image_grid, place

COLUMNS, LINES = 16, 3  # of images shown of a split, if it has as many and they are small
CHANNELS = {1: ("grey",), 3: ("red", "green", "blue")}
LOOKS = {"train": (style.BLUE, "-"), "val": (style.GREEN, ":"), "test": (style.VERMILION, "--")}
CHART_HEIGHT, CHART_LEFT, CHART_BELOW, CHART_GAP = 1.5, 0.55, 0.75, 0.45  # inches: of the histograms and around them


def draw(found: Mapping[str, Any], data_dir: str | Path, written: str | Path) -> Figure:
    """Draw the page.

    Args:
        found: what `vaeglow.steps.inspect_data.inspect` found, with a `provenance`.
        data_dir: folder of the prepared dataset.
        written: the file that `found` was written to: what the figure says it was made from.

    Raises:
        UserError: the data are not those that were inspected.
    """
    with style.styled():
        columns, zoom, width = layout(found["size"])
        shape = f"{found['channels']} x {found['size']} x {found['size']}, {found['levels']} levels"
        page = Page(width, f"{found['dataset']}: images of {shape}")
        for split, about in found["splits"].items():
            if about["count"]:
                images = images_of(data_dir, split, about["count"], columns * LINES, found["levels"])
                add_split(page, split, about, images, columns, zoom)
        top = page.bottom
        page.bottom += dots(CHART_HEIGHT + CHART_BELOW)
        commit = style.short_commit(commit_of(found["provenance"]))
        foot = f"dataset {found['dataset']} \u00b7 data hash {found['data_sha256'][:10]} \u00b7 commit {commit}"
        figure = page.finish(foot)
        add_histograms(figure, found, page.width, top)
        return traced.attach(figure, [Path(written)])


def layout(size: int) -> tuple[int, int, int]:
    """How many images of a side go beside each other, how many dots a pixel is wide, and how many the page."""
    columns = max(1, min(COLUMNS, dots(style.WIDTH) // (size + GAP)))
    wide = columns * (size + GAP) - GAP
    zoom = enlargement(wide, size, style.WIDTH - 2 * MARGIN)
    return columns, zoom, wide * zoom + 2 * dots(MARGIN)


def images_of(data_dir: str | Path, split: str, count: int, shown: int, levels: int) -> np.ndarray:
    """`shown` images (or all) spread over a split, their levels stretched to 0..255, uint8 [n, C, H, W].

    Raises:
        UserError: the split has not the `count` images that were inspected.
    """
    images = open_split(data_dir, split)
    if len(images) != count:
        raise UserError(f"{data_dir}: {split} has {len(images)} images, {count} were inspected: inspect again")
    spread = evenly_spaced(images, min(len(images), shown))
    return (spread.astype(np.int64) * 255 // (levels - 1)).astype(np.uint8)


def add_split(page: Page, split: str, about: Mapping[str, Any], images: np.ndarray, columns: int, zoom: int) -> None:
    """A split's numbers, and below them its images."""
    lines = [
        (f"{split}: {about['count']:,} images", style.LABEL, style.INK),
        (numbers(about), style.DETAIL, style.GREY),
        (repetitions(about), style.DETAIL, style.GREY),
    ]
    page.text(dots(MARGIN), page.bottom, lines)
    page.bottom += height_of(lines) + dots(0.04)
    columns = min(columns, len(images))
    grid = image_grid(images, columns, len(images) // columns)
    page.bottom += page.grid(dots(MARGIN), page.bottom, grid, zoom)[1] + dots(BETWEEN)


def numbers(about: Mapping[str, Any]) -> str:
    """Range, mean and sd of each channel in a line."""
    ranges = zip(about["lowest"], about["highest"], strict=True)
    values = ", ".join(f"{low} to {high}" for low, high in ranges)
    mean, std = (", ".join(f"{value:.4f}" for value in about[name]) for name in ("mean", "std"))
    return f"values {values} \u00b7 mean {mean} \u00b7 sd {std}"


def repetitions(about: Mapping[str, Any]) -> str:
    """How many images are there twice, in a line."""
    also = f", {about['in_train']:,} are in train, too" if "in_train" in about else ""
    return f"pixel by pixel, {about['repeated']:,} repeat an earlier image of the split{also}"


def add_histograms(figure: Figure, found: Mapping[str, Any], width: int, top: int) -> None:
    """A panel a channel, a curve a split: the share of its pixels at each level, on a logarithmic axis."""
    names = CHANNELS[found["channels"]]
    left, gap = dots(CHART_LEFT), dots(CHART_GAP)
    wide = (width - left - dots(MARGIN) - gap * (len(names) - 1)) // len(names)
    splits = {split: about for split, about in found["splits"].items() if about["count"]}
    for channel, name in enumerate(names):
        axes = place(figure, left + channel * (wide + gap), top + dots(0.25), wide, dots(CHART_HEIGHT))
        axes.set_title(name)
        axes.set_xlabel("value")
        add_curves(axes, splits, channel)
    figure.axes[-len(names)].set_ylabel("share of pixels")
    handles = [key(split, color=LOOKS[split][0], linestyle=LOOKS[split][1]) for split in splits]
    figure.axes[-1].legend(handles=handles, loc="best")


def add_curves(axes: Axes, splits: Mapping[str, Any], channel: int) -> None:
    """The histogram of one channel in each split."""
    for split, about in splits.items():
        counts = np.asarray(about["histogram"][channel])
        color, line = LOOKS[split]
        axes.step(
            np.arange(len(counts)), counts / counts.sum(), where="mid", color=color, linestyle=line, linewidth=0.9
        )
    axes.set_yscale("log")  # one level may have half of all pixels: a black ground
