"""The model as a diagram, with the shapes and counts of a run (the paper's Figure 1; eq. 3 and 4). No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from vaeglow.errors import UserError
from vaeglow.reporting import style
from vaeglow.reporting.diagram import Box, Diagram
from vaeglow.reporting.drawn import REMEDY, Sources

# Inches. Six columns; rows by the y of their middle, upwards.
COLUMNS = tuple(0.72 + 1.152 * k for k in range(6))
HIGH, MIDDLE, LOW = 3.72, 2.58, 0.98
HEIGHT = 4.5
WIDEST = 1024  # of the ResNet decoder's channels (vaeglow.models.nets.MAX_WIDTH, which needs torch)
PHASE_1, PHASE_2 = "#fdf3e0", "#fbe6dc"  # pale orange and pale vermilion: the colours of VAE and Glow layer


def draw(sources: Sources) -> Figure:
    """Draw the figure of its first row: a model of kind vae_glow that was trained in two phases.

    Solid arrows are the way of training, dashed ones that of sampling.

    Raises:
        UserError: a file is missing, damaged or of something else, or the model is of another kind.
    """
    row = sources.spec["rows"][0]
    config, training = sources.json(row, "config"), sources.json(row, "training")
    base = config.get("base")
    if config.get("kind") != "vae_glow" or config.get("mode", "frozen") != "frozen" or not base:
        raise UserError(
            f"{sources.path(row, 'config')} is of kind {config.get('kind')}, mode {config.get('mode')}: figure "
            f"{sources.name} shows a vae_glow of mode frozen; choose another model in figures.{sources.name}.rows"
        )
    below = sources.json({**row, "model": base["model"]}, "training")
    path = sources.path(row, "training")
    try:
        return diagram(sources, config, counts(training, below))
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} or config.json does not say all that figure {sources.name} shows ({error}): {REMEDY}"
        ) from None


def counts(training: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters and epochs of both phases; the whole model's parameters include the VAE's."""
    first, second = training["epochs_by_phase"]  # of a model trained in two phases
    return {
        "vae": below["parameters"],
        "layer": training["parameters"] - below["parameters"],
        "epochs": (first, second),
    }


def diagram(sources: Sources, config: Mapping[str, Any], counted: Mapping[str, Any]) -> Figure:
    """All of the drawing.

    Args:
        sources: of the figure, read.
        config: the run's.
        counted: see `counts`.
    """
    base, layer = config["base"], config["layer"]
    network, prior = base["network"], base["prior"]
    image, latent = shape_of(config), network["latent_dim"]
    paper = Diagram(sources.spec["title"], HEIGHT)
    epochs = [f"{count} epoch{'s' if count != 1 else ''}" for count in counted["epochs"]]
    paper.band(
        1.8, 4.42, PHASE_1, "Phase 1 trains the VAE and its prior", f"{counted['vae']:,} parameters, {epochs[0]}"
    )
    frozen = f"{counted['layer']:,} parameters, {epochs[1]}; all of phase 1 is frozen"
    paper.band(0.08, 1.72, PHASE_2, "Phase 2 trains the Glow layer", frozen, at_foot=True)
    data, encoder, posterior, z, flow, u = paper.row(HIGH, COLUMNS, upper(network, prior, image, latent))
    decoder, gaussian, x_bar = paper.row(MIDDLE, COLUMNS[3:], lower(network, config["data"]["size"], image))
    for left, right in ((data, encoder), (encoder, posterior), (posterior, z)):
        paper.arrow(left, right)
    if flow is not None and u is not None:
        paper.both(z, flow, "$h$", "$h^{-1}$")
        paper.both(flow, u)
    paper.down(z, decoder)
    paper.arrow(decoder, gaussian)
    paper.arrow(gaussian, x_bar, dashed=True)
    x_hat, squeeze, actnorm, conv, coupling, close = paper.row(LOW, COLUMNS, glow(config, image))
    paper.group(actnorm, coupling, f"repeated {layer['depth']} times")
    for left, right in ((x_hat, squeeze), (squeeze, actnorm), (actnorm, conv), (conv, coupling), (coupling, close)):
        paper.both(left, right)
    paper.both_down(x_bar, close, "$f^{-1}$", "$f$")
    paper.same(data, x_hat, "the same image while training")
    objective(paper)
    return paper.finish(sources.footer())


