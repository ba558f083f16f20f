"""Bits/dim and FID, a dot for each model.

Sections 3.1, 3.3 and 3.4 of the paper: models that differ in one thing.
"""

from typing import Any

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.frame import drawn_at, numbers

READS = ("metrics", "likelihood")
SCHEMA = {"protocol": {"$ref": "#/$defs/protocol_name", "default": None}, "rows": {"$ref": "#/$defs/drawn_rows"}}
LINE, LABELS = 0.26, 2.2  # inches: a model's height, and the width of its label
FILLS = ("full", "none", "left", "right", "top", "bottom")  # of the markers of a model's temperatures


def draw(sources: Sources, page: style.Page) -> None:
    """A line for each model, its bits/dim at the left and its FIDs at the right."""
    frame = sources.frame(*READS)
    temperatures = sorted(frame["temperature"].unique())
    models = [lines for _, lines in frame.groupby(["dataset", "model"], sort=False)]
    titles = ["bits/dim (lower is better)", "FID (lower is better)"]
    left, right = page.charts(titles, 2, 0.75 + LINE * max(3, len(models)), sharey=True)
    for y, lines in enumerate(models):
        look = sources.look(lines.iloc[0])
        [bits], [error] = (numbers(lines, f"likelihood.{name}") for name in ("bits_per_dim", "standard_error"))
        dot(left, bits, y, f"{bits:.2f}", xerr=error, **look)
        for temperature, fid in zip(lines["temperature"], numbers(lines, "metrics.fid"), strict=True):
            dot(right, fid, y, f"{fid:.1f}", fillstyle=FILLS[temperatures.index(temperature) % len(FILLS)], **look)
    labels = [style.wrap(lines["label"].iloc[0], LABELS, style.DETAIL) for lines in models]
    left.set_yticks(range(len(models)), labels)
    left.set_ylim(len(models) - 0.5, -0.5)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
    for temperature, fill in zip(temperatures, FILLS, strict=False):
        right.plot([], [], "o", color=style.INK, fillstyle=fill, label=drawn_at(temperature))
    note = "Bits/dim: the same at each T; on test images (K=1), \u00b1 one standard error over images. FID: "
    page.notes.append(note + sources.protocol_note())


def dot(axes: style.Axes, x: float, y: float, text: str, **look: Any) -> None:
    """One number, with its value above the marker."""
    axes.errorbar([x], [y], linestyle="", **look)
    axes.annotate(text, (x, y), (0, 4), textcoords="offset points", ha="center", size=style.FOOTER)
