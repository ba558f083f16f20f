"""All kinds of figures and how one is drawn from its spec. How it looks is in `style`, what it reads in `drawn`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vaeglow.config import nearest
from vaeglow.errors import UserError
from vaeglow.reporting import style, traced
from vaeglow.reporting.drawn import Sources
from vaeglow.reporting.figure_kinds import (
    ablation,
    importance_bound,
    interpolation,
    linear_reference,
    nearest_training,
    noise_maps,
    overview,
    quality_time,
    sample_sheet,
    sharpening,
    side_by_side,
    spectrum,
    temperature,
)

KINDS: dict[str, Callable[[Sources], Figure]] = {
    "sample_sheet": sample_sheet.draw,
    "side_by_side": side_by_side.draw,  # Figures 2 and 3
    "overview": overview.draw,  # Figure 1
    "sharpening": sharpening.draw,  # Figure 4
    "interpolation": interpolation.draw,  # Figure 5
    "temperature": temperature.draw,  # section 3.5
    "quality_time": quality_time.draw,  # section 4.3
    "linear_reference": linear_reference.draw,  # section 3.3
    "noise_maps": noise_maps.draw,  # section 3.1
    "spectrum": spectrum.draw,  # section 4.2
    "ablation": ablation.draw,
    "nearest_training": nearest_training.draw,
    "importance_bound": importance_bound.draw,
}


def draw(spec: Mapping[str, Any], results_root: str | Path, data_root: str | Path) -> Figure:
    """Draw the figure that a spec describes.

    Args:
        spec: see `vaeglow.config.plan.spec`; its `kind` is a key of `KINDS`.
        results_root: the folder that holds the presets' folders.
        data_root: the folder that holds the prepared datasets' folders.

    Returns:
        A figure for `vaeglow.reporting.style.save`.

    Raises:
        UserError: an unknown kind, or files that are missing, damaged, too short or of something else; the message
            names the figure.
    """
    name, kind = spec["name"], spec["kind"]
    if kind not in KINDS:
        raise UserError(f"figure {name} is of kind '{kind}'{nearest(kind, KINDS)}: the kinds are {', '.join(KINDS)}")
    try:
        with style.styled():
            sources = Sources(spec, results_root, data_root)
            return traced.attach(KINDS[kind](sources), list(sources.read))
    except UserError as error:
        if f"figure {name}" in str(error):
            raise
        raise UserError(f"figure {name}: {error}") from error
