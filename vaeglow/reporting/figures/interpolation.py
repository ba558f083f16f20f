"""Images between random latents.

Figure 5 of the paper. Each line goes from one random latent at the left to another at the right; the first pairs are
shown.
"""

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.side_by_side import LINES
from vaeglow.reporting.frame import PLAIN_ROWS
from vaeglow.reporting.style import Page

READS = ("interpolation",)
SCHEMA = {"space": {"$ref": "#/$defs/space"}, **LINES, **PLAIN_ROWS}
SPACES = {"prior": "straight line in the prior's base space", "latent": "great circle in latent space"}


def draw(sources: Sources, page: Page) -> None:
    """A row of the sheet for each row of the figure."""
    rows = []
    for row in sources["rows"]:
        result = sources.read("interpolation", row, "images")
        [images] = sources.images(result, sources["lines"], "images")  # [pairs, steps, C, H, W]
        rows.append(((sources.label(row), SPACES[sources["space"]]), images))
    page.sheet(rows)
