"""Quality against the seconds of training: the paper's whole argument in one figure (section 4.3). No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from vaeglow.config.schema import kinds
from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.chart import Chart, key, panel_letter
from vaeglow.reporting.drawn import REMEDY, Sources
from vaeglow.reporting.figure_kinds.temperature import protocol_note
from vaeglow.reporting.labels import drawn_at, model_label

PANELS = (("fid", None, "FID"), ("kid", "kid_standard_error", "KID"), ("bits_per_dim", "standard_error", "bits/dim"))
WIDE = 12.0  # last over first second, beyond which the axis is logarithmic
HOUR = 3600.0
SIGNS = {True: "=", False: "\u2264"}


@dataclasses.dataclass(frozen=True)
class Curve:
    """One run as it trained.

    Attributes:
        row: of the figure.
        path: of its file.
        points: by rising seconds.
        base_seconds: how long what it stands on had been trained before its own first step.
        exact: its likelihood is one, and not a bound.
    """

    row: Mapping[str, Any]
    path: Path
    points: Sequence[Mapping[str, Any]]
    base_seconds: float
    exact: bool


def draw(sources: Sources) -> Figure:
    """Draw the figure: FID, KID and bits/dim against training seconds, those of a run's base included.

    A dotted upright marks where a run's own phase begins; a dotted line joins it to the run it stands on. Points
    without a finite value (samples exploded) are left out, and counted in a note.

    Raises:
        UserError: a file is missing, damaged, or of something else.
    """
    curves = [read_curve(sources, row) for row in sources.spec["rows"]]
    chart = Chart(sources.spec["title"], 1, 3, height=2.7)
    unit, unit_name = unit_of(curves)
    left_out: dict[str, int] = {}
    for number, (axes, (name, error, title)) in enumerate(zip(chart.axes.flat, PANELS, strict=True)):
        axes.set_title(panel_letter(number, f"{title} (lower is better)"))
        axes.set_xlabel(f"training time, {unit_name}")
        for curve in curves:
            skipped = plot(axes, sources, curve, curves, (name, error, unit))
            if skipped:
                left_out[f"{title} of {label_of(curve)}"] = skipped
    set_time_axes(chart.axes.flat, curves, unit)
    handles = [key(f"{label_of(c)} ({SIGNS[c.exact]})", **style.look(c.row["model"])) for c in curves]
    if any(curve.base_seconds for curve in curves):
        handles.append(key("phase 2 begins", color=style.GREY, linestyle=":", linewidth=1.0))
    notes = [
        "Wall-clock time of the training steps, both phases added up; other jobs beside them slow them down. "
        "Points of a curve are snapshots of one training: a shorter one would have lowered its rate earlier. "
        "Bits/dim: = exact for dequantised data, \u2264 an upper bound (K = 1). "
        + protocol_note({**sources.spec, "sets": 1})  # a snapshot draws one set
    ]
    if left_out:
        counted = "; ".join(f"{count} {what}" for what, count in left_out.items())
        notes.append(f"Not shown, because not finite: {counted}.")
    return chart.finish(sources.footer(), handles, notes)


def read_curve(sources: Sources, row: Mapping[str, Any]) -> Curve:
    """One row's file.

    Raises:
        UserError: see `draw`.
    """
    protocol, temperature = sources.spec["protocol"], float(row["temperature"])
    wildcards = {"protocol": protocol, "temperature": temperature}
    content = sources.json(row, "snapshots", wildcards | {"stretch": sources.spec["stretch"]}, **wildcards)
    path = sources.path(row, "snapshots", **wildcards)
    points = content.get("points")
    if not isinstance(points, list) or not points or not all(isinstance(point, dict) for point in points):
        raise UserError(f"{path}: points is no list of points, as figure {sources.name} needs: {REMEDY}")
    points = sorted(points, key=lambda point: sources.number(point, "total_seconds", path))
    exact = kinds("models")[sources.json(row, "config")["kind"]].EXACT
    return Curve(row, path, points, sources.number(content, "base_seconds", path), exact)


def label_of(curve: Curve) -> str:
    """What the legend says of a curve."""
    row = curve.row
    return row.get("label") or f"{model_label(row['model'])}, {drawn_at(float(row['temperature']))}"


def unit_of(curves: Sequence[Curve]) -> tuple[float, str]:
    """Seconds in the unit of the time axis, and its name: hours where training took several."""
    longest = max(point["total_seconds"] for curve in curves for point in curve.points)
    return (HOUR, "hours") if longest > 3 * HOUR else (1.0, "seconds")


def plot(
    axes: Axes, sources: Sources, curve: Curve, curves: Sequence[Curve], what: tuple[str, str | None, float]
) -> int:
    """One run's curve of one quantity; returns how many points have no value.

    `what` is the key of the quantity, that of its error or None, and the unit of time.
    """
    name, error, unit = what
    shown = [point for point in curve.points if point.get(name) is not None]
    look = style.look(curve.row["model"])
    times = [sources.number(point, "total_seconds", curve.path) / unit for point in shown]
    values = [sources.number(point, name, curve.path) for point in shown]
    if error is None:
        axes.plot(times, values, **look)
    else:
        errors = [sources.number(point, error, curve.path) for point in shown]
        axes.errorbar(times, values, errors, **look)
    if curve.base_seconds:
        axes.axvline(curve.base_seconds / unit, color=style.GREY, linestyle=":", linewidth=1.0, zorder=0)
        base = base_of(curve, curves)
        ends = [point for point in base.points if point.get(name) is not None] if base else []
        if ends and shown:
            x = [sources.number(ends[-1], "total_seconds", curve.path) / unit, times[0]]
            y = [sources.number(ends[-1], name, curve.path), values[0]]
            axes.plot(x, y, ":", color=look["color"], linewidth=1.0)
    return len(curve.points) - len(shown)


def base_of(curve: Curve, curves: Sequence[Curve]) -> Curve | None:
    """The curve of the run that this one stands on, where the figure shows it."""
    wanted = (curve.row["dataset"], curve.row.get("base"))
    return next((other for other in curves if (other.row["dataset"], other.row["model"]) == wanted), None)


def set_time_axes(panels: Sequence[Axes], curves: Sequence[Curve], unit: float) -> None:
    """Time from 0, or on a logarithmic axis where it spans more than `WIDE`."""
    seconds = [point["total_seconds"] / unit for curve in curves for point in curve.points]
    for axes in panels:
        if min(seconds) > 0 and max(seconds) / min(seconds) > WIDE:
            axes.set_xscale("log")
            subs = (1, 2, 5) if max(seconds) / min(seconds) < 100 else (1,)
            axes.xaxis.set_major_locator(LogLocator(subs=subs))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_xlim(left=0.0)
        axes.margins(y=0.12)
