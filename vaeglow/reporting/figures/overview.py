"""The model with its shapes.

Figure 1 of the paper (eq. 3 and 4), with the shapes and counts of a run.
"""

from itertools import pairwise

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.frame import PLAIN_ROWS, Row
from vaeglow.reporting.templates import render

READS = ("config", "training")
OF_BASES = ("training",)
SCHEMA = PLAIN_ROWS
# Inches, y upwards.
WIDTH = 6.9
HEIGHT = 4.4
COLUMNS = [0.57 + 1.152 * k for k in range(6)]  # the middles of boxes
ABOVE = 3.66  # the middles of the rows of boxes: the VAE's encoder and prior,
MIDDLE = 2.52  # its decoder,
BELOW = 0.92  # and the layer
WIDE = 0.92  # a box
TALL = 0.72
APART = 0.055  # half between a pair of arrows
# From, to, the heading's place; of VAE's and layer's colour.
BANDS = [(1.74, 4.36, 4.22, "#fdf3e0"), (0.02, 1.66, 0.16, "#fbe6dc")]
VARIABLES = ("image", "latent", "$u", "$\\bar")  # first word of a box with round sides
WIDEST = 1024  # of the ResNet decoder's channels (vaeglow.models.nets.MAX_WIDTH, which needs torch)
OBJECTIVES = r"""phase 1 maximises  E log $N(x; g_\mu(z), g_\Sigma(z))$
        $-$ KL$[q(z|x)\,\|\,p(z)]$      (eq. 1)
phase 2 maximises  E log $N(f(x); g_\mu(z), g_\Sigma(z))$
        $+$ log |det $\partial f / \partial x$|      (eq. 4)"""
Place = tuple[float, float]  # the middle of a box


def draw(sources: Sources, page: style.Page) -> None:
    """The first row's model. Solid arrows are training, dashed ones sampling.

    Raises:
        UserError: it is not a Glow layer on a VAE, trained in two phases.
    """
    row = sources.spec["rows"][0]
    config = sources.read("config", row)
    training = sources.read("training", row)
    if config.content.get("mode") != "frozen":
        raise UserError(f"figure {sources.spec['name']} needs a vae_glow of mode frozen, which {config.path} is not")
    vae = sources.read("training", {**row, "model": config.value("base", "model")}).number("parameters")
    axes = page.place(0, page.bottom, WIDTH, HEIGHT)
    page.bottom += HEIGHT
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    first, second = (f"{count} epoch{'s' if count != 1 else ''}" for count in training.value("epochs_by_phase"))
    layer = training.number("parameters") - vae
    heading(axes, "Phase 1 trains the VAE and its prior", f"{vae:,} parameters, {first}", *BANDS[0])
    of_layer = f"{layer:,} parameters, {second}; all of phase 1 is frozen"
    heading(axes, "Phase 2 trains the Glow layer", of_layer, *BANDS[1])
    axes.text(0.85, 2.62, OBJECTIVES, size=style.DETAIL, va="center", linespacing=1.4)
    for x, way in ((0.85, "training"), (2.0, "sampling")):
        arrow(axes, (x - WIDE / 2, 2.0), (x + 0.4 + WIDE / 2, 2.0), dashed=way == "sampling")
        axes.text(x + 0.47, 2.0, way, size=style.DETAIL, va="center")
    model(axes, config.content)


def heading(axes: style.Axes, name: str, detail: str, bottom: float, top: float, y: float, color: str) -> None:
    """What a phase trains, on a band of its colour."""
    axes.axhspan(bottom, top, color=color, zorder=0)
    text = axes.text(0.1, y, name, size=style.LABEL, weight="bold", va="center")
    axes.annotate(detail, (1, 0.5), (8, 0), text, "offset points", size=style.DETAIL, va="center")


