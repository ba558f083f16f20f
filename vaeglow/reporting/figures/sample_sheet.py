"""Samples, a block of lines for each row.

The first samples of each run are shown, and real images evenly spaced over a split.
"""

import numpy as np

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.frame import Row, drawn_at, joined, row_label, temperature_of
from vaeglow.reporting.style import Label, Page

READS = ("shown",)
COLUMNS = {
    "columns": {
        "$ref": "#/$defs/count",
        "description": "images across. Every run on the dataset draws at least as many images as a figure shows",
    }
}
SCHEMA = {
    **COLUMNS,
    "lines_per_row": {"$ref": "#/$defs/count", "description": "lines of images to each row"},
    "rows": {"$ref": "#/$defs/image_rows"},
}


def draw(sources: Sources, page: Page) -> None:
    """A row of the sheet for each row of the figure."""
    page.sheet([samples(sources, row, sources.spec["lines_per_row"]) for row in sources.spec["rows"]])


def samples(sources: Sources, row: Row, lines: int) -> tuple[Label, np.ndarray]:
    """A row's label and its images, uint8 [lines, columns, C, H, W]: of a run at a temperature, or of a real split."""
    columns = sources.spec["columns"]
    if "data" in row:
        images = sources.real_images(row, lines * columns)
        label = row.get("label", "Data"), f"{row['data']} images"
    else:
        result = sources.read("shown", row, "images")
        images = sources.images(result, "images", lines * columns)
        overflowed = result.content.get("exploded_samples")
        clipped = f"{overflowed} of {result.number('samples')} overflowed, clipped" if overflowed else ""
        label = sources.label(row), joined(condition(sources, row), clipped)
    return label, images.reshape(lines, columns, *images.shape[1:])


def condition(sources: Sources, row: Row) -> str:
    """How a row's samples were drawn, and by which model where the row has a label of its own."""
    styles = sources.spec["styles"]
    if "label" in row:
        return row_label({"model": row["model"], "temperature": row["temperature"]}, styles)
    return drawn_at(temperature_of(row, styles))
