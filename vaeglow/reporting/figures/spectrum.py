"""How sharp: power spectra of VAE, Glow layer and data.

Section 4.2 of the paper ("sharpening"): power against frequency on logarithmic axes.
"""

import numpy as np

from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import PLAIN_ROWS, Lines, drawn_at, numbers
from vaeglow.reporting.style import INK, LABEL, MANY, ORANGE, SKY, VERMILION, Page, wrap

READS = ("layer_action",)
ERRORS = ""
SCHEMA = PLAIN_ROWS
WIDEST = 3  # panels a line
# Keys of layer_action.json: the look, from the back to the front.
SHOWN = {
    "data": {"label": "data", "color": INK, "linewidth": 2.2},
    "vae": {"label": "VAE (decoder mean)", "color": ORANGE, "marker": "D", "linestyle": "--"},
    "vae_noisy": {"label": "VAE + its noise", "color": SKY, "marker": "v", "linestyle": ":"},
    "layer": {"label": "through the Glow layer", "color": VERMILION, "marker": "s"},
}


def draw(sources: Sources, page: Page) -> None:
    """A panel for each row."""
    import pandas as pd

    rows = sources.by_row(*READS)
    columns = min(WIDEST, len(rows))
    panels = page.charts(
        [title(lines, 6.0 / columns) for lines in rows], columns, 2.9 * -(-len(rows) // columns), sharey=True
    )
    for axes, lines in zip(panels, rows, strict=True):
        spectra = [result.value("spectrum") for result in lines["layer_action"]]
        frequency = spectra[0]["frequency"]
        for name, look in SHOWN.items():
            look = look if len(frequency) <= MANY else {**look, "marker": ""}
            curve(
                axes,
                pd.DataFrame(np.log10([spectrum[name] for spectrum in spectra]), columns=frequency),
                markersize=3,
                **look,
            )
        halves = [2**k for k in range(1, 12) if 1 / 2**k > 0.99 * min(frequency)]
        axes.set(xscale="log", xlabel="cycles a pixel")
        axes.yaxis.set_major_formatter("$10^{{{x:g}}}$")
        axes.set_xticks([1 / half for half in halves], [f"1/{half}" for half in halves])
        axes.minorticks_off()
    for axes in panels[::columns]:
        axes.set_ylabel("power, squared grey levels")
    page.notes.append(
        "Radially averaged power of the luminance; white noise would be level. Distance: of a spectrum from the data's "
        "(RMS over frequencies of log10 of their ratio). Over seeds the mean is of log10 of the power."
    )


def title(lines: Lines, inches: float) -> str:
    """The label of a row, and how far its spectra are from the data's."""
    row = lines.iloc[0]
    drawn = drawn_at(row["layer_action"].number("temperature"))
    name = wrap(f"{row['label']}, {drawn}", inches, LABEL)
    vae = numbers(lines, "layer_action.spectrum_error.vae").mean()
    layer = numbers(lines, "layer_action.spectrum_error.layer").mean()
    return f"{name}\ndistance: VAE {vae:.2f}, layer {layer:.2f}"
