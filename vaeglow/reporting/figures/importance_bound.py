"""Bits/dim against the number of draws K.

The importance-weighted bound, on the same test images at every K.
"""

import numpy as np

from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import PLAIN_ROWS
from vaeglow.reporting.style import GREY, Page

READS = ("likelihood", "likelihood_images")
IMPORTANCE = True  # see the table `likelihood`
ERRORS = "One seed. Error bars: one standard error over images, in (b) of the differences image by image."
SCHEMA = PLAIN_ROWS
NOTE = (
    "The first {} test images, the same at every K. Bounds are nested: a smaller K's draws are among a larger one's. "
    "From K=10 on there are ten noises u, shared by the latents, so a model without a latent gains nothing more."
)


def draw(sources: Sources, page: Page) -> None:
    """At the left the bounds, at the right what more draws gain, a curve for each row.

    Each curve is moved a little sideways, so that error bars that coincide can be told apart.
    """
    import pandas as pd

    rows = sources.by_row("likelihood")
    bounds, gains = page.charts(["bits/dim (lower is better)", "bits/dim gained over K=1"], 2, 2.9)
    counts = []
    for number, lines in enumerate(rows):
        seeds = []
        for _, row in lines.iterrows():
            result = row["likelihood"]
            draws = sorted(map(int, result.value("importance")))
            arrays = sources.read("likelihood_images", row, *(f"bits_per_dim_{k}" for k in draws)).arrays.values()
            count = min(map(len, arrays))  # K = 1 is of more images
            seeds.append([array[:count] for array in arrays])
        bits = np.array(seeds)  # [seeds, K, images]
        counts.append(f"{count:,}")
        for axes, values in ((bounds, bits), (gains, bits[:, :1] - bits)):
            curve(
                axes,
                pd.DataFrame(values.mean(2), columns=np.array(draws) * 1.04 ** (number - (len(rows) - 1) / 2)),
                values[0].std(1, ddof=1) / np.sqrt(count),
                label=row["label"],
                **sources.look(row),
            )
            axes.set(xscale="log", xlabel="joint draws K of noise and latent")
            axes.set_xticks(draws, [f"{k:,}" for k in draws])
            axes.minorticks_off()
    gains.axhline(0, color=GREY, linestyle=":", linewidth=1.0)
    page.notes.append(NOTE.format(" or ".join(dict.fromkeys(counts))))
