"""Claims on sample quality and diversity: judged by KID, on resampled features. Never by a bootstrapped FID.

Resampling copies images, and an FID of copies is biased upward; KID is unbiased and, with pairs of copies left out,
stays so when resampled. FIDs stand beside it for reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vaeglow.reporting.claims import features, statistics
from vaeglow.reporting.claims.evidence import Evidence, checked_values
from vaeglow.reporting.claims.needs import drawn_rows
from vaeglow.reporting.claims.statistics import DRAWS, Measured
from vaeglow.reporting.labels import model_label, temperature_label
from vaeglow.reporting.measured import finite, value_of

Claim = Mapping[str, Any]
Row = Mapping[str, Any]


def kid(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """One sample set is better than another, or at worst by a stated factor."""
    better, worse = drawn_rows(claim)
    factor = claim["factor"]
    effect = factor * kid_draws(evidence, claim, seed, worse) - kid_draws(evidence, claim, seed, better)
    times = "" if factor == 1 else f"{factor} times the "
    words = f"{times}KID of {name(worse)}, minus KID of {name(better)}"
    return of_samples(evidence, claim, seed, [effect], "KID", words)


def kid_same(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """Two sample sets are equally good, to a margin."""
    one, other = drawn_rows(claim)
    mine, theirs = (kid_draws(evidence, claim, seed, row) for row in (one, other))
    words = f"by what share of its KID {name(other)} is worse than {name(one)}"
    return of_samples(evidence, claim, seed, [1 - ratio(mine, theirs)], "share of KID", words)


def kid_best(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """One temperature is better than each of some others."""
    best, *others = drawn_rows(claim)
    mine = kid_draws(evidence, claim, seed, best)
    effects = [kid_draws(evidence, claim, seed, row) - mine for row in others]
    listed = ", ".join(str(float(row["temperature"])) for row in others)
    words = f"least KID of {model_label(best['model'])} at T = {listed}, minus its KID at T = {best['temperature']}"
    return of_samples(evidence, claim, seed, effects, "KID", words)


def kid_gain(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """Lowering the temperature improves one model more than another."""
    draws = [kid_draws(evidence, claim, seed, row) for row in drawn_rows(claim)]
    effect = (draws[0] - draws[1]) - (draws[2] - draws[3])
    words = f"how much KID falls from T = {' to '.join(str(float(t)) for t in claim['temperatures'])}: fall of "
    words += f"{model_label(claim['more'])}, minus fall of {model_label(claim['less'])}"
    return of_samples(evidence, claim, seed, [effect], "KID", words)


def kept(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """Lowering the temperature leaves one model a larger share of its diversity, or of its recall, than another."""
    measure = {"diversity": diversity_draws, "recall": recall_draws}[claim["measure"]]
    before, after, other_before, other_after = (measure(evidence, claim, seed, row) for row in drawn_rows(claim))
    effect = ratio(after, before) - ratio(other_after, other_before)
    first, last = (float(t) for t in claim["temperatures"])
    words = f"{claim['measure']} at T = {last} as a share of that at T = {first}: of {model_label(claim['more'])}, "
    words += f"minus of {model_label(claim['less'])}"
    return of_samples(evidence, claim, seed, [effect], f"share of {claim['measure']}", words)


def quality_time(evidence: Evidence, claim: Claim, seed: int) -> Measured:
    """One model, in all its phases, is better than another after the same time of training."""
    sides = {role: timeline(evidence, claim, seed, claim[role]) for role in ("ours", "theirs")}
    moment = min(points[-1]["total_seconds"] for points in sides.values())
    readings, kids, notes = {("both", "seconds of training"): moment}, {}, []
    for role, points in sides.items():
        models = " then ".join(model_label(row["model"]) for row in claim[role])
        latest = [point for point in points if point["total_seconds"] <= moment][-1:]
        if not latest or latest[0]["kid"] is None or latest[0]["row"] is not claim[role][-1]:
            missing = "had no snapshot of its last phase, or none with finite samples,"
            notes.append(f"seed {seed}: {models} {missing} by {moment:.0f} s, so there is nothing to compare")
            kids[role] = np.full(1 + DRAWS, np.nan)
            continue
        point = latest[0]
        noise = statistics.generator("time", claim["dataset"], role, seed).standard_normal(DRAWS)
        kids[role] = point["kid"] + point["kid_standard_error"] * np.concatenate([[0], noise])
        trained = f"{name(point['row'])} after {point['fraction']:.0%} of its training"
        readings |= {(trained, "KID"): point["kid"], (trained, "seconds"): point["total_seconds"]}
    effect = kids["theirs"] - kids["ours"]
    return Measured(
        effects=effect[:1],
        draws=effect[None, 1:],
        units=None,
        how="normal, from the standard errors of both KIDs",
        unit="KID",
        words="KID of theirs minus KID of ours, each by its latest snapshot within the longest time that both trained",
        scale=samples_scale(claim, claim["images"]),
        readings=readings,
        notes=tuple(notes),
    )


def timeline(evidence: Evidence, claim: Claim, seed: int, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The snapshots of runs that follow one another, by the seconds of training behind them, each with its `row`."""
    points = []
    for row in rows:
        path, content = evidence.json("snapshots", claim, seed, **row)
        found = value_of(path, content, "points")
        for key in ("total_seconds", "fraction"):
            checked_values(path, [value_of(path, point, key) for point in found])
        for point in found:
            if value_of(path, point, "kid") is not None:
                finite(path, point, "kid")
                finite(path, point, "kid_standard_error")
        points += [{**point, "row": row} for point in found]
    return sorted(points, key=lambda point: point["total_seconds"])


