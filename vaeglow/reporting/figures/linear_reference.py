"""What a linear layer could reach; see docs/squeeze.md.

Section 3.3 of the paper: the reference for each squeeze, and each row's measured bits/dim at its own squeeze.
"""

from vaeglow.errors import UserError
from vaeglow.reporting.figures import Sources, curve
from vaeglow.reporting.frame import numbers
from vaeglow.reporting.linear_reference import REFERENCES, SCHEMA, needs, reference_of
from vaeglow.reporting.style import DETAIL, GREY, INK, Page

__all__ = ["SCHEMA", "needs"]
READS = ("likelihood", "config")
ERRORS = "One seed. Error bars: one standard error over images."
PLACES = list(REFERENCES)  # on the x axis
LINES = {"VAE": {"color": INK, "marker": "o"}, "PCA": {"color": GREY, "marker": "s", "linestyle": "--"}}
ASIDE = 0.16  # horizontal offset of a trained model's marker, so that it does not cover the reference's
NOTE = (
    "Lines: an optimistic linear Gaussian reference, not a bound (docs/squeeze.md): what the best linear layer of each "
    "kind could make of the residual that a VAE, or a PCA with as many components, leaves. A trained nonlinear layer "
    "may beat it. Large markers: measured on test images (upper bound, K=1)."
)


def draw(sources: Sources, page: Page) -> None:
    """Two lines of references, and a marker for each row's trained model, at its own squeeze.

    Raises:
        UserError: a row is neither a VAE nor has a layer with one of the squeezes.
    """
    import pandas as pd

    reference = sources.frame("linear_reference", rows=needs(sources.spec))
    [axes] = page.charts([""], 1, 3.4)
    below = [words.removeprefix("layer, ") for words in REFERENCES.values()]
    for name, look in LINES.items():
        source = f"linear_reference.sources.{name.lower()}."
        mean = curve(
            axes,
            pd.DataFrame({x: numbers(reference, source + place) for x, place in enumerate(PLACES)}),
            label=f"linear reference on the {name}'s residual",
            markersize=3.5,
            **look,
        )
        below = [f"{text}\n{name} {value:.2f}" for text, value in zip(below, mean, strict=True)]
    for lines in sources.by_row(*READS):
        row = lines.iloc[0]
        place = reference_of(row["config"])
        if place not in PLACES:
            raise UserError(
                f"figure {sources['name']} shows VAEs, and layers with squeeze 1, 2 or 4: not {row['model']}"
            )
        x = PLACES.index(place) + ASIDE
        look = sources.look(row) | {"label": f"trained: {row['label']}", "markersize": 6.5, "linestyle": ""}
        [mean] = curve(
            axes,
            numbers(lines, "likelihood.bits_per_dim").to_frame(x),
            numbers(lines, "likelihood.standard_error"),
            aside=-ASIDE / 2,
            markeredgecolor=INK,
            markeredgewidth=0.5,
            **look,
        )
        axes.annotate(f"{mean:.2f}", (x, mean), (7, -10), textcoords="offset points", va="center", size=DETAIL)
    axes.set_xticks(range(len(PLACES)), below)
    axes.set_xlim(-0.5, len(PLACES) - 0.4)
    axes.set_ylabel("bits/dim (lower is better)")
    axes.margins(y=0.12)
    page.notes.append(NOTE)
