"""The model with its shapes.

Figure 1 of the paper (eq. 3 and 4), with the shapes and counts of a run.
"""

from itertools import pairwise

from vaeglow.errors import UserError
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.frame import PLAIN_ROWS, Words
from vaeglow.reporting.style import DETAIL, FOOTER, GREY, INK, LABEL, PAPER, WIDTH, Axes, Page
from vaeglow.reporting.templates import render

READS = ("config", "training")
OF_BASES = ("training",)
SCHEMA = PLAIN_ROWS
# Inches, y upwards.
HEIGHT = 4.4
COLUMNS = [0.57 + 1.152 * k for k in range(6)]  # the middles of boxes
ABOVE = 3.66  # the middles of the rows of boxes: the VAE's encoder and prior,
MIDDLE = 2.52  # its decoder,
BELOW = 0.92  # and the layer
WIDE = 0.92  # a box
TALL = 0.72
APART = 0.055  # half between a pair of arrows
# Of the bands of VAE and layer: from, to, the heading's place, the colour, the heading.
BANDS = [
    (1.74, 4.36, 4.22, "#fdf3e0", "Phase 1 trains the VAE and its prior"),
    (0.02, 1.66, 0.16, "#fbe6dc", "Phase 2 trains the Glow layer"),
]
VARIABLES = ("image", "latent", "$u", "$\\bar")  # first word of a box with round sides
WIDEST = 1024  # of the ResNet decoder's channels (vaeglow.models.nets.MAX_WIDTH, which needs torch)
OBJECTIVES = r"""phase 1 maximises  E log $N(x; g_\mu(z), g_\Sigma(z))$
        $-$ KL$[q(z|x)\,\|\,p(z)]$      (eq. 1)
phase 2 maximises  E log $N(f(x); g_\mu(z), g_\Sigma(z))$
        $+$ log |det $\partial f / \partial x$|      (eq. 4)"""
Place = tuple[float, float]  # the middle of a box


def draw(sources: Sources, page: Page) -> None:
    """The first row's model. Solid arrows are training, dashed ones sampling.

    Raises:
        UserError: it is not a Glow layer on a VAE, trained in two phases.
    """
    row = sources["rows"][0]
    config = sources.read("config", row)
    training = sources.read("training", row)
    if config.content.get("mode") != "frozen":
        raise UserError(f"figure {sources['name']} needs a vae_glow of mode frozen, which {config.path} is not")
    vae = sources.read("training", {**row, "model": config.value("base", "model")}).number("parameters")
    text = render(
        "overview",
        **config.content,
        widest=WIDEST,
        epochs=training.value("epochs_by_phase"),
        parameters=[vae, training.number("parameters") - vae],
    )
    encoding, decoding, layer, phases, [repeated] = (part.split("\n|\n") for part in text.strip().split("\n\n"))
    axes = page.place(0, page.bottom, WIDTH, HEIGHT)
    page.bottom += HEIGHT
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    for (foot, head, y, color, name), detail in zip(BANDS, phases, strict=True):
        axes.axhspan(foot, head, color=color, zorder=0)
        heading = axes.text(0.1, y, name, size=LABEL, weight="bold", va="center")
        axes.annotate(detail, (1, 0.5), (8, 0), heading, "offset points", size=DETAIL, va="center")
    axes.text(0.85, 2.62, OBJECTIVES, size=DETAIL, va="center", linespacing=1.4)
    for x, way in ((0.85, "training"), (2.0, "sampling")):
        arrow(axes, (x - WIDE / 2, 2.0), (x + 0.4 + WIDE / 2, 2.0), dashed=way == "sampling")
        axes.text(x + 0.47, 2.0, way, size=DETAIL, va="center")
    model(axes, encoding, decoding, layer)
    left = COLUMNS[2] - 0.53  # of the frame around the steps of the layer
    right = COLUMNS[4] + 0.53
    foot = BELOW - 0.45
    head = BELOW + 0.45
    axes.plot([left, left, right, right, left], [foot, head, head, foot, foot], "--", color=GREY, lw=0.7)
    axes.text(COLUMNS[3], head + 0.1, repeated, size=DETAIL, ha="center", va="center")
    left = COLUMNS[0] - 0.2
    axes.plot([left, left], [ABOVE - TALL / 2, BELOW + TALL / 2], ":", color=GREY, lw=1.0)
    axes.text(COLUMNS[0] - 0.24, MIDDLE, "the same in training", size=FOOTER, rotation=90, ha="right", va="center")


def model(axes: Axes, encoding: Words, decoding: Words, layer: Words) -> None:
    """The boxes of the three rows, and the arrows between them."""
    x, encoder, posterior, z, *prior = boxes(axes, COLUMNS, ABOVE, encoding)
    decoder, gaussian, x_bar = boxes(axes, COLUMNS[3:], MIDDLE, decoding)
    chain = [*boxes(axes, COLUMNS, BELOW, layer), x_bar]
    for start, end in pairwise([x, encoder, posterior, z, decoder, gaussian]):
        arrow(axes, start, end)
    arrow(axes, gaussian, x_bar, dashed=True)
    both_ways = [*pairwise(chain)]
    if len(prior) > 1:  # a flow
        both_ways += pairwise([z, *prior])
    names = {z: ("$h$", "$h^{-1}$"), chain[-2]: ("$f$", "$f^{-1}$")}
    for start, end in both_ways:
        name, inverse = names.get(start, ("", ""))
        arrow(axes, start, end, shift=APART, name=name)
        arrow(axes, end, start, dashed=True, shift=-APART, name=inverse)


def boxes(axes: Axes, columns: list[float], y: float, texts: Words) -> list[Place]:
    """Draw boxes side by side; returns their places."""
    from matplotlib.patches import FancyBboxPatch

    places = []
    for x, text in zip(columns, texts, strict=False):
        corners, edge = (0.3, GREY) if text.startswith(VARIABLES) else (0.04, INK)
        shape = f"round,pad=0,rounding_size={corners}"
        place = (x - WIDE / 2, y - TALL / 2)
        axes.add_patch(FancyBboxPatch(place, WIDE, TALL, shape, fc=PAPER, ec=edge, lw=0.8, zorder=3))
        axes.text(x, y, text, size=6.5, ha="center", va="center", linespacing=1.25, zorder=4)
        places.append((x, y))
    return places


def arrow(axes: Axes, start: Place, end: Place, dashed: bool = False, shift: float = 0.0, name: str = "") -> None:
    """An arrow between two boxes, one next to, above or below the other, moved sideways by `shift`; its name there."""
    from_x, from_y = start
    to_x, to_y = end
    across = from_y == to_y
    dx, dy = (0, shift) if across else (shift, 0)
    half = 36 * (WIDE if across else TALL)  # a box, in points
    axes.annotate(
        "",
        (to_x + dx, to_y + dy),
        (from_x + dx, from_y + dy),
        arrowprops={
            "arrowstyle": "-|>",
            "mutation_scale": 6,
            "color": INK,
            "linestyle": (0, (3, 2)) if dashed else "-",
            "lw": 0.9,
            "shrinkA": half,
            "shrinkB": half,
        },
    )
    axes.text(
        (from_x + to_x) / 2 + 2.7 * dx,
        (from_y + to_y) / 2 + 2.5 * dy + (0 if across else 0.25),
        name,
        size=DETAIL,
        ha="center",
        va="center",
    )
