"""Samples, the rows side by side.

Figures 2 and 3 of the paper. The first samples of each run are shown.
"""

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.sample_sheet import COLUMNS, samples
from vaeglow.reporting.style import Page

READS = ("shown",)
LINES = {"$ref": "#/$defs/count", "description": "lines of images"}
SCHEMA = {"columns": COLUMNS, "lines": LINES, "rows": {"$ref": "#/$defs/one_temperature_rows"}}


def draw(sources: Sources, page: Page) -> None:
    """A panel for each row."""
    rows = [samples(sources, row, sources.spec["lines"]) for row in sources.spec["rows"]]
    page.panels([(label, [("", images)]) for label, images in rows])