def of_samples(
    evidence: Evidence, claim: Claim, seed: int, effects: list[np.ndarray], unit: str, words: str
) -> Measured:
    """A `Measured` of arrays [1 + DRAWS], with what metrics.json says of the sample sets beside it."""
    readings = {}
    for row in drawn_rows(claim):
        path, metrics = evidence.json("metrics", claim, seed, **row)
        for key, word in (("fid", "FID"), ("kid", "KID"), ("recall", "recall"), ("diversity", "diversity")):
            if key in ("fid", claim.get("measure", "kid")):
                finite(path, metrics, key)
                readings[name(row), word] = metrics[key]
    count = min(features.LIMIT, claim["images"])
    real = claim.get("measure") == "recall"
    return Measured(
        effects=np.array([effect[0] for effect in effects]),
        draws=np.stack([effect[1:] for effect in effects]),
        units=count,
        how=f"bootstrap over {'the real images' if real else 'images'}, {DRAWS} draws",
        unit=unit,
        words=words,
        scale=samples_scale(claim, count),
        readings=readings,
    )


def samples_scale(claim: Claim, count: int) -> str:
    """How many images a claim on samples stands on."""
    return f"{count} samples a model, {count} real images, {claim['features']} features"


def kid_draws(evidence: Evidence, claim: Claim, seed: int, row: Row) -> np.ndarray:
    """KID of a sample set, the estimate and its draws: [1 + DRAWS].

    The reference's weights are those of every other sample set; a run's weights are the same at each temperature,
    where its latents are.
    """

    def make() -> np.ndarray:
        samples, reference = evidence.features(claim, seed, row), evidence.reference(claim)
        own, theirs = weights_of(claim, seed, row, len(samples)), reference_weights(claim, len(reference))
        cross = features.cross_mean(features.kernel(samples, reference), own, theirs)
        of_reference = evidence.keep(
            lambda: features.pair_mean(features.kernel(reference, reference), theirs), *place(claim), "reference"
        )
        return features.pair_mean(features.kernel(samples, samples), own) + of_reference - 2 * cross

    return drawn(evidence, claim, seed, row, "kid", make)


def diversity_draws(evidence: Evidence, claim: Claim, seed: int, row: Row) -> np.ndarray:
    """Mean distance of two different samples, the estimate and its draws: [1 + DRAWS]."""

    def make() -> np.ndarray:
        samples = evidence.features(claim, seed, row)
        evidence.reference(claim)  # a reference of other Inception weights is refused here, too
        return features.pair_mean(features.distances(samples, samples), weights_of(claim, seed, row, len(samples)))

    return drawn(evidence, claim, seed, row, "diversity", make)


def recall_draws(evidence: Evidence, claim: Claim, seed: int, row: Row) -> np.ndarray:
    """Recall, the estimate and its draws: [1 + DRAWS].

    Only the real images are resampled: copies among the samples would shrink the balls around them to nothing.
    """

    def make() -> np.ndarray:
        reference = evidence.reference(claim)
        found = features.recalled(evidence.features(claim, seed, row), reference)
        return reference_weights(claim, len(reference)) @ found / len(reference)

    return drawn(evidence, claim, seed, row, "recall", make)


def drawn(
    evidence: Evidence, claim: Claim, seed: int, row: Row, what: str, make: Callable[[], np.ndarray]
) -> np.ndarray:
    """`make()`, once for each sample set, whatever claims share it."""
    return evidence.keep(make, *place(claim), row["model"], seed, float(row["temperature"]), what)


def place(claim: Claim) -> tuple[str, str]:
    """What a reference belongs to."""
    return claim["dataset"], claim["protocol"]


def weights_of(claim: Claim, seed: int, row: Row, count: int) -> np.ndarray:
    """Weights of a run's samples, [1 + DRAWS, count]."""
    return statistics.resample(count, *place(claim), row["model"], seed)


def reference_weights(claim: Claim, count: int) -> np.ndarray:
    """Weights of the real images, [1 + DRAWS, count]."""
    return statistics.resample(count, *place(claim), "reference")


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part by part; NaN where the whole is not above 0, as a KID or a recall can be."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def name(row: Row) -> str:
    """A sample set in words."""
    return model_label(row["model"]) + temperature_label(row["temperature"])
