"""Samples, the rows side by side.

Figures 2 and 3 of the paper. The first samples of each run are shown.
"""

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.sample_sheet import COLUMNS, samples
from vaeglow.reporting.style import Page

READS = ("shown",)
LINES = {"lines": {"$ref": "#/$defs/count", "description": "lines of images"}}
ONE_TEMPERATURE = {"rows": {"$ref": "#/$defs/one_temperature_rows"}}
SCHEMA = COLUMNS | LINES | ONE_TEMPERATURE


def draw(sources: Sources, page: Page) -> None:
    """A panel for each row."""
    panels = []
    for row in sources["rows"]:
        label, images = samples(sources, row, sources["lines"], sources["columns"])
        panels.append((label, [("", images)]))
    page.panels(panels)
