"""Samples, a block of lines for each row.

The first samples of each run are shown, and real images evenly spaced over a split.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.frame import drawn_at, row_label, temperature_of
from vaeglow.reporting.style import Label, Page

READS = ("shown",)
COLUMNS = {
    "$ref": "#/$defs/count",
    "description": "images across. Every run on the dataset draws at least as many images as a figure shows",
}
SCHEMA = {
    "columns": COLUMNS,
    "lines_per_row": {"$ref": "#/$defs/count", "description": "lines of images to each row"},
    "rows": {"$ref": "#/$defs/image_rows"},
}


def draw(sources: Sources, page: Page) -> None:
    """A row of the sheet for each row of the figure."""
    page.sheet([samples(sources, row, sources.spec["lines_per_row"]) for row in sources.spec["rows"]])


def samples(sources: Sources, row: Mapping[str, Any], lines: int) -> tuple[Label, np.ndarray]:
    """A row's label and its images, uint8 [lines, columns, C, H, W]: of a run at a temperature, or of a real split."""
    columns = sources.spec["columns"]
    if "data" in row:
        images = sources.real_images(row, lines * columns)
        name, details = row.get("label", "Data"), [f"{row['data']} images"]
    else:
        result = sources.read("shown", row, "images")
        images = sources.images(result, "images", lines * columns)
        plain = {key: row[key] for key in ("model", "temperature")}  # with a label of its own, state the model
        styles = sources.spec["styles"]
        condition = row_label(plain, styles) if "label" in row else drawn_at(temperature_of(row, styles))
        name, details = sources.label(row), [condition] if condition else []
        if overflowed := result.content.get("exploded_samples"):
            details.append(f"{overflowed} of {result.number('samples')} overflowed, clipped")
    return (name, ", ".join(details)), images.reshape(lines, columns, *images.shape[1:])
