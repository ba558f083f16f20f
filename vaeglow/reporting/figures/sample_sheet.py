"""Samples, a block of lines for each row.

The first samples of each run are shown, and real images evenly spaced over a split.
"""

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.frame import Array, Row, drawn_at, with_commas
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
    page.sheet([samples(sources, row, sources["lines_per_row"], sources["columns"]) for row in sources["rows"]])


def samples(sources: Sources, row: Row, lines: int, columns: int) -> tuple[Label, Array]:
    """A row's label and its images, uint8 [lines, columns, C, H, W]: of a run at a temperature, or of a real split."""
    if "data" in row:
        images = sources.real_images(row, lines * columns)
        label = row.get("label", "Data"), f"{row['data']} images"
    else:
        result = sources.read("shown", row, "images")
        [images] = sources.images(result, lines * columns, "images")
        overflowed = result.content.get("exploded_samples")
        clipped = f"{overflowed} of {result.number('samples')} overflowed, clipped" if overflowed else ""
        model = sources["styles"][row["model"]]["label"] if "label" in row else ""
        label = sources.label(row), with_commas(model, drawn_at(sources.temperature(row)), clipped)
    return label, images.reshape(lines, columns, *images.shape[1:])
