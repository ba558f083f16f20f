"""Bits per dimension of discrete images: the one-sample bound and the importance-weighted ones.

log P(x) >= E[ log (1/K) sum_k w_k ] - D log levels,  w_k = p(y_m | z_mn) p(z_mn) / q(z_mn | y_m),
over K = M N joint draws: M = min(K, 10) fresh noises u, and for each N latents from its posterior
(Burda, Grosse & Salakhutdinov 2016; p(y|z) as in the paper's eq. 4). In expectation it rises with K. With M at most
10 it stays below log P(x) for any number of latents: the gap of ten noises remains (docs/likelihood.md).

Also, as a labelled ablation, a number that is not a bound: the density without dequantisation noise. A value
that is not finite is a UserError everywhere.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaeglow.data.loader import EVALUATION, dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import bits_per_dim, costs, total

MAX_NOISES = 10  # M = min(K, 10) dequantisation draws share the K joint draws


def dequantised_batches(
    model: GenerativeModel, images: np.ndarray | Tensor, batch_size: int, seed: int, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor, torch.Generator]]:
    """All images in order, batch by batch, on the device: x, y = (x + u) / levels, and the generator of u and then z.

    The noise depends on `batch_size`, `seed` and `epoch`, a name below 0.
    """
    for index, start in enumerate(range(0, len(images), batch_size)):
        part = images[start : start + batch_size]
        x = (part if isinstance(part, Tensor) else torch.from_numpy(np.array(part))).to(device)
        generator = step_generator(seed, epoch, index, device)
        yield x, dequantise(x, model.levels, generator), generator


def finite(values: Tensor, what: str) -> Tensor:
    """The values; UserError where one is NaN or infinite, which in an evaluation is an error and never dropped."""
    if bad := int((~values.isfinite()).sum()):
        raise UserError(f"{what} is not finite for {bad} of {len(values)} images: the model is broken: retrain it")
    return values


@torch.no_grad()
def one_sample_terms(
    model: GenerativeModel,
    images: np.ndarray | Tensor,
    batch_size: int,
    seed: int,
    device: torch.device,
    dequantised: bool = True,
) -> dict[str, Tensor]:
    """The terms of the K = 1 bound, one fresh u and z an image; see `importance_bits_per_dim` for the arguments.

    If `dequantised` is false, y is the middle of each level, (x + 1/2) / levels, with the same z. This is NOT a bound:
    a density at a point says nothing about the probability of the cube around it. It shows how much lower bits/dim are
    without dequantisation.

    Returns:
        name -> nats per image, float64 [N] on the CPU; their sum is a lower bound on log p(y).
    """
    parts: dict[str, list[Tensor]] = {}
    for x, y, generator in dequantised_batches(model, images, batch_size, seed, EVALUATION, device):
        for name, term in model.log_likelihood(y if dequantised else (x + 0.5) / model.levels, generator).items():
            parts.setdefault(name, []).append(term.double().cpu())
    return {name: finite(torch.cat(values), name) for name, values in parts.items()}


@torch.no_grad()
def importance_bits_per_dim(
    model: GenerativeModel,
    images: np.ndarray | Tensor,
    draws: Sequence[int],
    batch_size: int,
    seed: int,
    device: torch.device,
) -> dict[int, Tensor]:
    """Bits/dim by the bounds of so many joint draws of (u, z), each draw made once for all of them.

    The bounds are nested: the draws of a smaller K are among those of a larger one, and K = 1 is `one_sample_terms`'
    draw. So their differences have little noise. Whatever does not depend on z (the Glow layer f) is evaluated once
    for each u.

    Args:
        model: in evaluation mode, on `device`.
        images: uint8 [N, C, H, W].
        draws: each K, one or more, 1 to 10 or a multiple of 10; 1 of a Residual Flow. Another is a UserError.
        batch_size: images at a time; the noise depends on it.
        seed: of the noise.
        device: of the model.

    Returns:
        K -> float64 [N] on the CPU.
    """
    shares = {}  # K -> (M, N): noises u, and latents of each
    for count in draws:
        shares[count] = m, n = min(count, MAX_NOISES), count // MAX_NOISES or 1
        if model.estimated and count > 1:
            name = type(model).__name__
            raise UserError(f"K = {count} is no bound for a {name}, whose bits/dim are an estimate: use 1")
        if count < 1 or m * n != count:
            raise UserError(f"importance samples must be 1 to {MAX_NOISES} or a multiple of {MAX_NOISES}, not {count}")
    noises, latents = (max(column) for column in zip(*shares.values(), strict=True))

    # noise 0 is the headline's; the others have epochs that nothing else uses (-12, -22, ...)
    epochs = [EVALUATION - 10 * noise for noise in range(noises)]
    draws_of = (dequantised_batches(model, images, batch_size, seed, epoch, device) for epoch in epochs)
    found: dict[int, list[Tensor]] = {count: [] for count in shares}
    for batch in zip(*draws_of, strict=True):
        log_weights = torch.stack([model.log_weights(y, latents, noise).double() for _, y, noise in batch], 1)
        for count, (m, n) in shares.items():
            bound = torch.logsumexp(log_weights[:, :m, :n].flatten(1), 1) - math.log(count)
            found[count].append(bits_per_dim(bound, model.dims, model.levels).cpu())
    return {count: finite(torch.cat(values), "bits/dim") for count, values in found.items()}


def summary(values: Tensor) -> dict[str, Any]:
    """Mean, standard error over images, and count, of per-image values [N]."""
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else None
    return {"bits_per_dim": values.mean().item(), "standard_error": error, "images": len(values)}


def evaluate_likelihood(
    model: GenerativeModel,
    images: np.ndarray,
    batch_size: int,
    importance_samples: list[int],
    importance_images: int,
    seed: int,
    device: torch.device,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The values of a model's `likelihood.json`, and the bits/dim of each image.

    The headline is K = 1 of all images. Under `importance` all K, 1 among them, are of the first `importance_images`
    (at most all); `importance_samples` are the other K, possibly none.
    A model without a likelihood has none of them, and no arrays.
    """
    about = {"bound": model.bound, "dequantisation": model.dequantisation, "levels": model.levels}
    if not model.bound:
        return {"bits_per_dim": None, "standard_error": None, "images": len(images), **about}, {}
    terms = one_sample_terms(model, images, batch_size, seed, device)
    per_image = {"1": bits_per_dim(total(terms), model.dims, model.levels)}
    more = [draws for draws in importance_samples if draws != 1 and not model.estimated]
    if more:
        few = images[: math.ceil(importance_images / batch_size) * batch_size]  # whole batches: theirs is K = 1's noise
        bounds = importance_bits_per_dim(model, few, more, batch_size, seed, device)
        per_image |= {str(draws): values[:importance_images] for draws, values in bounds.items()}
    middle = total(one_sample_terms(model, images, batch_size, seed, device, dequantised=False))
    result = {
        **summary(per_image["1"]),
        **about,
        "importance": {samples: summary(values[:importance_images]) for samples, values in per_image.items()},
        "terms": costs({name: term.mean().item() for name, term in terms.items()}, model.dims)
        | {"levels": math.log2(model.levels)},
        "undequantised": {**summary(bits_per_dim(middle, model.dims, model.levels)), "not_a_bound": True},
    }
    return result, {f"bits_per_dim_{samples}": values.float().numpy() for samples, values in per_image.items()}
