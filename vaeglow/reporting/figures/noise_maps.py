"""The decoder's s(z) next to mean and image.

Section 3.1 of the paper. In each line: a test image, the decoder's mean, and s(z) in grey levels; all maps share one
scale of colours.
"""

import numpy as np

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.side_by_side import LINES
from vaeglow.reporting.frame import PLAIN_ROWS

READS = ("noise_maps",)
SCHEMA = LINES | PLAIN_ROWS
PERCENTILE = 99  # of s(z), where the colours end: a few outliers would darken all other pixels


def draw(sources: Sources, page: style.Page) -> None:
    """A panel for each row."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    rows = sources.spec["rows"]
    lines = sources.spec["lines"]
    results = [sources.read("noise_maps", row, "images", "mean", "scale") for row in rows]
    scales = [result.arrays["scale"][:lines] for result in results]  # [lines, H, W]
    top = max(float(np.percentile(scale, PERCENTILE)) for scale in scales)
    norm = Normalize(0.0, top or 1.0, clip=True)
    colours = ScalarMappable(norm, style.FIELDS)
    panels = []
    for row, result, scale in zip(rows, results, scales, strict=True):
        image = sources.images(result, "images", lines)
        mean = sources.images(result, "mean", lines)
        coloured = colours.cmap(norm(scale), bytes=True)[..., :3].transpose(0, 3, 1, 2)
        correlation = result.value("error_correlation")
        note = (
            "one s for all pixels" if correlation is None else f"rank correlation of s and |error|: {correlation:.2f}"
        )
        blocks = [("image", image), ("mean \u03bc(z)", mean), ("s(z)", coloured)]
        panels.append(((sources.label(row), note), [(heading, shown[:, None]) for heading, shown in blocks]))
    page.panels(panels)
    clipped = any(scale.max() > norm.vmax for scale in scales)
    axes = page.figure.axes[-1].inset_axes((1.15, 0, 0.15, 1))
    bar = page.figure.colorbar(colours, axes, extend="max" if clipped else "neither", extendfrac=0.02)
    bar.set_label("s(z), grey levels (RMS of the channels)", size=style.DETAIL)
