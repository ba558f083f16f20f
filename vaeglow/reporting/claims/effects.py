"""What a claim measured under one seed, by what is resampled: nothing, images or sample sets. No torch."""

from math import inf
from typing import Any

import numpy as np

from vaeglow.evaluation.bootstrap import DRAWS, LIMIT, mean_draws
from vaeglow.reporting.claims import Evidence, Measured, Readings, rows_of
from vaeglow.reporting.frame import Array, Row

FLOOR = "a Gaussian fitted to the training pixels"


def of_run(effect: float, unit: str, words: str, scale: str, **more: Any) -> Measured:
    """An effect from one number a run, which seeds alone judge."""
    return Measured(np.array([[effect]]), unit, words, scale, "none: one number a run", **more)


def of_images(
    evidence: Evidence, values: Array, unit: str, words: str, images: str, *notes: str, **more: Any
) -> Measured:
    """The mean of one number per image (or pair), [n], or of each of J, [J, n]; the same images are resampled alike."""
    count = values.shape[-1]
    resampled = "pairs" if images.startswith("pairs") else "images"
    return Measured(
        np.stack([mean_draws(numbers, evidence["dataset"]) for numbers in np.atleast_2d(values)]),
        unit,
        words,
        f"{count} {images}",
        f"bootstrap over {resampled}, {DRAWS} draws",
        count,
        notes=notes,
        **more,
    )


def of_samples(evidence: Evidence, unit: str, words: str, *effects: Array) -> Measured:
    """What a claim on sample sets measured, from its effects, [1 + DRAWS] each; FIDs etc. are for information."""
    measure = evidence.spec.get("measure", "kid")
    readings = {}
    for row, metrics in zip(rows_of(evidence.spec), evidence.results("metrics"), strict=True):
        label = evidence.label(row)
        readings[label, "FID"] = metrics.number("fid")
        readings[label, measure.replace("kid", "KID")] = metrics.number(measure)
    count = min(LIMIT, evidence["images"])
    resampled = "the real images" if measure == "recall" else "images"
    return Measured(
        np.stack(effects),
        unit,
        words,
        scale(evidence, LIMIT),
        f"bootstrap over {resampled}, {DRAWS} draws",
        count,
        **beside_floor(evidence, readings),
    )


def draws_of(evidence: Evidence) -> list[Array]:
    """The claim's quantity of each of its sample sets, the estimate and its draws: [1 + DRAWS]."""
    quantity = evidence.spec.get("measure", "kid")
    return [result.arrays[quantity].astype(float) for result in evidence.results("draws", quantity)]


def beside_floor(evidence: Evidence, readings: Readings) -> Row:
    """The `readings` with those of the floor, and by how much KID the best of the claim's samples beats it: `lead`."""
    fid, kid = (evidence.results("floor")[0].number(measure) for measure in ("fid", "kid"))
    return {
        "readings": {**readings, (FLOOR, "FID"): fid, (FLOOR, "KID"): kid},
        "lead": kid - min(metrics.number("kid") for metrics in evidence.results("metrics")),
    }


def scale(evidence: Evidence, limit: float = inf) -> str:
    """How many images a claim on samples uses: the protocol's, up to a limit."""
    count = min(evidence["images"], limit)
    return f"{count} samples a model, {count} real images, {evidence['features']} features"
