"""What a trained VAE's latent holds, alone or under its Glow layer (paper, sections 3.1 and 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaeglow.evaluation.trained import TrainedRun

READS = ("model", "test")
RESULT = "latents.json"
SCHEMA = {
    "images": {
        "type": "integer",
        "minimum": 2,
        "description": "the first so many test images (at most all): how much the latent holds. The estimate of the "
        "information in it cannot exceed the logarithm of this number",
    }
}


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, None]:
    """See `vaeglow.evaluation.latents.probe_latents`.

    Raises:
        UserError: no model with one latent, other data, too few images, or a value that is not finite.
    """
    from vaeglow.evaluation.latents import probe_latents
    from vaeglow.evaluation.trained import vae_and_layer

    vae, layer = vae_and_layer(run.network, run.config, "the probe latents")
    images = run.images(reads["test"])[: max(0, settings["images"])]
    return {"split": "test", **probe_latents(vae, layer, images, settings["batch_size"], run.seed, run.device)}, None
