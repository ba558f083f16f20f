"""The VAE's sample and the Glow layer's draws of the same latent.

Figure 4 of the paper. In each line the decoder's mean of one latent is at the left, and to its right are all draws of
the Glow layer from that latent. The first latents are shown.
"""

from vaeglow.reporting.figures import Sources
from vaeglow.reporting.figures.side_by_side import LINES
from vaeglow.reporting.frame import PLAIN_ROWS, drawn_at
from vaeglow.reporting.style import Page

READS = ("layer_images",)
SCHEMA = LINES | PLAIN_ROWS


def draw(sources: Sources, page: Page) -> None:
    """A panel for each row."""
    panels = []
    for row in sources.spec["rows"]:
        result = sources.read("layer_images", row, "vae", "layer")
        vae = sources.images(result, "vae", sources.spec["lines"])
        layer = sources.images(result, "layer", sources.spec["lines"])  # [latents, draws, C, H, W]
        label = sources.label(row), drawn_at(result.number("temperature"))
        panels.append((label, [("VAE", vae[:, None]), (f"through the Glow layer ({layer.shape[1]} draws)", layer)]))
    page.panels(panels)
