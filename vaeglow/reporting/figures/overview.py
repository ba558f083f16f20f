"""The model with its shapes.

Figure 1 of the paper (eq. 3 and 4), with the shapes and counts of a run.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.figures import Sources

READS = ("config", "training")
OF_BASES = ("training",)
SCHEMA = {"rows": {"$ref": "#/$defs/plain_rows"}}
# Inches, y upwards: the drawing; the middles of its columns and rows of boxes; a box; half between a pair of arrows.
WIDTH, HEIGHT, COLUMNS, ROWS = 6.9, 4.4, [0.57 + 1.152 * k for k in range(6)], (3.66, 2.52, 0.92)
WIDE, TALL, APART = 0.92, 0.72, 0.055
BANDS = (1.74, 4.36, 4.22, "#fdf3e0"), (0.02, 1.66, 0.16, "#fbe6dc")  # from, to, heading; of VAE's and layer's colour
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
    config, training = (sources.read(kind, row) for kind in READS)
    if config.content.get("mode") != "frozen":
        raise UserError(f"figure {sources.spec['name']} needs a vae_glow of mode frozen, which {config.path} is not")
    vae = sources.read("training", {**row, "model": config.value("base", "model")}).number("parameters")
    first, second = (f"{count} epoch{'s' * (count != 1)}" for count in training.value("epochs_by_phase"))
    axes = page.place(0, page.bottom, WIDTH, HEIGHT)
    page.bottom += HEIGHT
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    axes.set_axis_off()
    layer = f"{training.number('parameters') - vae:,} parameters, {second}; all of phase 1 is frozen"
    phases = ("1 trains the VAE and its prior", f"{vae:,} parameters, {first}"), ("2 trains the Glow layer", layer)
    for (name, detail), (bottom, top, y, color) in zip(phases, BANDS, strict=True):
        axes.axhspan(bottom, top, color=color, zorder=0)
        heading = axes.text(0.1, y, f"Phase {name}", size=style.LABEL, weight="bold", va="center")
        axes.annotate(detail, (1, 0.5), (8, 0), heading, "offset points", size=style.DETAIL, va="center")
    axes.text(0.85, 2.62, OBJECTIVES, size=style.DETAIL, va="center", linespacing=1.4)
    for x, way in ((0.85, "training"), (2.0, "sampling")):
        arrow(axes, (x - WIDE / 2, 2.0), (x + 0.4 + WIDE / 2, 2.0), dashed=way == "sampling")
        axes.text(x + 0.47, 2.0, way, size=style.DETAIL, va="center")
    vae_row, decoder_row, layer_row = texts(config.content)
    x, encoder, posterior, z, *prior = boxes(axes, COLUMNS, ROWS[0], vae_row)
    decoder, gaussian, x_bar = boxes(axes, COLUMNS[3:], ROWS[1], decoder_row)
    x_hat, *_, last = chain = boxes(axes, COLUMNS, ROWS[2], layer_row)
    for start, end in ((x, encoder), (encoder, posterior), (posterior, z), (z, decoder), (decoder, gaussian)):
        arrow(axes, start, end)
    arrow(axes, gaussian, x_bar, dashed=True)
    for start, end in [*(pairwise([z, *prior]) if prior[1:] else ()), *pairwise(chain), (last, x_bar)]:
        name, inverse = {z: ("$h$", "$h^{-1}$"), last: ("$f$", "$f^{-1}$")}.get(start, ("", ""))
        arrow(axes, start, end, False, APART, name)
        arrow(axes, end, start, True, -APART, inverse)
    left, right, foot, head = COLUMNS[2] - 0.53, COLUMNS[4] + 0.53, ROWS[2] - 0.45, ROWS[2] + 0.45
    axes.plot([left, left, right, right, left], [foot, head, head, foot, foot], "--", color=style.GREY, lw=0.7)
    axes.plot([x[0] - 0.2] * 2, [x[1] - TALL / 2, x_hat[1] + TALL / 2], ":", color=style.GREY, lw=1.0)
    levels = config.value("layer", "levels")
    repeated = f"repeated {config.value('layer', 'depth')} times" + f" at each of {levels} levels" * (levels > 1)
    axes.text(COLUMNS[3], head + 0.1, repeated, size=style.DETAIL, ha="center", va="center")
    axes.text(x[0] - 0.24, ROWS[1], "the same in training", size=style.FOOTER, rotation=90, ha="right", va="center")


def texts(config: Mapping[str, Any]) -> list[list[str]]:
    """The boxes of the three rows, encoder and prior, decoder, and layer: a name, and lines of detail."""
    network, prior, layer, data = config["base"]["network"], config["base"]["prior"], config["layer"], config["data"]
    infogan, width, latent = network["architecture"] == "infogan", network["base_dim"], network["latent_dim"]
    image, q = f"{data['channels']}\u00d7{data['size']}\u00d7{data['size']}", layer["squeeze"]
    mixed, side, deepest = data["channels"] * q * q, data["size"] // q, min(width * data["size"] // 4, WIDEST)
    scales = 2 if infogan else network["num_scale"]
    nets = "Infogan nets" if infogan else f"ResNet, {scales} scale{'s' * (scales != 1)}"
    widths = f"width {width}" if scales == 1 else f"widths {width}\u2013{width * 2 ** (scales - 1)}"
    decoder = "Infogan nets" if infogan else f"ResNet from 2\u00d72,\nwidths {deepest}\u2013{width}"
    noise = image if network["decoder_noise"] == "diagonal" else "one scalar"
    squeeze, undo = (f"squeeze {q}\u00d7{q}", "undo squeeze\n") if q > 1 else ("no squeeze", "")
    encoder = f"encoder\n{nets},\n{widths},\ndense {network['fc_dim']}"
    flow = f"prior flow $h$\n{prior.get('layers')} couplings,\nnets of width {prior.get('width')}"
    noises = [flow, f"$u \\sim N(0, I)$\n{latent}"]
    if prior["kind"] == "standard":
        noises = ["prior $p(z)$\nN(0, I),\nnot trained"]
    posterior = f"$q(z|x)$\nGaussian,\n{latent} means\nand variances"
    anew = ",\nnew in phase 2" if layer["noise_head"] else ""
    gaussian = f"$N(g_\\mu(z), g_\\Sigma(z))$\n$g_\\mu$: {image}\n$g_\\Sigma$: {noise}{anew}"
    coupling = "add." if not layer["affine_steps"] else "affine" if layer["affine_steps"] >= layer["depth"] else "mixed"
    halves = f"{coupling} coupling\n{mixed // 2} | {mixed - mixed // 2} channels\nnet of width {layer['width']}"
    steps = [f"actnorm\n{mixed} scales\nand shifts", f"1\u00d71 conv.\n{mixed}\u00d7{mixed}", halves]
    before, after = f"{squeeze}\n{mixed}\u00d7{side}\u00d7{side}", f"1\u00d71 conv.\nand bias,\n{undo}{image}"
    return [
        [f"image $x$\n{image}", encoder, posterior, f"latent $z$\n{latent}", *noises],
        [f"decoder $g$\n{decoder}", gaussian, f"$\\bar{{x}}$\n{image}"],
        [f"image $\\hat{{x}}$\n{image}", before, *steps, after],
    ]


def boxes(axes: style.Axes, columns: list[float], y: float, row: list[str]) -> list[Place]:
    """Draw boxes side by side; returns their places."""
    from matplotlib.patches import FancyBboxPatch

    for x, text in zip(columns, row, strict=False):
        corners, edge = (0.3, style.GREY) if text.startswith(VARIABLES) else (0.04, style.INK)
        shape = f"round,pad=0,rounding_size={corners}"
        look = {"fc": style.PAPER, "ec": edge, "lw": 0.8, "zorder": 3}
        axes.add_patch(FancyBboxPatch((x - WIDE / 2, y - TALL / 2), WIDE, TALL, shape, **look))
        axes.text(x, y, text, size=6.5, ha="center", va="center", linespacing=1.25, zorder=4)
    return [(x, y) for x, _ in zip(columns, row, strict=False)]


def arrow(axes: style.Axes, start: Place, end: Place, dashed: bool = False, shift: float = 0.0, name: str = "") -> None:
    """An arrow between two boxes, one next to, above or below the other, moved sideways by `shift`; its name there."""
    across = start[1] == end[1]
    dx, dy, shrink = (0, shift, 36 * WIDE) if across else (shift, 0, 36 * TALL)  # half a box, in points
    line = {"linestyle": (0, (3, 2)) if dashed else "-", "lw": 0.9, "shrinkA": shrink, "shrinkB": shrink}
    look = {"arrowstyle": "-|>", "mutation_scale": 6, "color": style.INK, **line}
    axes.annotate("", (end[0] + dx, end[1] + dy), (start[0] + dx, start[1] + dy), arrowprops=look)
    x, y = (start[0] + end[0]) / 2 + 2.7 * dx, (start[1] + end[1]) / 2 + 2.5 * dy + 0.25 * (not across)
    axes.text(x, y, name, size=style.DETAIL, ha="center", va="center")
