"""The decoder's s(z) next to mean and image.

Section 3.1 of the paper. In each line: a test image, the decoder's mean, and s(z) in grey levels; all maps share one
scale of colours.
"""

import numpy as np

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.side_by_side import LINES
from vaeglow.reporting.frame import PLAIN_ROWS
from vaeglow.reporting.style import DETAIL, FIELDS, Page

READS = ("noise_maps",)
SCHEMA = LINES | PLAIN_ROWS
PERCENTILE = 99  # of s(z), where the colours end: a few outliers would darken all other pixels


def draw(sources: Sources, page: Page) -> None:
    """A panel for each row."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    rows = sources["rows"]
    lines = sources["lines"]
    results = [sources.read("noise_maps", row, "images", "mean", "scale") for row in rows]
    scales = [result.arrays["scale"][:lines] for result in results]  # [lines, H, W]
    norm = Normalize(0.0, max(np.percentile(scale, PERCENTILE) for scale in scales), clip=True)
    colours = ScalarMappable(norm, FIELDS)
    panels = []
    for row, result, scale in zip(rows, results, scales, strict=True):
        image, mean = sources.images(result, lines, "images", "mean")
        correlation = result.value("error_correlation")
        note = (
            "one s for all pixels" if correlation is None else f"rank correlation of s and |error|: {correlation:.2f}"
        )
        panels.append(
            (
                (sources.label(row), note),
                [
                    ("image", image[:, None]),
                    ("mean \u03bc(z)", mean[:, None]),
                    ("s(z)", colours.cmap(norm(scale), bytes=True)[..., :3].transpose(0, 3, 1, 2)[:, None]),
                ],
            )
        )
    page.panels(panels)
    page.figure.colorbar(
        colours,
        page.figure.axes[-1].inset_axes((1.15, 0, 0.15, 1)),
        extend="max" if any(scale.max() > norm.vmax for scale in scales) else "neither",
        extendfrac=0.02,
    ).set_label("s(z), grey levels (RMS of the channels)", size=DETAIL)
