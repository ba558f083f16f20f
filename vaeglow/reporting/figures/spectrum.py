"""How sharp: power spectra of VAE, Glow layer and data.

Section 4.2 of the paper ("sharpening"): power against frequency on logarithmic axes.
"""

from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.frame import drawn_at

READS = ("layer_action",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
WIDEST = 3  # panels a line
# Keys of layer_action.json: the legend and the look, from the back to the front.
SHOWN = {
    "data": ("data", {"color": style.INK, "linewidth": 2.2}),
    "vae": ("VAE (decoder mean)", {"color": style.ORANGE, "marker": "D", "linestyle": "--"}),
    "vae_noisy": ("VAE + its noise", {"color": style.SKY, "marker": "v", "linestyle": ":"}),
    "layer": ("through the Glow layer", {"color": style.VERMILION, "marker": "s"}),
}


def draw(sources: Sources, page: style.Page) -> None:
    """A panel for each row."""
    frame = sources.frame(*READS)
    columns = min(WIDEST, len(frame))
    titles = []
    for _, row in frame.iterrows():
        result = row["layer_action"]
        name = style.wrap(f"{row['label']}, {drawn_at(result.number('temperature'))}", 6.0 / columns, style.LABEL)
        distances = (f"{label} {result.number('spectrum_error', label.lower()):.2f}" for label in ("VAE", "layer"))
        titles.append(f"{name}\ndistance: {', '.join(distances)}")
    panels = page.charts(titles, columns, 2.9 * -(-len(frame) // columns), sharey=True)
    for axes, result in zip(panels, frame["layer_action"], strict=True):
        frequency = result.value("spectrum", "frequency")
        for name, (label, look) in SHOWN.items():
            look = look if len(frequency) <= style.MANY else {**look, "marker": ""}
            axes.plot(frequency, result.value("spectrum", name), label=label, markersize=3, **look)
        ticks = [1 / 2**k for k in range(1, 12) if 1 / 2**k > 0.99 * min(frequency)]
        axes.set(xscale="log", yscale="log", xlabel="cycles a pixel")
        axes.set_xticks(ticks, [f"1/{round(1 / tick)}" for tick in ticks])
        axes.minorticks_off()
    for axes in panels[::columns]:
        axes.set_ylabel("power, squared grey levels")
    page.notes.append(
        "Radially averaged power of the luminance; white noise would be level. Distance: of a spectrum from the data's "
        "(RMS over frequencies of log10 of their ratio)."
    )
