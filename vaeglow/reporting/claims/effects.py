"""What a claim measured under one seed, by what is resampled: nothing, images or sample sets. No torch."""

from typing import Any

import numpy as np

from vaeglow.evaluation.bootstrap import DRAWS, LIMIT, mean_draws
from vaeglow.reporting.claims import Claim, Evidence, Measured, Readings, rows_of

FLOOR = "a Gaussian fitted to the training pixels"


def of_run(effect: float, unit: str, words: str, scale: str, **more: Any) -> Measured:
    """An effect from one number a run, which seeds alone judge."""
    return Measured(np.array([[effect]]), unit, words, scale, "none: one number a run", **more)


def of_images(
    values: np.ndarray, claim: Claim, unit: str, words: str, images: str, *notes: str, **more: Any
) -> Measured:
    """The mean of one number per image (or pair), [n], or of each of J, [J, n]; the same images are resampled alike."""
    count = values.shape[-1]
    resampled = "pairs" if images.startswith("pairs") else "images"
    return Measured(
        np.stack([mean_draws(numbers, claim["dataset"]) for numbers in np.atleast_2d(values)]),
        unit,
        words,
        scale=f"{count} {images}",
        how=f"bootstrap over {resampled}, {DRAWS} draws",
        units=count,
        notes=notes,
        **more,
    )


def of_samples(evidence: Evidence, unit: str, words: str, *effects: np.ndarray) -> Measured:
    """What a claim on sample sets measured, from its effects, [1 + DRAWS] each; FIDs etc. are for information."""
    claim = evidence.claim
    measure = claim.get("measure", "kid")
    readings = {}
    for row, metrics in zip(rows_of(claim), evidence.results("metrics"), strict=True):
        label = evidence.label(row)
        readings[label, "FID"] = metrics.number("fid")
        readings[label, "KID" if measure == "kid" else measure] = metrics.number(measure)
    count = min(LIMIT, claim["images"])
    resampled = "the real images" if measure == "recall" else "images"
    return Measured(
        np.stack(effects),
        unit,
        words,
        scale=scale(claim, count),
        how=f"bootstrap over {resampled}, {DRAWS} draws",
        units=count,
        readings=readings | floor_of(evidence),
        lead=lead(evidence),
    )


def draws_of(evidence: Evidence) -> list[np.ndarray]:
    """The claim's quantity of each of its sample sets, the estimate and its draws: [1 + DRAWS]."""
    quantity = evidence.claim.get("measure", "kid")
    return [result.arrays[quantity].astype(float) for result in evidence.results("draws", quantity)]


def floor_of(evidence: Evidence) -> Readings:
    """The FID and KID of the floor."""
    floor = evidence.results("floor")[0]
    return {(FLOOR, "FID"): floor.number("fid"), (FLOOR, "KID"): floor.number("kid")}


def lead(evidence: Evidence) -> float:
    """By how much KID the best of the claim's samples beats the floor."""
    best = min(metrics.number("kid") for metrics in evidence.results("metrics"))
    return floor_of(evidence)[FLOOR, "KID"] - best


def scale(claim: Claim, count: int) -> str:
    """How many images a claim on samples uses."""
    return f"{count} samples a model, {count} real images, {claim['features']} features"
