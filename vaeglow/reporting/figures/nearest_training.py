"""Samples next to the training images nearest to them.

Are samples copies? In each line a sample is at the left, and to its right are the training images nearest to it. Below,
the cumulative distribution of the distance to the nearest training image, of samples and of test images.
"""

import numpy as np

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.side_by_side import LINES, ONE_TEMPERATURE
from vaeglow.reporting.frame import Array, drawn_at
from vaeglow.reporting.style import FOOTER, GREY, INK, Axes, Page
from vaeglow.results import Result

READS = ("nearest_training",)
SCHEMA = LINES | ONE_TEMPERATURE
ARRAYS = ("images", "neighbours", "distances", "test_distances")
CHART = 1.9  # inches: a chart's height with its labels
SHOWN = 99  # percent of the distances that the axes, alike in all panels, span
COUNTS = ("copies", "samples", "test_copies", "test_images", "training_images", "all_training_images", "features")
NEAR = """as near as test images' nearest 1% and 5%: {:.0%} and {:.0%}
pixel copies: {copies} of {samples:,}, of test images {test_copies} of {test_images:,}"""
SOME = "{training_images:,} of the {all_training_images:,}"
ALL = "all {all_training_images:,}"
EARLY = " (an early Inception layer, chosen for speed: colours and textures)"
NOTE = (
    "Distances between {features} Inception features{layer} to the nearest of {through} training images, of the first "
    "{samples:,} samples and of {test_images:,} test images. Samples like test images would be as near as the nearest "
    "1% and 5% of these about as often, copies far more often. Pixel copies: among all {all_training_images:,}."
)


def draw(sources: Sources, page: Page) -> None:
    """A panel for each row, and below it a chart of both distributions of distances."""
    rows = sources["rows"]
    results = [sources.read("nearest_training", row, *ARRAYS) for row in rows]
    panels = []
    notes = []
    for row, result in zip(rows, results, strict=True):
        samples, neighbours = sources.images(result, sources["lines"], "images", "neighbours")
        numbers = {name: result.number(name) for name in COUNTS}
        shares = [result.number("shares_nearer", percent) for percent in ("1", "5")]
        details = filter(None, [drawn_at(sources.temperature(row)), NEAR.format(*shares, **numbers)])
        label = sources.label(row), "\n".join(details)
        panels.append((label, [("sample", samples[:, None]), ("nearest training images", neighbours)]))
        through = SOME if numbers["training_images"] < numbers["all_training_images"] else ALL
        layer = "" if numbers["features"] == 2048 else EARLY
        notes.append(NOTE.format(**numbers, layer=layer, through=through.format(**numbers)))
    page.panels(panels)
    longest = max(np.percentile(nearest, SHOWN) for result in results for nearest in distances(result))
    for axes, row, result in zip(page.charts([""] * len(rows), len(rows), CHART), rows, results, strict=True):
        chart(axes, result, sources.look(row)["color"])
        axes.set(xlim=(0.0, 1.02 * longest), ylim=(0.0, 1.02))
        axes.set(xlabel="distance to the nearest training image", ylabel="share of images")
        axes.legend(loc="lower right", handlelength=1.6, borderaxespad=0.2)
    page.notes += dict.fromkeys(notes)


def distances(result: Result) -> tuple[Array, Array]:
    """From each sample, and from each test image, to the nearest training image."""
    return result.arrays["distances"][:, 0], result.arrays["test_distances"]


def chart(axes: Axes, result: Result, color: str) -> None:
    """Both distributions of distances, and the nearest 1% and 5% of the test images'."""
    samples, test = distances(result)
    axes.ecdf(test, color=INK, linestyle="--", linewidth=1.0, label="test images")
    axes.ecdf(samples, color=color, label="samples")
    for percent, height in (("1", 0.98), ("5", 0.86)):
        distance = result.number("test_percentiles", percent)
        axes.axvline(distance, color=GREY, linestyle=":", linewidth=0.8)
        axes.text(distance, height, f" {percent}%", size=FOOTER, color=GREY, va="top")
