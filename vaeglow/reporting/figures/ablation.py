"""Bits/dim and FID, a dot for each model.

Sections 3.1, 3.3 and 3.4 of the paper: models that differ in one thing.
"""

from typing import Any

from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL, Numbers, drawn_at, numbers
from vaeglow.reporting.style import DETAIL, FOOTER, INK, Axes, Page, wrap

READS = ("metrics", "likelihood")
ERRORS = "One seed. Error bars: one standard error of bits/dim over images."
SCHEMA = PROTOCOL | DRAWN_ROWS
LINE = 0.26  # inches: a model's height
LABELS = 2.2  # inches: the width of its label
FILLS = ("full", "none", "left", "right", "top", "bottom")  # of the markers of a model's temperatures
BELOW = 0.28  # of a model's height: where seeds are, which their mean would cover


def draw(sources: Sources, page: Page) -> None:
    """A line for each model, its bits/dim at the left and its FIDs at the right."""
    frame = sources.frame(*READS)
    temperatures = sorted(frame["temperature"].unique())
    models = [lines for _, lines in frame.groupby(["dataset", "model"], sort=False)]
    left, right = page.charts(
        ["bits/dim (lower is better)", "FID (lower is better)"], 2, 0.75 + LINE * max(3, len(models)), sharey=True
    )
    for y, lines in enumerate(models):
        look = sources.look(lines.iloc[0])
        dot(
            left,
            y,
            numbers(lines, "likelihood.bits_per_dim"),
            ".2f",
            errors=numbers(lines, "likelihood.standard_error"),
            **look,
        )
        for temperature, drawn in lines.groupby("temperature"):
            fill = FILLS[temperatures.index(temperature) % len(FILLS)]
            dot(right, y, numbers(drawn, "metrics.fid"), ".1f", fillstyle=fill, **look)
    left.set_yticks(range(len(models)), [wrap(lines["label"].iloc[0], LABELS, DETAIL) for lines in models])
    left.set_ylim(len(models) - 0.5, -0.5)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.12)
    for temperature, fill in zip(temperatures, FILLS, strict=False):
        right.plot([], [], "o", color=INK, fillstyle=fill, label=drawn_at(temperature))
    page.notes.append(f"Bits/dim: the same at each T; on test images (K=1). FID: {sources.protocol_note()}")


def dot(axes: Axes, y: int, values: Numbers, form: str, **look: Any) -> None:
    """One number of each seed (see `curve`), and the mean's value above its marker."""
    [x] = curve(axes, values.to_frame(y), order=-1, aside=BELOW, linestyle="", **look)
    axes.annotate(format(x, form), (x, y), (0, 4), textcoords="offset points", ha="center", size=FOOTER)
