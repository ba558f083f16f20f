"""Quality of a model as its training proceeded: sample quality and bits/dim of one set of weights after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vaeglow.errors import UserError
from vaeglow.evaluation.fid import frechet_distance, image_features
from vaeglow.evaluation.images import Reference
from vaeglow.evaluation.kid import kernel_inception_distance
from vaeglow.evaluation.likelihood import one_sample_terms, summary
from vaeglow.evaluation.sampling import draw
from vaeglow.evaluation.trained import TrainedRun
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import bits_per_dim, total
from vaeglow.results import read_result

Moment = tuple[Mapping[str, Any], Mapping[str, Tensor]]  # fraction, epoch, seconds, ... of a run; its weights then


def timeline(
    run: TrainedRun, training_path: str | Path, snapshots: Sequence[Moment], snapshots_path: str | Path
) -> tuple[list[Moment], float, str]:
    """A run's snapshots in order of time with its finished weights as the last; what its seconds were measured on.

    Args:
        run: the finished run.
        training_path: its training.json.
        snapshots: see `vaeglow.training.checkpoint.read_snapshots`.
        snapshots_path: where they are from, for the message.

    Returns:
        (moments, seconds of the phases before this one, device that trained).

    Raises:
        UserError: a file is missing, damaged or another run's.
    """
    training = read_result(training_path, weights_sha256=run.identity["weights_sha256"]).content
    whose = {key: run.identity[key] for key in ("config_sha256", "data_sha256")}
    if any(info[key] != value for info, _ in snapshots for key, value in whose.items()):
        raise UserError(f"{snapshots_path} is not of the run that made the model: train the run again")
    *before, seconds = training["train_seconds_by_phase"]
    last = {"fraction": 1.0, "epoch": float(training["epochs_by_phase"][-1]), "seconds": seconds}
    final = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    moments = [*sorted(snapshots, key=lambda moment: moment[0]["fraction"]), (last, final)]
    return moments, sum(before), training["provenance"]["device"]


@dataclasses.dataclass(frozen=True)
class Yardstick:
    """Measures a model, always in the same way, whatever its weights are at the moment.

    Attributes:
        net: Inception, on `device`, with the reference's layer.
        reference: real images, as many as samples are drawn.
        images: of the test split, uint8 [N, C, H, W], for bits/dim.
        temperature: of the pixel noise in samples.
        batch_size: images at a time; the noise of bits/dim depends on it.
        seed: of all noise: the samples are those of the step `sample`, bits/dim's noise that of `likelihood`.
        device: of the model and of `net`.
    """

    net: nn.Module
    reference: Reference
    images: np.ndarray
    temperature: float
    batch_size: int
    seed: int
    device: torch.device

    def likelihood(self, model: GenerativeModel) -> dict[str, Any]:
        """The K = 1 bound: `bits_per_dim` and its `standard_error` over images.

        Both are None where any image's value is not finite: an error in a finished model (step `likelihood`), but it
        can happen early in training.
        """
        try:
            terms = one_sample_terms(model, self.images, self.batch_size, self.seed, self.device)
        except UserError:  # the only one it raises: a term is not finite
            return {"bits_per_dim": None, "standard_error": None}
        found = summary(bits_per_dim(total(terms), model.dims, model.levels))
        return {key: found[key] for key in ("bits_per_dim", "standard_error")}

    def sample_quality(self, model: GenerativeModel) -> dict[str, Any]:
        """`fid`, `kid`, `kid_standard_error`, and `exploded_samples`: how many overflowed, and were clipped.

        Of one set of samples, the first, however many sets the protocol asks for.
        Where more than half did, the first three are None: that is no distribution of images.
        """
        about = self.reference.metadata
        samples = draw(model, about["images"], self.temperature, self.seed, self.device)
        if 2 * samples.exploded > about["images"]:
            return {"fid": None, "kid": None, "kid_standard_error": None, "exploded_samples": samples.exploded}
        options = {key: about[key] for key in ("levels", "stretch")}
        features, own = image_features(
            samples.images.numpy(), self.net, about["features"], self.batch_size, self.device, **options
        )
        return {
            "fid": frechet_distance(own.mean, own.covariance, self.reference.mean, self.reference.covariance),
            **kernel_inception_distance(features, self.reference.features, self.device),
            "exploded_samples": samples.exploded,
        }


def measure_moments(
    model: GenerativeModel, moments: Sequence[Moment], base_seconds: float, yardstick: Yardstick
) -> list[dict]:
    """One point of the curve for each moment.

    Args:
        model: in evaluation mode; it takes each moment's weights in turn.
        moments: see `timeline`.
        base_seconds: spent in phases before this run.
        yardstick: how to measure.

    Returns:
        Dicts of `fraction`, `epoch`, `seconds` (of this phase), `total_seconds`, and what `Yardstick`'s methods return.
    """
    points = []
    for moment, weights in moments:
        model.load_state_dict(weights)
        when = {key: moment[key] for key in ("fraction", "epoch", "seconds")}
        when["total_seconds"] = base_seconds + moment["seconds"]
        points.append({**when, **yardstick.likelihood(model), **yardstick.sample_quality(model)})
        print(", ".join(f"{key} {value}" for key, value in points[-1].items()), flush=True)
    return points
