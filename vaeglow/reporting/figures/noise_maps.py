"""The decoder's s(z) next to mean and image.

Section 3.1 of the paper. In each line: a test image, the decoder's mean, and s(z) in grey levels; all maps share one
scale of colours.
"""

import numpy as np

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.side_by_side import LINES

READS = ("noise_maps",)
SCHEMA = {"lines": LINES, "rows": {"$ref": "#/$defs/plain_rows"}}
PERCENTILE = 99  # of s(z), where the colours end: a few outliers would darken all other pixels


def draw(sources: Sources, page: style.Page) -> None:
    """A panel for each row."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    rows, lines = sources.spec["rows"], sources.spec["lines"]
    results = [sources.read("noise_maps", row, "images", "mean", "scale") for row in rows]
    scales = [result.arrays["scale"][:lines] for result in results]  # [lines, H, W]
    norm = Normalize(0.0, max(float(np.percentile(scale, PERCENTILE)) for scale in scales) or 1.0, clip=True)
    colours = ScalarMappable(norm, style.FIELDS)
    panels = []
    for row, result, scale in zip(rows, results, scales, strict=True):
        image, mean = (sources.images(result, name, lines)[:, None] for name in ("images", "mean"))
        found = result.value("error_correlation")
        note = "one s for all pixels" if found is None else f"rank correlation of s and |error|: {found:.2f}"
        coloured = colours.cmap(norm(scale), bytes=True)[:, None, :, :, :3].transpose(0, 1, 4, 2, 3)
        label = sources.label(row), note
        panels.append((label, [("image", image), ("mean \u03bc(z)", mean), ("s(z)", coloured)]))
    page.panels(panels)
    clipped = any(scale.max() > norm.vmax for scale in scales)
    axes = page.figure.axes[-1].inset_axes((1.15, 0, 0.15, 1))
    bar = page.figure.colorbar(colours, axes, extend="max" if clipped else "neither", extendfrac=0.02)
    bar.set_label("s(z), grey levels (RMS of the channels)", size=style.DETAIL)