def model(axes: style.Axes, config: Row) -> None:
    """The boxes of a resolved config, and the arrows between them."""
    vae, decoding, layer = texts(config)
    x, encoder, posterior, z, *prior = boxes(axes, COLUMNS, ABOVE, vae)
    decoder, gaussian, x_bar = boxes(axes, COLUMNS[3:], MIDDLE, decoding)
    chain = boxes(axes, COLUMNS, BELOW, layer)
    x_hat = chain[0]
    last = chain[-1]
    for start, end in pairwise([x, encoder, posterior, z, decoder, gaussian]):
        arrow(axes, start, end)
    arrow(axes, gaussian, x_bar, dashed=True)
    both_ways = [*pairwise(chain), (last, x_bar)]
    if len(prior) > 1:  # a flow
        both_ways += pairwise([z, *prior])
    names = {z: ("$h$", "$h^{-1}$"), last: ("$f$", "$f^{-1}$")}
    for start, end in both_ways:
        name, inverse = names.get(start, ("", ""))
        arrow(axes, start, end, shift=APART, name=name)
        arrow(axes, end, start, dashed=True, shift=-APART, name=inverse)
    repeated(axes, config["layer"])
    left = x[0] - 0.2
    axes.plot([left, left], [ABOVE - TALL / 2, BELOW + TALL / 2], ":", color=style.GREY, lw=1.0)
    beside = {"rotation": 90, "ha": "right", "va": "center"}
    axes.text(x_hat[0] - 0.24, MIDDLE, "the same in training", size=style.FOOTER, **beside)


def repeated(axes: style.Axes, layer: Row) -> None:
    """A frame around the steps of the layer, and how often they are repeated."""
    left = COLUMNS[2] - 0.53
    right = COLUMNS[4] + 0.53
    foot = BELOW - 0.45
    head = BELOW + 0.45
    axes.plot([left, left, right, right, left], [foot, head, head, foot, foot], "--", color=style.GREY, lw=0.7)
    levels = f" at each of {layer['levels']} levels" if layer["levels"] > 1 else ""
    times = f"repeated {layer['depth']} times{levels}"
    axes.text(COLUMNS[3], head + 0.1, times, size=style.DETAIL, ha="center", va="center")


def texts(config: Row) -> list[list[str]]:
    """The boxes of the three rows, encoder and prior, decoder, and layer: a name, and lines of detail."""
    parts = {name: config[name] for name in ("base", "layer", "data")}
    rows = render("overview", **parts, widest=WIDEST).strip().split("\n\n")
    return [row.split("\n|\n") for row in rows]


def boxes(axes: style.Axes, columns: list[float], y: float, row: list[str]) -> list[Place]:
    """Draw boxes side by side; returns their places."""
    from matplotlib.patches import FancyBboxPatch

    places = [(x, y) for x, _ in zip(columns, row, strict=False)]
    for (x, y), text in zip(places, row, strict=True):
        corners, edge = (0.3, style.GREY) if text.startswith(VARIABLES) else (0.04, style.INK)
        box = FancyBboxPatch((x - WIDE / 2, y - TALL / 2), WIDE, TALL, f"round,pad=0,rounding_size={corners}")
        box.set(fc=style.PAPER, ec=edge, lw=0.8, zorder=3)
        axes.add_patch(box)
        axes.text(x, y, text, size=6.5, ha="center", va="center", linespacing=1.25, zorder=4)
    return places


def arrow(axes: style.Axes, start: Place, end: Place, dashed: bool = False, shift: float = 0.0, name: str = "") -> None:
    """An arrow between two boxes, one next to, above or below the other, moved sideways by `shift`; its name there."""
    from_x, from_y = start
    to_x, to_y = end
    across = from_y == to_y
    dx, dy = (0, shift) if across else (shift, 0)
    half = 36 * (WIDE if across else TALL)  # a box, in points
    look = {
        "arrowstyle": "-|>",
        "mutation_scale": 6,
        "color": style.INK,
        "linestyle": (0, (3, 2)) if dashed else "-",
        "lw": 0.9,
        "shrinkA": half,
        "shrinkB": half,
    }
    axes.annotate("", (to_x + dx, to_y + dy), (from_x + dx, from_y + dy), arrowprops=look)
    x = (from_x + to_x) / 2 + 2.7 * dx
    y = (from_y + to_y) / 2 + 2.5 * dy + (0 if across else 0.25)
    axes.text(x, y, name, size=style.DETAIL, ha="center", va="center")
