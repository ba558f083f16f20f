"""How much detail images have: power spectra of VAE, Glow layer and data (section 4.2, "sharpening"). No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaeglow.reporting import style
from vaeglow.reporting.chart import Chart, key, marker
from vaeglow.reporting.drawn import Sources
from vaeglow.reporting.labels import model_label

WIDEST = 3  # panels a line
# Keys of layer_action.json: the legend and the look, from the back to the front.
SHOWN = {
    "data": ("data", {"color": style.INK, "linewidth": 2.2}),
    "vae": ("VAE (decoder mean)", {"color": style.ORANGE, "marker": "D", "linestyle": "--"}),
    "vae_noisy": ("VAE + its noise", {"color": style.SKY, "marker": "v", "linestyle": ":"}),
    "layer": ("through the Glow layer", {"color": style.VERMILION, "marker": "s"}),
}


def draw(sources: Sources) -> Figure:
    """Draw the figure: one panel a row (a model on a dataset), power against frequency on logarithmic axes.

    Raises:
        UserError: a file is missing, damaged, or of something else.
    """
    rows = sources.spec["rows"]
    columns = min(WIDEST, len(rows))
    lines = -(-len(rows) // columns)
    chart = Chart(sources.spec["title"], lines, columns, height=2.9 * lines, sharey=True)
    for number, (axes, row) in enumerate(zip(chart.axes.flat, rows, strict=False)):
        plot(axes, sources, row, number, columns)
    for axes in chart.axes.flat[len(rows) :]:
        axes.set_axis_off()
    for axes in chart.axes[:, 0]:
        axes.set_ylabel("power, squared grey levels")
    handles = [key(label, markersize=3.5, **look) for label, look in SHOWN.values()]
    note = (
        "Radially averaged power of the luminance; white noise would be level. Distance: of a spectrum from "
        "the data's (RMS over frequencies of log10 of their ratio)."
    )
    return chart.finish(sources.footer(), handles, [note])


def plot(axes: Axes, sources: Sources, row: Mapping[str, Any], number: int, columns: int) -> None:
    """One panel.

    Raises:
        UserError: see `draw`.
    """
    content, path = sources.json(row, "layer_action"), sources.path(row, "layer_action")
    spectra, errors = (
        content.get(name) if isinstance(content.get(name), dict) else {} for name in ("spectrum", "spectrum_error")
    )
    frequency = sources.series(spectra, "frequency", path)
    for name, (_, look) in SHOWN.items():
        power = sources.series(spectra, name, path, len(frequency))
        axes.plot(frequency, power, **{**look, "marker": marker(len(power), look.get("marker", "")), "markersize": 3})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("cycles a pixel")
    ticks = [tick for tick in (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2) if frequency[0] * 0.99 <= tick]
    axes.set_xticks(ticks, [f"1/{round(1 / tick)}" for tick in ticks])
    axes.minorticks_off()
    temperature = sources.number(content, "temperature", path)
    name = row.get("label") or model_label(row["model"])
    heading = style.wrap(f"{row['dataset']}: {name}, T = {temperature}", style.WIDTH / columns - 0.5, style.LABEL)
    said = [
        f"{label} {sources.number(errors, which, path):.2f}" for which, label in (("vae", "VAE"), ("layer", "layer"))
    ]
    axes.set_title(f"({chr(ord('a') + number)}) {heading}\ndistance: {', '.join(said)}")
