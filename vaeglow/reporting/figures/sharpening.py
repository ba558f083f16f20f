"""The VAE's sample and the Glow layer's draws of the same latent.

Figure 4 of the paper. In each line the decoder's mean of one latent is at the left, and to its right are all draws of
the Glow layer from that latent. The first latents are shown. `beside` adds the first samples of another model.
"""

from collections.abc import Mapping
from typing import Any

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.sample_sheet import samples
from vaeglow.reporting.figures.side_by_side import LINES
from vaeglow.reporting.frame import PLAIN_ROWS, drawn_at
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


def needs(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The samples that are shown beside."""
    beside = entry.get("beside")
    return [{"what": "shown", **place_of(entry), **beside}] if beside else []


def place_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Preset and dataset of the first row."""
    return {key: entry["rows"][0][key] for key in ("preset", "dataset")}


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
    if sources.spec.get("beside"):
        columns = layer.shape[1] + 1
        row = place_of(sources.spec) | sources["beside"]
        label, images = samples(sources, row, sources["lines"], columns)
        panels.append((label, [("samples", images)]))
    page.panels(panels)