def upper(network: Mapping[str, Any], prior: Mapping[str, Any], image: str, latent: int) -> list[Box | None]:
    """Encoder and prior."""
    name, lines = encoder_text(network)
    boxes: list[Box | None] = [
        Box("image $x$", [image], node=True),
        Box(name, lines),
        Box("$q(z|x)$", ["Gaussian,", f"{latent} means", "and variances"]),
        Box("latent $z$", [str(latent)], node=True),
    ]
    if prior["kind"] == "standard":
        return [*boxes, Box("prior $p(z)$", ["N(0, I),", "not trained"]), None]
    flow = Box("prior flow $h$", [f"{prior['layers']} couplings,", f"nets of width {prior['width']}"])
    return [*boxes, flow, Box("$u \\sim N(0, I)$", [str(latent)], node=True)]


def encoder_text(network: Mapping[str, Any]) -> tuple[str, list[str]]:
    """What stands in the encoder's box."""
    width = network["base_dim"]
    if network.get("architecture", "resnet") == "infogan":
        return "encoder", ["Infogan nets,", f"widths {width}, {2 * width},", f"dense {network['fc_dim']}"]
    scales = network["num_scale"]
    widths = f"width {width}" if scales == 1 else f"widths {width}\u2013{width * 2 ** (scales - 1)}"
    return "encoder", [
        f"ResNet, {scales} scale{'s' if scales > 1 else ''},",
        f"{widths},",
        f"dense {network['fc_dim']}",
    ]


def lower(network: Mapping[str, Any], size: int, image: str) -> list[Box]:
    """Decoder and the Gaussian base distribution of the layer (eq. 3)."""
    infogan = network.get("architecture", "resnet") == "infogan"
    noise = image if network["decoder_noise"] == "diagonal" else "one scalar"
    width, deepest = network["base_dim"], min(network["base_dim"] * size // 4, WIDEST)
    lines = ["Infogan nets"] if infogan else ["ResNet from 2\u00d72,", f"widths {deepest}\u2013{width}"]
    return [
        Box("decoder $g$", lines),
        Box("$N(g_\\mu(z), g_\\Sigma(z))$", [f"$g_\\mu$: {image}", f"$g_\\Sigma$: {noise}"]),
        Box("$\\bar{x}$", [image], node=True),
    ]


def glow(config: Mapping[str, Any], image: str) -> list[Box]:
    """The Glow layer (eq. 4), from its image end to its base end."""
    layer, q = config["layer"], config["layer"]["squeeze"]
    mixed, side = config["data"]["channels"] * q * q, config["data"]["size"] // q
    shape = f"{mixed}\u00d7{side}\u00d7{side}"
    ends = ("no squeeze", "no squeeze") if q == 1 else (f"squeeze {q}\u00d7{q}", "undo squeeze")
    halves = f"{mixed // 2} | {mixed - mixed // 2} channels"
    return [
        Box("image $\\hat{x}$", [image], node=True),
        Box(ends[0], [shape]),
        Box("actnorm", [f"{mixed} scales", "and shifts"]),
        Box("1\u00d71 conv.", [f"{mixed}\u00d7{mixed}"]),
        Box("add. coupling", [halves, f"net of width {layer['width']}"]),
        Box("1\u00d71 conv.", ["and bias,"] + ([ends[1]] if q > 1 else []) + [image]),
    ]


def objective(paper: Diagram) -> None:
    """What each phase maximises, and the key of the arrows, left of the decoder."""
    paper.write(
        1.0,
        MIDDLE + 0.42,
        [
            ("phase 1 maximises  E log $N(x; g_\\mu(z), g_\\Sigma(z))$", style.DETAIL),
            ("        $-$ KL$[q(z|x)\\,\\|\\,p(z)]$      (eq. 1)", style.DETAIL),
            ("phase 2 maximises  E log $N(f(x); g_\\mu(z), g_\\Sigma(z))$", style.DETAIL),
            ("        $+$ log |det $\\partial f / \\partial x$|      (eq. 4)", style.DETAIL),
        ],
    )
    paper.arrow_key(1.0, MIDDLE - 0.52, "training", dashed=False)
    paper.arrow_key(2.15, MIDDLE - 0.52, "sampling", dashed=True)


def shape_of(config: Mapping[str, Any]) -> str:
    """C x H x W of the images."""
    channels, size = config["data"]["channels"], config["data"]["size"]
    return f"{channels}\u00d7{size}\u00d7{size}"
