"""Images between random latents (paper, figure 5)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaeglow.evaluation.trained import TrainedRun

READS = ("model",)
RESULT = "interpolation/{space}.npz"
SCHEMA = {
    "pairs": {"type": "integer", "minimum": 1, "description": "pairs of random latents"},
    "steps": {"type": "integer", "minimum": 2, "description": "images from one end to the other, both included"},
}


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """See `vaeglow.evaluation.interpolation`; `space` is prior (lines in its base space) or latent (great circles).

    Raises:
        UserError: no model with one latent, or counts or a space that cannot be.
    """
    from vaeglow.evaluation.interpolation import distances, latent_paths, render
    from vaeglow.evaluation.trained import vae_and_layer

    vae, _ = vae_and_layer(run.network, run.config, "the probe interpolation")
    space = settings["space"]
    z = latent_paths(vae, settings["pairs"], settings["steps"], space, run.seed, run.device)
    images = render(run.network, z).numpy()
    return {"space": space, **distances(images)}, {"images": images}
