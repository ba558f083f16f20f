"""What a linear layer could reach at most, and what trained layers reached (section 3.3; docs/squeeze.md). No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.chart import Chart, key
from vaeglow.reporting.drawn import REMEDY, Sources
from vaeglow.reporting.labels import model_label

# Keys of linear_reference.json and what stands below their place on the axis.
REFERENCES = {
    "no_layer": "no layer",
    "squeeze1": "no squeeze",
    "squeeze2": "squeeze 2",
    "squeeze4": "squeeze 4",
    "whitening": "full whitening",
}
SOURCES = {"vae": ("VAE", "-", "o"), "pca": ("PCA", "--", "s")}
BEHIND = {"boxstyle": "square,pad=0.1", "facecolor": style.PAPER, "edgecolor": "none", "alpha": 0.8}  # of a number
ASIDE = 0.16  # how far right of its place a trained model's marker stands, so as not to cover the reference's
NOTE = (
    "Lines: an optimistic linear Gaussian reference, not a bound (docs/squeeze.md): what the best linear layer of each "
    "kind could make of the residual that a VAE, or a PCA with as many components, leaves. A trained nonlinear layer "
    "may beat it. Large markers: measured on test images (upper bound, K = 1, \u00b1 one standard error)."
)


def draw(sources: Sources) -> Figure:
    """Draw the figure: references by squeeze, and each row's measured bits/dim at its own squeeze.

    Key of its spec: `reference_model`, the VAE whose linear_reference.json is shown.

    Raises:
        UserError: a file is missing, damaged, or of something else.
    """
    spec = sources.spec
    row = {"model": spec["reference_model"], "dataset": spec["dataset"]}
    content, path = sources.json(row, "linear_reference"), sources.path(row, "linear_reference")
    chart = Chart(spec["title"], 1, 1, height=3.4)
    axes = chart.axes[0, 0]
    places = range(len(REFERENCES))
    handles, below = [], list(REFERENCES.values())
    for name, (label, line, symbol) in SOURCES.items():
        found = content.get("sources", {}).get(name)
        if not isinstance(found, dict):
            raise UserError(f"{path} lacks the source '{name}' that figure {sources.name} shows: {REMEDY}")
        values = [sources.number(found, reference, path) for reference in REFERENCES]
        look = {"color": style.INK if name == "vae" else style.GREY, "linestyle": line, "marker": symbol}
        axes.plot(places, values, markersize=3.5, linewidth=1.1, **look)
        below = [f"{text}\n{label} {value:.2f}" for text, value in zip(below, values, strict=True)]
        handles.append(key(f"linear reference on the {label}'s residual", markersize=3.5, linewidth=1.1, **look))
    for entry in spec["rows"]:
        handles.append(plot_trained(axes, sources, entry))
    axes.set_xticks(places, below)
    axes.set_xlim(-0.5, len(REFERENCES) - 0.4)
    axes.set_ylabel("bits/dim (lower is better)")
    axes.margins(y=0.12)
    return chart.finish(sources.footer(), handles, [NOTE])


def plot_trained(axes: Any, sources: Sources, row: Mapping[str, Any]) -> Any:
    """One trained model's measured bits/dim; returns its entry in the legend.

    Raises:
        UserError: see `draw`.
    """
    content, path = sources.json(row, "likelihood"), sources.path(row, "likelihood")
    value = sources.number(content, "bits_per_dim", path)
    error = sources.number(content, "standard_error", path)
    x = place_of(sources, row) + ASIDE
    look = style.look(row["model"])
    axes.errorbar(
        [x], [value], [error], markersize=6.5, linestyle="", markeredgecolor=style.INK, markeredgewidth=0.5, **look
    )
    axes.annotate(
        f"{value:.2f}", (x, value), (7, 0), "data", "offset points", va="center", size=style.DETAIL, bbox=BEHIND
    )
    label = row.get("label") or model_label(row["model"])
    return key(f"trained: {label}", linestyle="", markersize=6, **look)


def place_of(sources: Sources, row: Mapping[str, Any]) -> int:
    """Where on the axis a model belongs: by the squeeze around its layer, if it has one.

    Raises:
        UserError: it is neither a VAE nor a VAE under a Glow layer, or has a squeeze that the axis does not.
    """
    config = sources.json(row, "config")
    layer = config.get("layer")
    name = "no_layer" if config.get("kind") == "vae" else f"squeeze{(layer or {}).get('squeeze')}"
    if name not in REFERENCES:
        raise UserError(
            f"figure {sources.name}: {row['model']} is of kind {config.get('kind')} with layer {layer}; its rows are "
            f"VAEs and Glow layers with squeeze 1, 2 or 4: take it out of figures.{sources.name}.rows"
        )
    return list(REFERENCES).index(name)
