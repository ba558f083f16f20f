"""The same latents without and with the Glow layer (paper, figure 4; section 3.5)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from vaeglow.evaluation.trained import TrainedRun
    from vaeglow.models.vae_glow import VAEGlow

READS = ("model",)
RESULT = "layer_draws.npz"
SCHEMA = {
    "images": {
        "type": "integer",
        "minimum": 2,
        "description": "how many latents are drawn from the prior; Figure 4 shows the first, `layer_action` measures "
        "all",
    },
    "draws": {"type": "integer", "minimum": 1, "description": "draws of the Glow layer from each latent"},
    "temperature": {
        "type": "number",
        "minimum": 0,
        "maximum": 10,
        "description": "of the decoder's noise under the layer",
    },
}
LAYER_DRAWS = -5  # the "epoch" of all noise here
BATCH_SIZE = 100  # latents at a time; the draws of a seed depend on it, so it is no option


@dataclasses.dataclass(frozen=True)
class LayerDraws:
    """Images of the same n latents. All uint8.

    Attributes:
        arrays: `vae` [n, C, H, W], the decoder mean g_mu(z); `vae_noisy` [n, C, H, W], g_mu(z) + T s(z) noise, of the
            first noise; `layer_mean` [n, C, H, W], f^-1(g_mu(z)); `layer` [n, k, C, H, W],
            f^-1(g_mu(z) + T s(z) noise) for k noises.
        exploded: how many of the n latents have an image that is not finite; it is kept, clipped, and counted.
    """

    arrays: dict[str, np.ndarray]
    exploded: int


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """See `draw_layer`.

    Raises:
        UserError: a model without a Glow layer, or see `draw_layer`.
    """
    if run.config["kind"] != "vae_glow":
        raise UserError(f"{run.config['model']} is a {run.config['kind']}: it has no Glow layer; take a vae_glow")
    temperature = float(settings["temperature"])
    drawn = draw_layer(run.network, settings["images"], settings["draws"], temperature, run.seed, run.device)
    return {"temperature": temperature, "exploded_samples": drawn.exploded}, drawn.arrays


def draw_layer(
    model: VAEGlow, count: int, draws: int, temperature: float, seed: int, device: torch.device
) -> LayerDraws:
    """Draw latents from the prior and show each with and without the layer.

    The first latents do not depend on how many are asked for, nor on the draws of each, and the first draws of each do
    not depend on how many are asked for.

    Args:
        model: in evaluation mode, on `device`.
        count: n, how many latents.
        draws: k, draws of the layer from each.
        temperature: T, of the decoder's noise.
        seed: of all noise.
        device: of the model.

    Raises:
        UserError: an illegal count or temperature, or more than half of the latents gave values that are not finite.
    """
    import torch

    from vaeglow.data.loader import step_generator
    from vaeglow.models.bounds import normal_like, quantise

    if count < 1 or draws < 1:
        raise UserError(f"{count} latents with {draws} draws each are asked for: ask for 1 or more of both")
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature {temperature} is not a number from 0 up")
    parts: dict[str, list[Tensor]] = {"vae": [], "vae_noisy": [], "layer_mean": [], "layer": []}
    bad = []
    with torch.no_grad():
        for index in range(-(-count // BATCH_SIZE)):  # all batches are of full size, the last is cut
            generator = step_generator(seed, LAYER_DRAWS, index, device)
            mean, log_scale = model.vae.decode(model.vae.prior_sample(BATCH_SIZE, generator))
            noisy = [mean + temperature * log_scale.exp() * normal_like(mean, generator) for _ in range(draws)]
            shown = {
                "vae": mean,
                "vae_noisy": noisy[0],
                "layer_mean": model.layer.inverse(mean)[0],
                "layer": torch.stack([model.layer.inverse(x_bar)[0] for x_bar in noisy], 1),
            }
            bad.append(
                torch.stack([~torch.isfinite(images).flatten(1).all(1) for images in shown.values()]).any(0).cpu()
            )
            for name, images in shown.items():
                parts[name].append(quantise(images, model.levels).cpu())
    exploded = int(torch.cat(bad)[:count].sum())
    if 2 * exploded > count:
        raise UserError(f"{exploded} of {count} latents give images that are not finite: the model is broken")
    return LayerDraws({name: torch.cat(images)[:count].numpy() for name, images in parts.items()}, exploded)
