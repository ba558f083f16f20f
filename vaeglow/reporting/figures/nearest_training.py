"""Samples next to the training images nearest to them.

Are samples copies? In each line a sample is at the left, and to its right are the training images nearest to it. Below,
the cumulative distribution of the distance to the nearest training image, of samples and of test images.
"""

import numpy as np

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.side_by_side import LINES
from vaeglow.reporting.frame import drawn_at, temperature_of
from vaeglow.results import Result

READS = ("nearest_training",)
SCHEMA = {"lines": LINES, "rows": {"$ref": "#/$defs/one_temperature_rows"}}
CHART = 1.9  # inches: a chart's height with its labels
SHOWN = 99  # percent of the distances that the axes, alike in all panels, span


def draw(sources: Sources, page: style.Page) -> None:
    """A panel for each row, and below it a chart of both distributions of distances."""
    rows, names = sources.spec["rows"], ("images", "neighbours", "distances", "test_distances")
    results = [sources.read("nearest_training", row, *names) for row in rows]
    panels = []
    for row, result in zip(rows, results, strict=True):
        samples, neighbours = (sources.images(result, name, sources.spec["lines"]) for name in names[:2])
        near = " and ".join(f"{result.number('shares_nearer', percent):.0%}" for percent in ("1", "5"))
        copies, count, of_test, tested = map(result.number, ("copies", "samples", "test_copies", "test_images"))
        details = [drawn_at(temperature_of(row, sources.spec["styles"]))]
        details += [f"as near as test images' nearest 1% and 5%: {near}"]
        details += [f"pixel copies: {copies} of {count:,}, of test images {of_test} of {tested:,}"]
        blocks = [("sample", samples[:, None]), ("nearest training images", neighbours)]
        panels.append(((sources.label(row), "\n".join(filter(None, details))), blocks))
    page.panels(panels)
    far = max(np.percentile(result.arrays[name], SHOWN, axis=0).min() for result in results for name in names[2:])
    for axes, row, result in zip(page.charts([""] * len(rows), len(rows), CHART), rows, results, strict=True):
        axes.ecdf(result.arrays["test_distances"], color=style.INK, linestyle="--", linewidth=1.0, label="test images")
        axes.ecdf(result.arrays["distances"][:, 0], color=sources.look(row)["color"], label="samples")
        for percent, height in (("1", 0.98), ("5", 0.86)):
            distance = result.number("test_percentiles", percent)
            axes.axvline(distance, color=style.GREY, linestyle=":", linewidth=0.8)
            axes.text(distance, height, f" {percent}%", size=style.FOOTER, color=style.GREY, va="top")
        axes.set(xlim=(0.0, 1.02 * far or 1.0), ylim=(0.0, 1.02))
        axes.set(xlabel="distance to the nearest training image", ylabel="share of images")
        axes.legend(loc="lower right", handlelength=1.6, borderaxespad=0.2)
    page.notes += dict.fromkeys(map(note, results))


def note(result: Result) -> str:
    """How a row's distances were measured."""
    names = ("training_images", "all_training_images", "features", "samples", "test_images")
    looked, every, features, samples, test = (result.number(name) for name in names)
    through = f"{looked:,} of the {every:,}" if looked < every else f"all {every:,}"
    layer = "" if features == 2048 else " (an early Inception layer, chosen for speed: colours and textures)"
    return (
        f"Distances between {features} Inception features{layer} to the nearest of {through} training images, of the "
        f"first {samples:,} samples and of {test:,} test images. Samples like test images would be as near as the "
        f"nearest 1% and 5% of these about as often, copies far more often. Pixel copies: among all {every:,}."
    )
