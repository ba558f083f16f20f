"""Are samples copies? Each beside the training images nearest to it, and how near test images are. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.drawn import REMEDY, Sources
from vaeglow.reporting.labels import drawn_at
from vaeglow.reporting.page import BETWEEN, MARGIN, dots, image_grid, place
from vaeglow.reporting.panels import Panel, lay_out
from vaeglow.reporting.sample_rows import split_label

CHART, LEFT, BELOW = 1.3, 0.42, 0.42  # inches: a chart's height, and what its labels take
SHOWN = 99  # percent of the distances that the axes, alike in all panels, span


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """What one row shows.

    Attributes:
        images: samples, uint8 [n, C, H, W].
        neighbours: the training images nearest to each, nearest first, uint8 [n, k, C, H, W].
        distances: of every sample to its nearest training image [N].
        test_distances: the same of test images [M].
        about: the file's metadata.
    """

    images: np.ndarray
    neighbours: np.ndarray
    distances: np.ndarray
    test_distances: np.ndarray
    about: Mapping[str, Any]


def draw(sources: Sources) -> Figure:
    """Draw the figure; key of its spec: `lines` of images in each panel, one panel a row (a run at a temperature).

    In each line a sample stands left, and to its right are the training images nearest to it. Below, the share of
    samples and of test images that are at most so far from a training image.

    Raises:
        UserError: a file is missing, damaged, holds too few samples, or is of something else.
    """
    lines, rows = sources.spec["lines"], sources.spec["rows"]
    found = [read(sources, row, lines) for row in rows]
    page = lay_out([panel(*pair, lines) for pair in zip(rows, found, strict=True)], sources.spec["title"])
    boxes = page.grids()
    wide = [(first[0], second[0] + second[2]) for first, second in zip(boxes[::2], boxes[1::2], strict=True)]
    top = page.bottom
    page.bottom += dots(CHART + BELOW + BETWEEN)
    for note in notes(found):
        text = style.wrap(note, page.width / style.DPI - 2 * MARGIN, style.DETAIL).splitlines()
        page.text(dots(MARGIN), page.bottom, [(line, style.DETAIL, style.INK) for line in text])
        page.bottom += dots(style.line_height(style.DETAIL)) * len(text)
    page.bottom += dots(BETWEEN) // 2
    figure = page.finish(sources.footer())
    far = max(float(np.percentile(values, SHOWN)) for one in found for values in (one.distances, one.test_distances))
    for row, one, (left, right) in zip(rows, found, wide, strict=True):
        chart = place(figure, left + dots(LEFT), top, right - left - dots(LEFT), dots(CHART))
        plot(chart, row, one)
        chart.set_xlim(0.0, far * 1.02 if far > 0 else 1.0)
    return figure


def read(sources: Sources, row: Mapping[str, Any], lines: int) -> Neighbourhood:
    """One row's file.

    Raises:
        UserError: see `draw`.
    """
    where = {"temperature": float(row["temperature"])}
    names = ("images", "neighbours", "distances", "test_distances")
    arrays, about = sources.arrays(row, "nearest_training", names, "nearest_training", **where)
    path = sources.path(row, "nearest_training", **where)
    images = sources.images(arrays["images"], row, path, leading=1)
    neighbours = sources.images(arrays["neighbours"], row, path, leading=2)
    nearest, test = arrays["distances"], arrays["test_distances"]
    fits = nearest.ndim == 2 and nearest.shape[1] == neighbours.shape[1] > 0 and test.ndim == 1 and test.size
    if len(neighbours) != len(images) or not fits or not np.isfinite(nearest).all() or not np.isfinite(test).all():
        raise UserError(
            f"{path}: 'neighbours' {list(neighbours.shape[:2])}, 'distances' {list(nearest.shape)} and "
            f"'test_distances' {list(test.shape)} do not fit {len(images)} images, as figure {sources.name} needs: "
            f"{REMEDY}"
        )
    sources.require(len(images), lines, path, f"lines ({lines})", "raise probes.nearest_training.shown")
    for key in (
        "samples",
        "test_images",
        "training_images",
        "all_training_images",
        "features",
        "copies",
        "test_copies",
    ):
        sources.number(about, key, path)
    for percentile in ("1", "5"):
        for key in ("shares_nearer", "test_percentiles"):
            numbers = about[key] if isinstance(about.get(key), dict) else {}
            sources.number(numbers, percentile, path)
    return Neighbourhood(images, neighbours, nearest[:, 0], test, about)


def panel(row: Mapping[str, Any], one: Neighbourhood, lines: int) -> Panel:
    """The images of one row, and its numbers below."""
    images, k = one.neighbours[:lines], one.neighbours.shape[1]
    blocks = [
        ("sample", image_grid(one.images, 1, lines)),
        (
            "nearest training images" if k > 1 else "nearest",
            image_grid(images.reshape(-1, *images.shape[2:]), k, lines),
        ),
    ]
    name, variant = (row["label"], "") if "label" in row else split_label(row["model"])
    about, shares = one.about, one.about["shares_nearer"]
    detail = [", ".join(part for part in (variant, drawn_at(float(row["temperature"]))) if part)]
    detail.append(f"as near as test images' nearest 1% and 5%: {shares['1']:.0%} and {shares['5']:.0%}")
    found = (
        f"{about['copies']} of {about['samples']:,}, of test images {about['test_copies']} of {about['test_images']:,}"
    )
    detail.append(f"pixel copies: {found}")
    return Panel(blocks, one.images.shape[-1], f"{row['dataset']}: {name}", "\n".join(detail))


def plot(axes: Axes, row: Mapping[str, Any], one: Neighbourhood) -> None:
    """Two distributions of distances, as shares of images at most so far."""
    look = {"color": style.look(row["model"])["color"], "linewidth": 1.4}
    axes.ecdf(one.test_distances, color=style.INK, linestyle="--", linewidth=1.0, label="test images")
    axes.ecdf(one.distances, label="samples", **look)
    for percentile, height in (("1", 0.98), ("5", 0.86)):
        distance = one.about["test_percentiles"][percentile]
        axes.axvline(distance, color=style.GREY, linestyle=":", linewidth=0.8)
        axes.text(
            *(distance, height, f" {percentile}%"),
            **{"transform": axes.get_xaxis_transform(), "size": style.FOOTER, "color": style.GREY, "va": "top"},
        )
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("distance to the nearest training image", labelpad=1.5)
    axes.set_ylabel("share of images", labelpad=2.0)
    axes.legend(loc="lower right", handlelength=1.6, borderaxespad=0.2)


def notes(found: Sequence[Neighbourhood]) -> list[str]:
    """How the distances were measured: once where all rows say the same."""
    return list(dict.fromkeys(note(one.about) for one in found))


def note(about: Mapping[str, Any]) -> str:
    """How one row's distances were measured."""
    looked, every, features = (about[key] for key in ("training_images", "all_training_images", "features"))
    through = f"{looked:,} of the {every:,}" if looked < every else f"all {every:,}"
    layer = "" if features == 2048 else " (an early Inception layer, chosen for speed: colours and textures)"
    return (
        f"Distances between {features} Inception features{layer} to the nearest of {through} training images, of the "
        f"first {about['samples']:,} samples and of {about['test_images']:,} test images. Samples like test images "
        "would be as near as the nearest 1% and 5% of these about as often, copies far more often. Pixel copies: "
        f"among all {every:,}."
    )
