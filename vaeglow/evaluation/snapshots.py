"""Quality of a model during its training: sample quality and bits/dim of one set of weights after another."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from vaeglow.errors import UserError
from vaeglow.evaluation.fid import measure_set
from vaeglow.evaluation.likelihood import one_sample_terms, summary
from vaeglow.evaluation.sample_quality import kernel_inception_distance
from vaeglow.evaluation.trained import TrainedRun, sample
from vaeglow.models.bounds import bits_per_dim, total
from vaeglow.results import Result

Snapshot = tuple[Mapping[str, Any], Mapping[str, Tensor]]  # fraction, epoch, seconds, ... of a run; its weights then


def timeline(
    run: TrainedRun, training: Mapping[str, Any], snapshots: list[Snapshot], snapshots_path: Path
) -> list[Snapshot]:
    """A run's snapshots in order of time, its finished weights as the last, each with its `total_seconds`.

    From the content of its training.json and the result of `vaeglow.training.checkpoint.read_snapshots`; UserError
    where the snapshots are another run's.
    """
    if any(info[key] != run.identity[key] for info, _ in snapshots for key in ("config_sha256", "data_sha256")):
        raise UserError(f"{snapshots_path} is not of the model's run: train the run again")
    *before, seconds = training["train_seconds_by_phase"]
    last = {"fraction": 1.0, "epoch": float(training["epochs_by_phase"][-1]), "seconds": seconds}
    final = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    ordered = [*sorted(snapshots, key=lambda one: one[0]["fraction"]), (last, final)]
    return [({**info, "total_seconds": sum(before) + info["seconds"]}, weights) for info, weights in ordered]


def measure_point(
    run: TrainedRun,
    snapshot: Snapshot,
    images: np.ndarray,
    net: nn.Module,
    reference: Result,
    temperature: float,
    batch_size: int,
) -> dict[str, Any]:
    """One point of the curve of quality against training time.

    Samples are the first set of those of step `sample` and the noise of bits/dim is that of step `likelihood`, so the
    last point equals the results of these steps.

    Args:
        run: the finished run; its network takes the snapshot's weights.
        snapshot: see `timeline`.
        images: of the test split, uint8 [N, C, H, W], for bits/dim.
        net: Inception, on the run's device, with the reference's layer.
        reference: real images, as many as samples are drawn.
        temperature: of the pixel noise in samples.
        batch_size: images at a time; the noise of bits/dim depends on it.

    Returns:
        `fraction`, `epoch`, `seconds` (of this phase) and `total_seconds` (with the phases before); `bits_per_dim`
        (K = 1) and its `standard_error`, None where an image's is not finite, as can happen early in training; `fid`,
        `kid` and `kid_standard_error`, None where more than half of the samples overflowed, which is not a distribution
            of images; `exploded_samples`, how many did.
    """
    when, weights = snapshot
    model = run.network
    model.load_state_dict(weights)
    point = {key: when[key] for key in ("fraction", "epoch", "seconds", "total_seconds")}
    point |= dict.fromkeys(("bits_per_dim", "standard_error", "fid", "kid", "kid_standard_error"))
    with suppress(UserError):  # of a term that is not finite
        terms = one_sample_terms(model, images, batch_size, run.seed, run.device)
        found = summary(bits_per_dim(total(terms), model.dims, model.levels))
        point |= {key: found[key] for key in ("bits_per_dim", "standard_error")}
    samples, point["exploded_samples"] = sample(model, reference.value("images"), temperature, run.seed, run.device)
    if 2 * point["exploded_samples"] <= len(samples):
        features, point["fid"] = measure_set(samples.numpy(), net, reference, batch_size, run.device)
        point |= kernel_inception_distance(features, reference.arrays["features"], run.device)
    return point
