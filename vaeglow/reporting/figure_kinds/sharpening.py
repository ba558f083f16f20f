"""What the Glow layer makes of samples of the VAE (the paper's Figure 4). No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.reporting.drawn import REMEDY, Sources
from vaeglow.reporting.page import image_grid
from vaeglow.reporting.panels import Panel, lay_out
from vaeglow.reporting.sample_rows import split_label


def draw(sources: Sources) -> Figure:
    """Draw the figure; key of its spec: `lines` of images in each panel, one panel a row (a model on a dataset).

    In each line the decoder's mean of one latent stands left, and to its right are all draws of the Glow layer from
    that latent. The first latents are shown.

    Raises:
        UserError: a file is missing, damaged, holds too few latents, or is of something else.
    """
    panels = [read_panel(sources, row, sources.spec["lines"]) for row in sources.spec["rows"]]
    page = lay_out(panels, sources.spec["title"])
    return page.finish(sources.footer())


def read_panel(sources: Sources, row: Mapping[str, Any], lines: int) -> Panel:
    """One model on one dataset.

    Raises:
        UserError: see `draw`.
    """
    path = sources.path(row, "layer_draws")
    arrays, about = sources.arrays(row, "layer_draws", ("vae", "layer"), "layer_draws")
    vae = sources.images(arrays["vae"], row, path, leading=1)
    layer = sources.images(arrays["layer"], row, path, leading=2)
    if len(vae) != len(layer) or not layer.shape[1]:
        raise UserError(
            f"{path}: 'layer' holds {list(layer.shape[:2])} images of {len(vae)} latents, "
            f"figure {sources.name} needs [{len(vae)}, k] with k > 0: {REMEDY}"
        )
    sources.require(len(vae), lines, path, f"lines ({lines})", "draw from more latents")
    temperature, draws = sources.number(about, "temperature", path), layer.shape[1]
    blocks = [
        ("VAE", image_grid(vae, 1, lines)),
        (f"through the Glow layer ({draws} draw{'s' if draws > 1 else ''})", draws_grid(layer, lines)),
    ]
    name, variant = row.get("label"), ""
    if name is None:
        name, variant = split_label(row["model"])
    detail = [part for part in (variant, f"T={temperature}") if part]
    return Panel(blocks, vae.shape[-1], f"{row['dataset']}: {name}", ", ".join(detail))


def draws_grid(layer: np.ndarray, lines: int) -> np.ndarray:
    """Draws [n, k, C, H, W] as a grid of n lines and k columns."""
    return image_grid(layer.reshape(-1, *layer.shape[2:]), layer.shape[1], lines)
