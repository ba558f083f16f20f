"""The same latents without and with the Glow layer (paper, figure 4; section 3.5)."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from vaeglow.data.loader import step_generator
from vaeglow.errors import UserError
from vaeglow.evaluation.trained import BATCH_SIZE, TrainedRun
from vaeglow.models.bounds import normal_like, quantise

LAYER_DRAWS = -5  # the "epoch" of all noise here


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """Draw n latents from the prior and show each with and without the layer, at temperature T, by k noises.

    The first latents do not depend on their number or on the draws of each, nor the first draws of each on their
    number.

    Returns:
        `exploded_samples`, how many latents have an image that is not finite (it is clipped), and images, uint8:
        `vae` [n, C, H, W], the decoder mean g_mu(z); `vae_noisy` [n, C, H, W], g_mu(z) + T s(z) noise, of the first
        noise; `layer_mean` [n, C, H, W], f^-1(g_mu(z)); `layer` [n, k, C, H, W], f^-1(g_mu(z) + T s(z) noise).
    """
    if run.config["kind"] != "vae_glow":
        raise UserError(f"{run.config['model']} is a {run.config['kind']}: it has no Glow layer; take a vae_glow")
    vae, layer, images = run.network.vae, run.network.layer, settings["images"]
    temperature, parts, overflowed = float(settings["temperature"]), defaultdict(list), []
    with torch.no_grad():
        for index in range(-(-images // BATCH_SIZE)):  # all batches are of full size, the last is cut
            generator = step_generator(run.seed, LAYER_DRAWS, index, run.device)
            mean, log_scale = vae.decode(vae.prior_sample(BATCH_SIZE, generator))
            noises = [normal_like(mean, generator) for _ in range(settings["draws"])]
            noisy = [mean + temperature * log_scale.exp() * noise for noise in noises]
            shown = {"vae": mean, "vae_noisy": noisy[0], "layer_mean": layer.inverse(mean)[0]}
            shown["layer"] = torch.stack([layer.inverse(x_bar)[0] for x_bar in noisy], 1)
            for name, values in shown.items():
                parts[name].append(quantise(values, vae.levels).cpu())
            whole = torch.stack([values.isfinite().flatten(1).all(1) for values in shown.values()]).all(0)
            overflowed.append(~whole.cpu())
    exploded = int(torch.cat(overflowed)[:images].sum())
    if 2 * exploded > images:
        raise UserError(f"{exploded} of {images} latents give images that are not finite: the model is broken")
    arrays = {name: torch.cat(values)[:images].numpy() for name, values in parts.items()}
    return {"temperature": temperature, "exploded_samples": exploded}, arrays
