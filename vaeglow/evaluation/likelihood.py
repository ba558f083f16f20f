"""Bits per dimension of discrete images: the one-sample bound and the importance-weighted ones.

log P(x) >= E[ log (1/K) sum_k w_k ] - D log levels,  w_k = p(y_m | z_mn) p(z_mn) / q(z_mn | y_m),
over K = M N joint draws: M = min(K, 10) fresh noises u, and for each N latents from its posterior
(Burda, Grosse & Salakhutdinov 2016; p(y|z) as in the paper's eq. 4). In expectation it rises with K. With M at most
10 it stays below log P(x) for any number of latents: the gap of ten noises remains (docs/likelihood.md).

Also, as a labelled ablation, a number that is not a bound: the density without dequantisation noise. A value
that is not finite is a UserError everywhere.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from vaeglow.data.arrays import Arrays
from vaeglow.data.loader import EVALUATION, Device, dequantise, step_generator
from vaeglow.errors import UserError
from vaeglow.files import Facts
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import Terms, bits_per_dim, costs, total
from vaeglow.progress import counted

MAX_NOISES = 10  # M = min(K, 10) dequantisation draws share the K joint draws
Images = ndarray | Tensor
Batches = Iterable[Mapping[Any, Tensor]]  # name -> of each image of a batch [B, ...]


def dequantised_batches(
    model: GenerativeModel, images: Images, batch_size: int, seed: int, epoch: int, device: Device
) -> Iterator[tuple]:
    """All images in order, batch by batch, on the device: x, y = (x + u) / levels, and the generator of u and then z.

    The noise depends on `batch_size`, `seed` and `epoch`, a name below 0.
    """
    for index, start in enumerate(counted(range(0, len(images), batch_size), "likelihoods")):
        part = images[start : start + batch_size]
        x = part if isinstance(part, Tensor) else torch.from_numpy(np.array(part))
        x = x.to(device)
        generator = step_generator(seed, epoch, index, device)
        yield x, dequantise(x, model.levels, generator), generator


@torch.no_grad
def joined(batches: Batches) -> dict[Any, Tensor]:
    """The tensors of all batches, by name, one behind the other on the CPU; what makes the batches needs no graph."""
    parts = defaultdict(list)
    for batch in batches:
        for name, values in batch.items():
            parts[name].append(values.cpu())
    return {name: torch.cat(values) for name, values in parts.items()}


def finite(values: Tensor, what: str) -> Tensor:
    """The values; UserError where one is NaN or infinite, which in an evaluation is an error and never dropped."""
    bad = int((~values.isfinite()).sum())
    if bad:
        raise UserError(f"{what} is not finite for {bad} of {len(values)} images: the model is broken: retrain it")
    return values


def one_sample_terms(
    model: GenerativeModel,
    images: Images,
    batch_size: int,
    seed: int,
    device: Device,
    dequantised: bool = True,
) -> Terms:
    """The terms of the K = 1 bound, one fresh u and z an image; see `importance_bits_per_dim` for the arguments.

    If `dequantised` is false, y is the middle of each level, (x + 1/2) / levels, with the same z. This is NOT a bound:
    a density at a point says nothing about the probability of the cube around it. It shows how much lower bits/dim are
    without dequantisation.

    Returns:
        name -> nats per image, float64 [N] on the CPU; their sum is a lower bound on log p(y).
    """
    terms = joined(
        model.log_likelihood(y if dequantised else (x + 0.5) / model.levels, generator)
        for x, y, generator in dequantised_batches(model, images, batch_size, seed, EVALUATION, device)
    )
    return {name: finite(values.double(), name) for name, values in terms.items()}


def importance_bits_per_dim(
    model: GenerativeModel,
    images: Images,
    draws: Sequence[int],
    batch_size: int,
    seed: int,
    device: Device,
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
        noises = min(count, MAX_NOISES)
        latents = count // MAX_NOISES or 1
        if model.estimated and count > 1:
            raise UserError(
                f"K = {count} is no bound for a {type(model).__name__}, whose bits/dim are an estimate: use 1"
            )
        if count < 1 or noises * latents != count:
            raise UserError(f"importance samples must be 1 to {MAX_NOISES} or a multiple of {MAX_NOISES}, not {count}")
        shares[count] = noises, latents
    most_noises, most_latents = shares[max(shares)]

    # noise 0 is the headline's; the others have epochs that nothing else uses (-12, -22, ...)
    draws_of_u = [
        dequantised_batches(model, images, batch_size, seed, EVALUATION - 10 * noise, device)
        for noise in range(most_noises)
    ]

    def bounds() -> Batches:
        for batch in zip(*draws_of_u, strict=True):
            grid = torch.stack(
                [model.log_weights(y, most_latents, generator) for _, y, generator in batch], 1
            ).double()  # [B, M, N]
            yield {count: grid[:, :m, :n].flatten(1).logsumexp(1) for count, (m, n) in shares.items()}

    return {
        count: finite(bits_per_dim(log_sums - math.log(count), model.dims, model.levels), "bits/dim")
        for count, log_sums in joined(bounds()).items()
    }


def summary(values: Tensor) -> Facts:
    """Mean, standard error over images, and count, of per-image values [N]."""
    count = len(values)
    return {
        "bits_per_dim": values.mean().item(),
        "standard_error": values.std().item() / math.sqrt(count) if count > 1 else None,
        "images": count,
    }


def evaluate_likelihood(
    model: GenerativeModel,
    images: ndarray,
    batch_size: int,
    importance_samples: list[int],
    importance_images: int,
    seed: int,
    device: Device,
) -> tuple[Facts, Arrays]:
    """The values of a model's `likelihood.json`, and the bits/dim of each image.

    The headline is K = 1 of all images. Under `importance` all K, 1 among them, are of the first `importance_images`
    (at most all); `importance_samples` are the other K, possibly none.
    A model without a likelihood has none of them, and no arrays.
    """
    about = {"bound": model.bound, "dequantisation": model.dequantisation, "levels": model.levels}
    if not model.bound:
        return {
            "bits_per_dim": None,
            "standard_error": None,
            "images": len(images),
            **about,
        }, {}
    terms = one_sample_terms(model, images, batch_size, seed, device)
    per_image = {"1": bits_per_dim(total(terms), model.dims, model.levels)}
    more = [draws for draws in importance_samples if draws != 1 and not model.estimated]
    if more:
        few = images[: math.ceil(importance_images / batch_size) * batch_size]  # whole batches: theirs is K = 1's noise
        per_image |= {
            str(draws): values[:importance_images]
            for draws, values in importance_bits_per_dim(model, few, more, batch_size, seed, device).items()
        }
    middle = total(one_sample_terms(model, images, batch_size, seed, device, dequantised=False))
    return {
        **summary(per_image["1"]),
        **about,
        "importance": {samples: summary(values[:importance_images]) for samples, values in per_image.items()},
        "terms": costs({name: term.mean().item() for name, term in terms.items()}, model.dims)
        | {"levels": math.log2(model.levels)},
        "undequantised": summary(bits_per_dim(middle, model.dims, model.levels)) | {"not_a_bound": True},
    }, {f"bits_per_dim_{samples}": values.float().numpy() for samples, values in per_image.items()}
