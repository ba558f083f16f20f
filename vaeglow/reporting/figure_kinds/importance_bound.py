"""Bits/dim against the number K of draws of the importance-weighted bound, on the same test images. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.chart import Chart, key, panel_letter
from vaeglow.reporting.drawn import REMEDY, Sources
from vaeglow.reporting.labels import model_label


@dataclasses.dataclass(frozen=True)
class Curve:
    """One model's bounds.

    Attributes:
        draws: K, rising, the first 1: [J].
        bits: bits/dim of each image at each K: [J, N].
    """

    draws: np.ndarray
    bits: np.ndarray

    @property
    def gains(self) -> np.ndarray:
        """How far each image's bits/dim fall from K = 1: [J, N]."""
        return self.bits[0] - self.bits


def draw(sources: Sources) -> Figure:
    """Draw the figure: at the left the bounds, at the right what more draws gain, a curve for each row.

    Error bars are one standard error over images; at the right of the differences, image by image. Each curve is moved
    a little sideways, so that error bars that coincide can be told apart.

    Raises:
        UserError: a file is missing, damaged, of something else, or of one K only.
    """
    rows = sources.spec["rows"]
    chart = Chart(sources.spec["title"], 1, 2, height=2.9)
    bounds, gains = chart.axes[0]
    several = len({row["dataset"] for row in rows}) > 1
    handles, images = [], []
    for number, row in enumerate(rows):
        curve = read(sources, row)
        look = style.look(row["model"])
        offset = 1.04 ** (number - (len(rows) - 1) / 2)
        plot(bounds, curve.draws * offset, curve.bits, look)
        plot(gains, curve.draws * offset, curve.gains, look)
        name = row.get("label") or model_label(row["model"])
        handles.append(key(f"{name}, {row['dataset']}" if several else name, **look))
        images.append(curve.bits.shape[1])
        for axes in (bounds, gains):
            axes.set_xscale("log")
            axes.set_xticks(curve.draws, [f"{k:,}" for k in curve.draws])
            axes.minorticks_off()
    gains.axhline(0, color=style.GREY, linestyle=":", linewidth=1.0)
    for number, (axes, title) in enumerate(
        ((bounds, "bits/dim (lower is better)"), (gains, "bits/dim gained over K = 1"))
    ):
        axes.set_title(panel_letter(number, title))
        axes.set_xlabel("joint draws K of noise and latent")
    counted = " or ".join(f"{count:,}" for count in dict.fromkeys(images))
    note = (
        f"The first {counted} test images, the same at every K. Error bars: one standard error over images, in (b) of "
        "the differences image by image. Bounds are nested: a smaller K's draws are among a larger one's. From K = 10 "
        "on there are ten noises u, shared by the latents, so a model without a latent gains nothing more."
    )
    return chart.finish(sources.footer(), handles, [note])


def read(sources: Sources, row: Mapping[str, Any]) -> Curve:
    """The bounds of one row, checked against what likelihood.json says of them.

    Raises:
        UserError: see `draw`.
    """
    content, path = sources.json(row, "likelihood", {"split": "test"}), sources.path(row, "likelihood")
    bounds = content.get("importance")
    draws = sorted(int(k) for k in bounds) if isinstance(bounds, dict) and all(map(str.isdigit, bounds)) else []
    if len(draws) < 2 or draws[0] != 1:
        raise UserError(
            f"{path} holds no bound beside K = 1: list some in evaluation.importance_samples and evaluate the run again"
        )
    names = tuple(f"bits_per_dim_{k}" for k in draws)
    arrays, _ = sources.arrays(row, "likelihood_images", names, "likelihood")
    count = len(arrays[names[-1]])
    bits = np.stack([np.asarray(arrays[name], dtype=float)[:count] for name in names])
    for k, values in zip(draws, bits, strict=True):
        said = sources.number(bounds[str(k)], "bits_per_dim", path)
        if not np.isfinite(values).all() or abs(values.mean() - said) > 1e-6:
            raise UserError(f"{sources.path(row, 'likelihood_images')} is not what {path} sums up at K = {k}: {REMEDY}")
    return Curve(np.array(draws), bits)


def plot(axes: Axes, x: np.ndarray, values: np.ndarray, look: Mapping[str, Any]) -> None:
    """One curve: means over images and their standard errors."""
    count = values.shape[1]
    errors = values.std(1, ddof=1) / np.sqrt(count) if count > 1 else None
    axes.errorbar(x, values.mean(1), errors, linewidth=1.1, **look)
