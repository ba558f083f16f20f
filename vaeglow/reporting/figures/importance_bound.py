"""Bits/dim against the number of draws K.

The importance-weighted bound, on the same test images at every K.
"""

import numpy as np

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import PLAIN_ROWS, Lines

READS = ("likelihood", "likelihood_images")
IMPORTANCE = True  # see the table `likelihood`
ERRORS = "One seed. Error bars: one standard error over images, in (b) of the differences image by image."
SCHEMA = PLAIN_ROWS
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

    rows = sources.by_row("likelihood")
    bounds, gains = page.charts(["bits/dim (lower is better)", "bits/dim gained over K=1"], 2, 2.9)
    counts = []
    for number, lines in enumerate(rows):
        row = lines.iloc[-1]
        draws = number_of_draws(lines)
        bits = bits_of_images(sources, lines, draws)
        count = bits.shape[2]
        counts.append(f"{count:,}")
        x = np.array(draws) * 1.04 ** (number - (len(rows) - 1) / 2)
        for axes, values in ((bounds, bits), (gains, bits[:, :1] - bits)):
            errors = values[0].std(1, ddof=1) / np.sqrt(count) if count > 1 else None
            curve(axes, pd.DataFrame(values.mean(2), columns=x), errors, label=row["label"], **sources.look(row))
            axes.set_xscale("log")
            axes.set_xticks(draws, [f"{k:,}" for k in draws])
            axes.minorticks_off()
            axes.set_xlabel("joint draws K of noise and latent")
    gains.axhline(0, color=style.GREY, linestyle=":", linewidth=1.0)
    page.notes.append(NOTE.format(" or ".join(dict.fromkeys(counts))))


def number_of_draws(lines: Lines) -> list[int]:
    """The Ks at which a row's runs were evaluated, rising; UserError where that is 1 only."""
    for result in lines["likelihood"]:
        draws = sorted(map(int, result.value("importance")))
        if len(draws) < 2:
            raise UserError(f"{result.path} holds no bound besides K = 1: list some in evaluation.importance_samples")
    return draws


def bits_of_images(sources: Sources, lines: Lines, draws: list[int]) -> np.ndarray:
    """Bits/dim of the images that all bounds are over: [seeds, K, images]. K = 1 is of more images."""
    names = [f"bits_per_dim_{k}" for k in draws]
    seeds = []
    for _, row in lines.iterrows():
        arrays = sources.read("likelihood_images", row, *names).arrays
        count = len(arrays[names[-1]])
        seeds.append([arrays[name][:count] for name in names])
    return np.array(seeds)
