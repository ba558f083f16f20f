"""Where the decoder is sure: its mean and standard deviation beside the image (section 3.1). No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.drawn import REMEDY, Sources
from vaeglow.reporting.page import dots, image_grid, place
from vaeglow.reporting.panels import Panel, lay_out
from vaeglow.reporting.sample_rows import split_label

BAR, BAR_ROOM = 0.12, 0.75  # inches: the colour bar's width, and that of all at its side
PERCENTILE = 99  # of s(z), where the colours end: a few wild pixels would darken all others


def draw(sources: Sources) -> Figure:
    """Draw the figure; key of its spec: `lines` of images in each panel, one panel a row (a model on a dataset).

    In each line: a test image, the decoder's mean, and s(z) in grey levels; all maps share one scale of colours.

    Raises:
        UserError: a file is missing, damaged, holds too few images, or is of something else.
    """
    lines = sources.spec["lines"]
    found = [read_maps(sources, row, lines) for row in sources.spec["rows"]]
    top = max(float(np.percentile(scale, PERCENTILE)) for _, _, scale, _ in found)
    norm = Normalize(0.0, top if top > 0 else 1.0, clip=True)
    panels = []
    for row, (images, mean, scale, note) in zip(sources.spec["rows"], found, strict=True):
        blocks = [
            ("image", image_grid(images, 1, lines)),
            ("mean \u03bc(z)", image_grid(mean, 1, lines)),
            ("s(z)", image_grid(colours(scale, norm), 1, lines)),
        ]
        name = row.get("label") or split_label(row["model"])[0]
        panels.append(Panel(blocks, images.shape[-1], f"{row['dataset']}: {name}", note))
    page = lay_out(panels, sources.spec["title"], BAR_ROOM)
    grids = page.grids()
    figure = page.finish(sources.footer())
    x, y, width, height = grids[-1]
    add_bar(figure, norm, x + width + dots(0.1), y, height, clipped=any(f[2].max() > norm.vmax for f in found))
    return figure


def read_maps(sources: Sources, row: Mapping[str, Any], lines: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Images and means uint8 [lines, C, H, W], scales [lines, H, W] in grey levels, and what to say below.

    Raises:
        UserError: see `draw`.
    """
    path = sources.path(row, "noise_maps")
    arrays, about = sources.arrays(row, "noise_maps", ("images", "mean", "scale"), "noise_maps")
    images = sources.images(arrays["images"], row, path, leading=1)
    mean = sources.images(arrays["mean"], row, path, leading=1)
    scale = arrays["scale"]
    wanted = (len(images), *images.shape[2:])
    if mean.shape != images.shape or scale.shape != wanted or not np.isfinite(scale).all() or scale.min() < 0:
        raise UserError(
            f"{path}: 'scale' {list(scale.shape)} and 'mean' {list(mean.shape)} do not fit 'images' "
            f"{list(images.shape)}, as figure {sources.name} needs: {REMEDY}"
        )
    sources.require(len(images), lines, path, f"lines ({lines})", "make maps of more images")
    correlation = about.get("error_correlation")
    note = "one s for all pixels" if correlation is None else f"rank correlation of s and |error|: {correlation:.2f}"
    return images[:lines], mean[:lines], scale[:lines], note


def colours(scale: np.ndarray, norm: Normalize) -> np.ndarray:
    """Numbers [n, H, W] as colours, uint8 [n, 3, H, W]."""
    return matplotlib.colormaps[style.FIELDS](norm(scale), bytes=True)[..., :3].transpose(0, 3, 1, 2)


def add_bar(figure: Figure, norm: Normalize, x: float, y: float, height: float, clipped: bool) -> None:
    """The colour bar of all maps, at the right of the last."""
    axes = place(figure, x, y, dots(BAR), height)
    mappable = ScalarMappable(norm, matplotlib.colormaps[style.FIELDS])
    bar = figure.colorbar(mappable, cax=axes, extend="max" if clipped else "neither", extendfrac=0.02)
    bar.set_label("s(z), grey levels (RMS of the channels)", size=style.DETAIL)
    bar.outline.set_linewidth(0.4)
