"""Models that differ in one thing, side by side: bits/dim and FID as dots (sections 3.1, 3.3, 3.4). No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaeglow.reporting import style
from vaeglow.reporting.chart import Chart, key, panel_letter
from vaeglow.reporting.drawn import Sources
from vaeglow.reporting.figure_kinds.temperature import by_model, protocol_note, wildcards
from vaeglow.reporting.labels import drawn_at, model_label

LINE, LABELS = 0.26, 2.2  # inches: a model's height, and the width of its label
FILLS = ("full", "none", "left", "right", "top", "bottom")  # of the markers of a model's temperatures


def draw(sources: Sources) -> Figure:
    """Draw the figure: a line for each model of the rows, its bits/dim at the left and its FIDs at the right.

    Raises:
        UserError: a file is missing, damaged, or of something else.
    """
    groups = by_model(sources.spec["rows"])
    temperatures = sorted({float(row["temperature"]) for rows in groups.values() for row in rows})
    chart = Chart(sources.spec["title"], 1, 2, height=0.75 + LINE * max(3, len(groups)), sharey=True)
    bits_axes, fid_axes = chart.axes[0]
    several = len({dataset for dataset, _ in groups}) > 1
    for y, rows in enumerate(groups.values()):
        plot_bits(bits_axes, sources, rows[0], y)
        plot_fids(fid_axes, sources, rows, y, temperatures)
    labels = [label_of(rows[0], several) for rows in groups.values()]
    bits_axes.set_yticks(range(len(groups)), labels)
    bits_axes.set_ylim(len(groups) - 0.5, -0.5)
    bits_axes.tick_params(axis="y", length=0)
    fid_axes.tick_params(axis="y", length=0)
    for number, (axes, title) in enumerate(((bits_axes, "bits/dim"), (fid_axes, "FID"))):
        axes.set_title(panel_letter(number, f"{title} (lower is better)"))
        axes.margins(x=0.12)
    look = {"color": style.INK, "marker": "o", "linestyle": ""}
    handles = [key(drawn_at(t), fillstyle=FILLS[temperatures.index(t) % len(FILLS)], **look) for t in temperatures]
    note = "Bits/dim: on test images (K = 1), \u00b1 one standard error over images. FID: "
    note += protocol_note(sources.spec)
    return chart.finish(sources.footer(), handles if len(temperatures) > 1 else [], [note])


def label_of(row: Mapping[str, Any], several_datasets: bool) -> str:
    """The name of a line, wrapped."""
    name = row.get("label") or model_label(row["model"])
    return style.wrap(f"{name}, {row['dataset']}" if several_datasets else name, LABELS, style.DETAIL)


def plot_bits(axes: Axes, sources: Sources, row: Mapping[str, Any], y: float) -> None:
    """One model's bits/dim."""
    content, path = sources.json(row, "likelihood"), sources.path(row, "likelihood")
    value = sources.number(content, "bits_per_dim", path)
    error = sources.number(content, "standard_error", path)
    axes.errorbar([value], [y], xerr=[error], linestyle="", **style.look(row["model"]))
    axes.annotate(f"{value:.2f}", (value, y), (0, 4), "data", "offset points", ha="center", size=style.FOOTER)


def plot_fids(
    axes: Axes, sources: Sources, rows: Sequence[Mapping[str, Any]], y: float, temperatures: Sequence[float]
) -> None:
    """One model's FIDs, a marker for each temperature."""
    for row in rows:
        path = sources.path(row, "metrics", **wildcards(sources, row))
        value = sources.number(sources.metrics(row), "fid", path)
        fill = FILLS[temperatures.index(float(row["temperature"])) % len(FILLS)]
        axes.plot([value], [y], linestyle="", fillstyle=fill, **style.look(row["model"]))
        axes.annotate(f"{value:.1f}", (value, y), (0, 4), "data", "offset points", ha="center", size=style.FOOTER)
