"""Boxes and arrows in inches, for a figure that is a drawing. No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from vaeglow.reporting import style
from vaeglow.reporting.page import MARGIN

WIDTH, TALL = 0.92, 0.72  # inches of a box
APART = 0.055  # inches between the two arrows of a bijection, and their middle


@dataclasses.dataclass
class Box:
    """A box with a name and lines of detail; a node is a variable, drawn round and white.

    Attributes:
        name: in large.
        lines: in small, below.
        node: a variable, and not something computed.
        x: of its middle, inches from the left; set when it is drawn.
        y: of its middle, inches from the foot.
    """

    name: str
    lines: Sequence[str]
    node: bool = False
    x: float = 0.0
    y: float = 0.0


class Diagram:
    """A drawing of `style.WIDTH` x `height` inches under a title and above a footer, y upwards from the drawing's foot.

    Args:
        title: heading; wrapped.
        height: of the drawing.
    """

    def __init__(self, title: str, height: float) -> None:
        self.title = style.wrap(title, style.WIDTH - 2 * MARGIN, style.TITLE)
        top = MARGIN + style.line_height(style.TITLE) * (self.title.count("\n") + 1)
        self.foot = style.line_height(style.FOOTER) * 2 + MARGIN / 2
        self.figure = style.new_figure(style.WIDTH, top + height + self.foot)
        total = self.figure.get_figheight()
        self.axes = self.figure.add_axes((0, self.foot / total, 1, height / total))
        self.axes.set(xlim=(0, style.WIDTH), ylim=(0, height))
        self.axes.set_axis_off()

    def band(self, bottom: float, top: float, color: str, name: str, detail: str, at_foot: bool = False) -> None:
        """A coloured field over the whole width, its name and detail at its head or foot."""
        box = FancyBboxPatch(
            (MARGIN, bottom),
            style.WIDTH - 2 * MARGIN,
            top - bottom,
            "round,pad=0,rounding_size=0.08",
            fc=color,
            ec="none",
        )
        self.axes.add_patch(box)
        y = bottom + 0.08 + style.line_height(style.LABEL) if at_foot else top - 0.08
        text = self.axes.text(MARGIN + 0.1, y, name, size=style.LABEL, weight="bold", va="top")
        self.axes.annotate(
            detail, (1, 0), xycoords=text, xytext=(8, 0), textcoords="offset points", size=style.DETAIL, va="bottom"
        )

    def row(self, y: float, columns: Sequence[float], boxes: Sequence[Box | None]) -> Sequence[Box | None]:
        """Draw boxes at the columns, from left to right; returns them."""
        for x, box in zip(columns, boxes, strict=True):
            if box is not None:
                self.box(box, x, y)
        return boxes

    def box(self, box: Box, x: float, y: float) -> None:
        """Draw one box with its text in the middle."""
        box.x, box.y = x, y
        corner = (x - WIDTH / 2, y - TALL / 2)
        rounding = TALL / 2.4 if box.node else 0.04
        self.axes.add_patch(
            FancyBboxPatch(
                corner,
                WIDTH,
                TALL,
                f"round,pad=0,rounding_size={rounding}",
                fc=style.PAPER,
                ec=style.GREY if box.node else style.INK,
                lw=0.8,
                zorder=3,
            )
        )
        texts = [(box.name, 7.5), *((line, 6.2) for line in box.lines)]
        heights = [style.line_height(size) for _, size in texts]
        top = y + sum(heights) / 2
        for (text, size), high in zip(texts, heights, strict=True):
            self.axes.text(x, top - high / 2, text, size=size, ha="center", va="center_baseline", zorder=4)
            top -= high

    def arrow(self, left: Box, right: Box, dashed: bool = False) -> None:
        """From the right side of one box to the left side of the next."""
        self.line((left.x + WIDTH / 2, left.y), (right.x - WIDTH / 2, right.y), dashed)

    def both(self, left: Box, right: Box, forward: str = "", backward: str = "") -> None:
        """A bijection: solid to the right, dashed back; with a name above and below."""
        ends = left.x + WIDTH / 2, right.x - WIDTH / 2
        self.line((ends[0], left.y + APART), (ends[1], left.y + APART), False)
        self.line((ends[1], left.y - APART), (ends[0], left.y - APART), True)
        for text, y, va in ((forward, left.y + APART + 0.03, "bottom"), (backward, left.y - APART - 0.05, "top")):
            self.axes.text(sum(ends) / 2, y, text, size=style.DETAIL, ha="center", va=va)

    def down(self, above: Box, below: Box) -> None:
        """From the foot of one box to the head of another."""
        self.line((above.x, above.y - TALL / 2), (below.x, below.y + TALL / 2), False)

    def both_down(self, above: Box, below: Box, downward: str, upward: str) -> None:
        """A bijection between boxes one above the other: dashed down, solid up."""
        ends = above.y - TALL / 2, below.y + TALL / 2
        self.line((above.x - APART, ends[0]), (above.x - APART, ends[1]), True)
        self.line((above.x + APART, ends[1]), (above.x + APART, ends[0]), False)
        y = ends[0] - 0.13
        self.axes.text(above.x - APART - 0.04, y, downward, size=style.LABEL, ha="right", va="center")
        self.axes.text(above.x + APART + 0.04, y, upward, size=style.LABEL, ha="left", va="center")

    def line(self, start: tuple[float, float], end: tuple[float, float], dashed: bool) -> None:
        """An arrow between two points."""
        look = {"linestyle": (0, (3, 2)) if dashed else "-", "lw": 0.9, "color": style.INK, "zorder": 2}
        self.axes.add_patch(
            FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=6, shrinkA=0, shrinkB=0, **look)
        )

    def same(self, above: Box, below: Box, text: str) -> None:
        """A dotted line between two boxes that hold the same."""
        ends = above.y - TALL / 2, below.y + TALL / 2
        self.axes.plot([above.x - 0.2] * 2, ends, ":", color=style.GREY, lw=1.0, zorder=2)
        self.axes.text(
            above.x - 0.28, sum(ends) / 2 + 0.2, text, size=style.FOOTER, rotation=90, ha="right", va="center"
        )

    def group(self, first: Box, last: Box, text: str) -> None:
        """A dashed frame around boxes of one row, with text above."""
        left, bottom = first.x - WIDTH / 2 - 0.07, first.y - TALL / 2 - 0.09
        width, height = last.x - first.x + WIDTH + 0.14, TALL + 0.18
        frame = FancyBboxPatch(
            (left, bottom), width, height, "round,pad=0,rounding_size=0.05", fc="none", ec=style.GREY, ls="--", lw=0.7
        )
        self.axes.add_patch(frame)
        self.axes.text(left + width / 2, bottom + height + 0.03, text, size=style.DETAIL, ha="center", va="bottom")

    def write(self, x: float, y: float, lines: Sequence[tuple[str, float]]) -> None:
        """Lines of text of given sizes, the first one's top at y."""
        for text, size in lines:
            self.axes.text(x, y, text, size=size, va="top")
            y -= style.line_height(size) * 1.15

    def arrow_key(self, x: float, y: float, text: str, dashed: bool) -> None:
        """What a kind of arrow means."""
        self.line((x, y), (x + 0.4, y), dashed)
        self.axes.text(x + 0.47, y, text, size=style.DETAIL, va="center")

    def finish(self, footer: str) -> Figure:
        """Add title and footer."""
        total, left = self.figure.get_figheight(), MARGIN / style.WIDTH
        write = {"va": "top", "linespacing": 1.25}
        self.figure.text(left, 1 - MARGIN / total, self.title, size=style.TITLE, **write)
        foot = style.wrap(footer, style.WIDTH - 2 * MARGIN, style.FOOTER)
        self.figure.text(left, self.foot / total, foot, size=style.FOOTER, color=style.GREY, **write)
        return self.figure
