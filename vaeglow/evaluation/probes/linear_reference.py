"""What a volume-preserving linear layer could make of a VAE's residual, and of as many principal components'."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaeglow.errors import UserError

if TYPE_CHECKING:
    from vaeglow.evaluation.trained import TrainedRun

READS = ("model", "train", "test")
SCHEMA = {"images": {"type": "integer", "minimum": 1, "description": "test images, spread over the split; at most all"}}


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, None]:
    """Both residuals of the same dequantised test images (docs/squeeze.md).

    Raises:
        UserError: no VAE, other data, too few images, or a value that is not finite.
    """
    import torch

    from vaeglow.data.arrays import evenly_spaced
    from vaeglow.data.loader import dequantise, step_generator
    from vaeglow.evaluation import linear_reference as linear
    from vaeglow.evaluation.likelihood import EVALUATION, finite, image_batches
    from vaeglow.models.bounds import bits_per_dim, gaussian_log_density

    if run.config["kind"] != "vae":
        raise UserError(f"{run.path} is of kind {run.config['kind']}: a linear reference is of a vae's residual")
    model, train, test = run.network, run.images(reads["train"]), run.images(reads["test"])
    train = evenly_spaced(train, min(linear.PCA_IMAGES, len(train)))
    test = evenly_spaced(test, min(settings["images"], len(test)))
    mean, components = linear.principal_components(train, model.prior.dims, model.levels, run.seed)
    sums, own_noise = {source: linear.FoldedMoments(test.shape[1:]) for source in ("vae", "pca")}, []
    with torch.no_grad():
        for index, x in image_batches(test, settings["batch_size"], run.device):
            generator = step_generator(run.seed, EVALUATION, index, run.device)  # likelihood's own
            y = dequantise(x, model.levels, generator)
            g_mean, log_scale = model.decode(model.posterior_sample(y, generator)[0])
            own_noise.append(finite(gaussian_log_density(y, g_mean, log_scale), "reconstruction"))
            sums["vae"].add((y - g_mean).cpu().numpy())
            sums["pca"].add(linear.component_residual(y.cpu().numpy(), mean, components))
    return {
        "images": len(test),
        "latents": model.prior.dims,
        "pca_images": len(train),
        "sources": {name: linear.linear_references(s.mean(), model.levels) for name, s in sums.items()},
        "vae_own_noise": bits_per_dim(torch.cat(own_noise).double(), model.dims, model.levels).mean().item(),
        "estimation_bias": linear.estimation_bias(model.channels, len(test)),
    }, None
