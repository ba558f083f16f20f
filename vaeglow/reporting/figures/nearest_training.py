"""Samples next to the training images nearest to them.

Are samples copies? In each line a sample is at the left, and to its right are the training images nearest to it. Below,
the cumulative distribution of the distance to the nearest training image, of samples and of test images.
"""

import numpy as np

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.side_by_side import LINES, ONE_TEMPERATURE
from vaeglow.reporting.frame import Row, drawn_at, temperature_of
from vaeglow.results import Result

READS = ("nearest_training",)
SCHEMA = LINES | ONE_TEMPERATURE
ARRAYS = ("images", "neighbours", "distances", "test_distances")
CHART = 1.9  # inches: a chart's height with its labels
SHOWN = 99  # percent of the distances that the axes, alike in all panels, span


def draw(sources: Sources, page: style.Page) -> None:
    """A panel for each row, and below it a chart of both distributions of distances."""
    rows = sources.spec["rows"]
    results = [sources.read("nearest_training", row, *ARRAYS) for row in rows]
    panels = []
    for row, result in zip(rows, results, strict=True):
        samples = sources.images(result, "images", sources.spec["lines"])
        neighbours = sources.images(result, "neighbours", sources.spec["lines"])
        label = sources.label(row), details(sources, row, result)
        panels.append((label, [("sample", samples[:, None]), ("nearest training images", neighbours)]))
    page.panels(panels)
    longest = [np.percentile(nearest, SHOWN) for result in results for nearest in distances(result)]
    limit = 1.02 * max(longest) or 1.0
    for axes, row, result in zip(page.charts([""] * len(rows), len(rows), CHART), rows, results, strict=True):
        chart(axes, result, sources.look(row)["color"])
        axes.set(xlim=(0.0, limit), ylim=(0.0, 1.02))
        axes.set(xlabel="distance to the nearest training image", ylabel="share of images")
        axes.legend(loc="lower right", handlelength=1.6, borderaxespad=0.2)
    page.notes += dict.fromkeys(map(note, results))


def details(sources: Sources, row: Row, result: Result) -> str:
    """How a row's samples were drawn, and how many are near training images, a line each."""
    near = " and ".join(f"{result.number('shares_nearer', percent):.0%}" for percent in ("1", "5"))
    copies = f"{result.number('copies')} of {result.number('samples'):,}"
    of_test = f"{result.number('test_copies')} of {result.number('test_images'):,}"
    lines = [
        drawn_at(temperature_of(row, sources.spec["styles"])),
        f"as near as test images' nearest 1% and 5%: {near}",
        f"pixel copies: {copies}, of test images {of_test}",
    ]
    return "\n".join(filter(None, lines))


def distances(result: Result) -> tuple[np.ndarray, np.ndarray]:
    """From each sample, and from each test image, to the nearest training image."""
    return result.arrays["distances"][:, 0], result.arrays["test_distances"]


def chart(axes: style.Axes, result: Result, color: str) -> None:
    """Both distributions of distances, and the nearest 1% and 5% of the test images'."""
    samples, test = distances(result)
    axes.ecdf(test, color=style.INK, linestyle="--", linewidth=1.0, label="test images")
    axes.ecdf(samples, color=color, label="samples")
    for percent, height in (("1", 0.98), ("5", 0.86)):
        distance = result.number("test_percentiles", percent)
        axes.axvline(distance, color=style.GREY, linestyle=":", linewidth=0.8)
        axes.text(distance, height, f" {percent}%", size=style.FOOTER, color=style.GREY, va="top")


def note(result: Result) -> str:
    """How a row's distances were measured."""
    looked = result.number("training_images")
    every = result.number("all_training_images")
    features = result.number("features")
    through = f"{looked:,} of the {every:,}" if looked < every else f"all {every:,}"
    layer = "" if features == 2048 else " (an early Inception layer, chosen for speed: colours and textures)"
    return (
        f"Distances between {features} Inception features{layer} to the nearest of {through} training images, of the "
        f"first {result.number('samples'):,} samples and of {result.number('test_images'):,} test images. Samples like "
        "test images would be as near as the nearest 1% and 5% of these about as often, copies far more often. Pixel "
        f"copies: among all {every:,}."
    )
