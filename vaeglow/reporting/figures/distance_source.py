"""FID and KID with and without the layer, for latents of two sources.

Sections 3.2 and 3.3 of the paper: what the prior loses, and what the layer adds, at each of the rows' budgets.
"""

from itertools import product

from vaeglow.evaluation.probes import IMAGES, LATENTS
from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import DRAWN_ROWS, PROTOCOL, numbers
from vaeglow.reporting.style import Page

READS = ("distance_source",)
ERRORS = "One seed."
SCHEMA = PROTOCOL | DRAWN_ROWS
MEASURES = ("fid", "kid")
SETS = [f"{latents}_{images}" for images, latents in product(IMAGES, LATENTS)]
NAMES = ["mean,\nprior", "mean,\ntraining", "layer,\nprior", "layer,\ntraining"]  # of `SETS`
NOTE = (
    "Mean: the decoder's mean. Layer: a draw of the Glow layer. Prior: z of the prior. Training: z of q(z|y) of "
    "training images, what a perfect prior would give. {}"
)


def draw(sources: Sources, page: Page) -> None:
    """A panel for each measure, in it a curve for each row over the four sets of images."""
    import pandas as pd

    panels = page.charts([f"{measure.upper()} (lower is better)" for measure in MEASURES], 2, 2.9)
    for axes, measure in zip(panels, MEASURES, strict=True):
        for lines in sources.by_row(*READS):
            values = {x: numbers(lines, f"distance_source.{name}.{measure}") for x, name in enumerate(SETS)}
            row = lines.iloc[0]
            curve(axes, pd.DataFrame(values), label=row["label"], **sources.look(row))
        axes.set_xticks(range(len(SETS)), NAMES)
        axes.margins(y=0.12)
    page.notes.append(NOTE.format(sources.protocol_note(sets=1)))
