"""Ways between random latents (the paper's Figure 5). No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.reporting.drawn import REMEDY, Sources
from vaeglow.reporting.figure_kinds.sample_sheet import sheet
from vaeglow.reporting.page import image_grid
from vaeglow.reporting.sample_rows import Row, split_label

SPACES = {"prior": "straight line in the prior's base space", "latent": "great circle in latent space"}


def draw(sources: Sources) -> Figure:
    """Draw the figure; keys of its spec: `space` (`prior` or `latent`) and `lines` of images, a pair of ends each.

    Each line leads from one random latent at the left to another at the right. The first pairs are shown.

    Raises:
        UserError: a file is missing, damaged, holds too few pairs, or is of something else.
    """
    found = [read_row(sources, row) for row in sources.spec["rows"]]
    rows, grids = [row for row, _ in found], [grid for _, grid in found]
    return sheet(rows, grids, sources.spec["title"], sources.footer())


def read_row(sources: Sources, row: Mapping[str, Any]) -> tuple[Row, np.ndarray]:
    """One model on one dataset: its label and images, and the images laid out.

    Raises:
        UserError: see `draw`.
    """
    space, lines = sources.spec["space"], sources.spec["lines"]
    path = sources.path(row, "interpolation", space=space)
    arrays, _ = sources.arrays(row, "interpolation", ("images",), "interpolate", space=space)
    images = sources.images(arrays["images"], row, path, leading=2)
    pairs, steps = images.shape[:2]
    if steps < 2:
        raise UserError(f"{path} has {steps} images a pair, figure {sources.name} needs both ends: {REMEDY}")
    sources.require(pairs * steps, lines * steps, path, f"lines ({lines}, of {steps} images)", "interpolate more pairs")
    shown = images[:lines].reshape(-1, *images.shape[2:])
    name, variant = (row["label"], "") if "label" in row else split_label(row["model"])
    detail = "\n".join(part for part in (row["dataset"], variant, SPACES.get(space, space)) if part)
    return Row(name, detail, shown), image_grid(shown, steps, lines)
