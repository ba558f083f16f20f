"""The VAE's sample and the Glow layer's draws of the same latent.

Figure 4 of the paper. In each line the decoder's mean of one latent is at the left, and to its right are all draws of
the Glow layer from that latent. The first latents are shown. `beside` adds the first samples of another model.
"""

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.sample_sheet import samples
from vaeglow.reporting.figures.side_by_side import LINES
from vaeglow.reporting.frame import PLAIN_ROWS, Row, drawn_at
from vaeglow.reporting.style import Page

READS = ("layer_images",)
BESIDE = {
    "beside": {
        "$ref": "#/$defs/row_at",
        "default": None,
        "description": "`{model, temperature}` whose samples are shown, too, on the data of the first row",
    }
}
SCHEMA = LINES | BESIDE | PLAIN_ROWS


def needs(entry: Row) -> list[Row]:
    """The samples that are shown beside, on the data of the first row."""
    if not entry.get("beside"):
        return []
    where = {key: entry["rows"][0][key] for key in ("preset", "dataset")}
    return [{"what": "shown", **where, **entry["beside"]}]


def draw(sources: Sources, page: Page) -> None:
    """A panel for each row."""
    panels = []
    for row in sources["rows"]:
        result = sources.read("layer_images", row, "vae", "layer")
        vae, layer = sources.images(result, sources["lines"], "vae", "layer")  # [latents, draws, C, H, W]
        panels.append(
            (
                (sources.label(row), drawn_at(result.number("temperature"))),
                [("VAE", vae[:, None]), (f"through the Glow layer ({layer.shape[1]} draws)", layer)],
            )
        )
    for row in needs(sources.spec):
        label, images = samples(sources, row, sources["lines"], layer.shape[1] + 1)
        panels.append((label, [("samples", images)]))
    page.panels(panels)
