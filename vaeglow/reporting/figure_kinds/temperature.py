"""Quality and diversity of samples against the temperature they are drawn at (section 3.5). No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaeglow.reporting import style
from vaeglow.reporting.chart import Chart, key, mark_best, panel_letter
from vaeglow.reporting.drawn import Sources
from vaeglow.reporting.labels import model_label, samples_measured


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One panel: a number of the metrics file, its title, its error, and which end of it is good."""

    key: str
    title: str
    error: str | None = None
    best: Any = None  # min, max or None


QUANTITIES = (
    Quantity("fid", "FID (lower is better)", best=min),
    Quantity("kid", "KID (lower is better)", "kid_standard_error", min),
    Quantity("precision", "precision (higher is better)", best=max),
    Quantity("recall", "recall (higher is better)", best=max),
    Quantity("diversity", "diversity (feature distance)"),
)


def draw(sources: Sources) -> Figure:
    """Draw the figure: a panel for each of `QUANTITIES`, a curve for each model of the rows; its best point is ringed.

    Error bars are one standard error of the KID; a dashed line is the diversity of the real images.

    Raises:
        UserError: a file is missing, damaged, or of something else.
    """
    groups = by_model(sources.spec["rows"])
    read = {group: [sources.metrics(row) for row in rows] for group, rows in groups.items()}
    chart = Chart(sources.spec["title"], 2, 3, height=4.4)
    panels = chart.axes.flat[: len(QUANTITIES)]
    for number, (axes, quantity) in enumerate(zip(panels, QUANTITIES, strict=True)):
        axes.set_title(panel_letter(number, quantity.title))
        for group, rows in groups.items():
            plot(axes, quantity, sources, rows, read[group])
    last = panels[-1]
    references = dict.fromkeys(
        sources.number(metrics, "reference_diversity", sources.path(rows[0], "metrics", **wildcards(sources, rows[0])))
        for group, rows in groups.items()
        for metrics in read[group]
    )
    for value in references:
        last.axhline(value, color=style.INK, linestyle="--", linewidth=1.0)
    for axes in panels:
        axes.set_xlabel("temperature T")
        axes.margins(x=0.08, y=0.12)
    chart.axes[1, 2].set_axis_off()
    several = len({dataset for dataset, _ in groups}) > 1
    handles = [key(name_of(group, rows, several), **style.look(group[1])) for group, rows in groups.items()]
    handles.append(key("real images", color=style.INK, linestyle="--", linewidth=1.0))
    handles.append(
        key("best temperature", color=style.GREY, marker="o", markersize=8, markerfacecolor="none", linestyle="")
    )
    return chart.finish(sources.footer(), handles, [protocol_note(sources.spec)])


def by_model(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """The rows of each (dataset, model), by rising temperature."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["model"]), []).append(row)
    return {group: sorted(of, key=lambda row: float(row["temperature"])) for group, of in groups.items()}


def name_of(group: tuple[str, str], rows: Sequence[Mapping[str, Any]], several_datasets: bool) -> str:
    """What the legend says of a curve."""
    name = rows[0].get("label") or model_label(group[1])
    return f"{name}, {group[0]}" if several_datasets else name


def wildcards(sources: Sources, row: Mapping[str, Any]) -> dict[str, Any]:
    """Of the path of a row's metrics."""
    return {"protocol": sources.spec["protocol"], "temperature": float(row["temperature"])}


def plot(
    axes: Axes,
    quantity: Quantity,
    sources: Sources,
    rows: Sequence[Mapping[str, Any]],
    read: Sequence[Mapping[str, Any]],
) -> None:
    """One model's curve of one quantity."""
    paths = [sources.path(row, "metrics", **wildcards(sources, row)) for row in rows]
    temperatures = [float(row["temperature"]) for row in rows]
    values = [sources.number(metrics, quantity.key, path) for metrics, path in zip(read, paths, strict=True)]
    look = style.look(rows[0]["model"])
    if quantity.error is None:
        axes.plot(temperatures, values, **look)
    else:
        errors = [sources.number(metrics, quantity.error, path) for metrics, path in zip(read, paths, strict=True)]
        axes.errorbar(temperatures, values, errors, **look)
    if quantity.best is not None and len(values) > 1:
        best = values.index(quantity.best(values))
        mark_best(axes, temperatures[best], values[best], look["color"])


def protocol_note(spec: Mapping[str, Any]) -> str:
    """How FID and company were measured."""
    return f"{samples_measured(spec)} (protocol {spec['protocol']}); one seed."
