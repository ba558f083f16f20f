"""Bits/dim against the number of draws K.

The importance-weighted bound, on the same test images at every K.
"""

import numpy as np

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources, curve

READS = ("likelihood", "likelihood_images")
IMPORTANCE = True  # see the table `likelihood`
ERRORS = "One seed. Error bars: one standard error over images, in (b) of the differences image by image."
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
NOTE = (
    "The first {} test images, the same at every K. Bounds are nested: a smaller K's draws are among a larger one's. "
    "From K=10 on there are ten noises u, shared by the latents, so a model without a latent gains nothing more."
)


def draw(sources: Sources, page: style.Page) -> None:
    """At the left the bounds, at the right what more draws gain, a curve for each row.

    Each curve is moved a little sideways, so that error bars that coincide can be told apart.

    Raises:
        UserError: a run was evaluated at K = 1 only.
    """
    import pandas as pd

    rows = sources.frame("likelihood").groupby("row")
    panels = page.charts(["bits/dim (lower is better)", "bits/dim gained over K=1"], 2, 2.9)
    counts = []
    for number, lines in rows:
        seeds = []
        for _, row in lines.iterrows():
            measured = row["likelihood"]
            draws = sorted(map(int, measured.value("importance")))
            if len(draws) < 2:
                raise UserError(
                    f"{measured.path} holds no bound besides K = 1: list some in evaluation.importance_samples"
                )
            names = [f"bits_per_dim_{k}" for k in draws]
            arrays = sources.read("likelihood_images", row, *names).arrays
            counts.append(len(arrays[names[-1]]))  # K = 1 is of more images
            seeds.append([arrays[name][: counts[-1]] for name in names])
        bits = np.array(seeds)  # [S, K, N]
        for axes, values in zip(panels, (bits, bits[:, :1] - bits), strict=True):
            errors = values[0].std(1, ddof=1) / np.sqrt(counts[-1]) if counts[-1] > 1 else None
            x = np.array(draws) * 1.04 ** (number - (len(rows) - 1) / 2)
            curve(axes, pd.DataFrame(values.mean(2), columns=x), errors, label=row["label"], **sources.look(row))
            axes.set_xscale("log")
            axes.set_xticks(draws, [f"{k:,}" for k in draws])
            axes.minorticks_off()
            axes.set_xlabel("joint draws K of noise and latent")
    panels[1].axhline(0, color=style.GREY, linestyle=":", linewidth=1.0)
    page.notes.append(NOTE.format(" or ".join(f"{count:,}" for count in dict.fromkeys(counts))))
