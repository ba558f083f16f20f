"""Figures of curves and points: the frame they share, of title, legend, axes, notes and footer. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vaeglow.reporting import style
from vaeglow.reporting.page import MARGIN

MANY = 30  # points of a curve; beyond, markers would hide it


class Chart:
    """A figure of `lines` x `columns` axes under a title and above notes and a footer.

    Args:
        title: heading; wrapped.
        lines: of axes.
        columns: axes a line.
        height: of the axes with their labels, in inches.
        **subplots: for `Figure.subplots` (`sharex`, `sharey`, `width_ratios`).

    Attributes:
        axes: [lines, columns].
    """

    def __init__(self, title: str, lines: int, columns: int, height: float, **subplots: object) -> None:
        self.title = style.wrap(title, style.WIDTH - 2 * MARGIN, style.TITLE)
        self.figure = Figure(figsize=(style.WIDTH, height), dpi=style.DPI, layout="constrained")
        self.axes: np.ndarray = self.figure.subplots(lines, columns, squeeze=False, **subplots)
        self.height = height

    def finish(self, footer: str, handles: Sequence[Artist] = (), notes: Iterable[str] = ()) -> Figure:
        """Put title, legend, notes and footer around the axes.

        Args:
            footer: the last line.
            handles: of a legend for all axes, each with its label; none: no legend.
            notes: lines below the axes, in small.
        """
        inside = style.WIDTH - 2 * MARGIN
        notes = [style.wrap(note, inside, style.DETAIL) for note in notes]
        foot = style.wrap(footer, inside, style.FOOTER)
        columns = legend_columns([str(handle.get_label()) for handle in handles], inside)
        legend = 1.35 * style.line_height(style.DETAIL) * -(-len(handles) // columns) + 0.06 if handles else 0.0
        top = MARGIN + style.line_height(style.TITLE) * (self.title.count("\n") + 1) + 0.05
        below = [text_height(note, style.DETAIL) for note in notes]
        bottom = sum(below) + text_height(foot, style.FOOTER) + 0.12
        height = top + legend + self.height + bottom
        self.figure.set_size_inches(style.WIDTH, height)
        left = MARGIN / style.WIDTH
        box = (left, bottom / height, 1 - 2 * left, self.height / height)
        self.figure.get_layout_engine().set(rect=box, w_pad=0.03, h_pad=0.05, wspace=0.03, hspace=0.06)
        write = {"ha": "left", "va": "top", "linespacing": 1.25}
        self.figure.text(left, 1 - MARGIN / height, self.title, size=style.TITLE, **write)
        if handles:
            self.figure.legend(
                handles=handles,
                loc="upper left",
                bbox_to_anchor=(left, 1 - top / height),
                ncols=columns,
                borderpad=0.0,
                borderaxespad=0.0,
                handlelength=2.2,
                columnspacing=1.4,
            ).set_in_layout(False)
        y = bottom - 0.04
        for note, high in zip(notes, below, strict=True):
            self.figure.text(left, y / height, note, size=style.DETAIL, **write)
            y -= high
        self.figure.text(left, y / height, foot, size=style.FOOTER, color=style.GREY, **write)
        return self.figure


def text_height(text: str, points: float) -> float:
    """The height of wrapped text, in inches."""
    return style.line_height(points) * (text.count("\n") + 1)


def legend_columns(labels: Sequence[str], inches: float) -> int:
    """How many entries of a legend fit side by side."""
    widest = max(map(len, labels), default=0) * 0.56 * style.DETAIL / 72 + 0.45
    return max(1, min(len(labels), int(inches / widest)))


def key(label: str, **look: object) -> Line2D:
    """A legend's entry that stands for no one curve."""
    return Line2D([], [], label=label, **look)


def marker(count: int, symbol: str) -> str:
    """The marker of a curve of `count` points: none where they are so many that it would hide the curve."""
    return symbol if count <= MANY else ""


def mark_best(axes: Axes, x: float, y: float, color: str) -> None:
    """A ring around a point."""
    axes.plot(
        [x], [y], "o", markersize=10, markerfacecolor="none", markeredgecolor=color, markeredgewidth=1.0, zorder=4
    )


def panel_letter(number: int, title: str) -> str:
    """The heading of one of several axes."""
    return f"({chr(ord('a') + number)}) {title}"
