"""What a linear layer could reach; see docs/squeeze.md.

Section 3.3 of the paper: the reference for each squeeze, and each row's measured bits/dim at its own squeeze.
"""

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.tables import linear_reference as table

READS = ("likelihood", "config")
SCHEMA, needs = table.SCHEMA, table.needs
# Keys of linear_reference.json, and their labels on the axis.
PLACES = {name: text.removeprefix("layer, ") for name, text in table.REFERENCES.items()}
LINES = {"VAE": {"color": style.INK, "marker": "o"}, "PCA": {"color": style.GREY, "marker": "s", "linestyle": "--"}}
ASIDE = 0.16  # horizontal offset of a trained model's marker, so that it does not cover the reference's
NOTE = (
    "Lines: an optimistic linear Gaussian reference, not a bound (docs/squeeze.md): what the best linear layer of each "
    "kind could make of the residual that a VAE, or a PCA with as many components, leaves. A trained nonlinear layer "
    "may beat it. Large markers: measured on test images (upper bound, K=1, \u00b1 one standard error)."
)


def draw(sources: Sources, page: style.Page) -> None:
    """Two lines of references, and a marker for each row.

    Raises:
        UserError: a row is neither a VAE nor has a layer with one of the squeezes.
    """
    reference = sources.read("linear_reference", {**sources.spec, "model": sources.spec["reference_model"]})
    [axes] = page.charts([""], 1, 3.4)
    below = list(PLACES.values())
    for name, look in LINES.items():
        values = [reference.number("sources", name.lower(), place) for place in PLACES]
        axes.plot(values, label=f"linear reference on the {name}'s residual", markersize=3.5, **look)
        below = [f"{text}\n{name} {value:.2f}" for text, value in zip(below, values, strict=True)]
    frame = sources.frame(*READS)
    for _, row in frame.iterrows():
        bits, error = (row["likelihood"].number(name) for name in ("bits_per_dim", "standard_error"))
        if (place := table.answers(row["config"])) not in PLACES:
            raise UserError(
                f"figure {sources.spec['name']} shows VAEs, and layers with squeeze 1, 2 or 4: not {row['model']}"
            )
        x = list(PLACES).index(place) + ASIDE
        look = {"markersize": 6.5, "linestyle": "", "markeredgecolor": style.INK, "markeredgewidth": 0.5}
        axes.errorbar([x], [bits], [error], label=f"trained: {row['label']}", **look, **sources.look(row))
        axes.annotate(f"{bits:.2f}", (x, bits), (7, 0), textcoords="offset points", va="center", size=style.DETAIL)
    axes.set_xticks(range(len(PLACES)), below)
    axes.set_xlim(-0.5, len(PLACES) - 0.4)
    axes.set_ylabel("bits/dim (lower is better)")
    axes.margins(y=0.12)
    page.notes.append(NOTE)
