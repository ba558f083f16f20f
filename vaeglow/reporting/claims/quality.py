"""Claims on sample quality and diversity: judged by KID, on resampled features. Never by a bootstrapped FID.

Resampling copies images, and an FID of copies is biased upward; KID is unbiased and, with pairs of copies left out,
stays so when resampled. FIDs are reported too. The formulas are those of `vaeglow.evaluation.kid` and
`neighbours`, here in NumPy with a weight for each image: a kernel matrix of `LIMIT` images fits in memory, and 2,000
resamplings of it are one product. No torch.
"""

from __future__ import annotations

import functools

import numpy as np

from vaeglow.data.arrays import evenly_spaced
from vaeglow.reporting.claims import MODEL, Claim, Evidence, Measured, Row, kind, rows_of
from vaeglow.reporting.claims.statistics import DRAWS, LIMIT, generator, resample

NEIGHBOURS = 3  # k of the manifolds of recall
SET, SETS = {"$ref": "#/$defs/sample_set"}, {"$ref": "#/$defs/sample_sets"}
PROTOCOL = {"protocol": {"$ref": "#/$defs/protocol_name", "default": None}}
ABOVE_0 = {"type": "number", "exclusiveMinimum": 0}
BELOW = "the claim holds if the whole interval lies below it, and does not if it lies above"
ONE, SOME = {"$ref": "#/$defs/temperature"}, {"$ref": "#/$defs/temperatures"}
BEST = {"temperature": {**ONE, "description": "claimed best"}, "others": {**SOME, "description": "compared with it"}}
TWO = {"more": MODEL, "less": MODEL}
TWO["temperatures"] = {**SOME, "minItems": 2, "maxItems": 2, "description": "from, to"}
MEASURE = {"enum": ["diversity", "recall"], "description": "`diversity` or `recall`"}
contrast = functools.partial(kind, "features", "metrics", "reference", **PROTOCOL)  # a kind that compares sample sets


@contrast(better=SET, worse=SET, factor={**ABOVE_0, "default": 1, "description": "see above"})
def kid(evidence: Evidence) -> Measured:
    """Effect: factor x KID of `worse` - KID of `better`."""
    (better, worse), factor = resampled(evidence), evidence.claim.get("factor", 1)
    times = "" if factor == 1 else f"{factor} times the "
    return measured(evidence, "KID", times + "KID of {worse}, minus KID of {better}", factor * worse - better)


@contrast(one=SET, other=SET, margin={**ABOVE_0, "description": BELOW})
def kid_same(evidence: Evidence) -> Measured:
    """Effect: 1 - KID of `one` / KID of `other`."""
    words = "by what share of its KID {other} is worse than {one}"
    return measured(evidence, "share of KID", words, 1 - ratio(*resampled(evidence)))


@contrast(model=MODEL, **BEST)
def kid_best(evidence: Evidence) -> Measured:
    """Effect: least KID at `others` - KID at `temperature`."""
    best, *others = resampled(evidence)
    temperatures = ", ".join(str(float(temperature)) for temperature in evidence.claim["others"])
    words = f"least KID of {{model}} at T = {temperatures}, minus its KID at T = {{temperature}}"
    return measured(evidence, "KID", words, *(other - best for other in others))


@contrast(**TWO)
def kid_gain(evidence: Evidence) -> Measured:
    """Effect: fall of KID of `more` - fall of KID of `less`."""
    more, more_last, less, less_last = resampled(evidence)
    words = "how much KID falls from T = {temperatures[0]} to {temperatures[1]}: fall of {more}, minus fall of {less}"
    return measured(evidence, "KID", words, (more - more_last) - (less - less_last))


@contrast(measure=MEASURE, **TWO)
def kept(evidence: Evidence) -> Measured:
    """Effect: share kept by `more` - share kept by `less`."""
    more, more_last, less, less_last = resampled(evidence)
    words = "{measure} at T = {temperatures[1]} as a share of that at T = {temperatures[0]}: of {more}, minus of {less}"
    effect = ratio(more_last, more) - ratio(less_last, less)
    return measured(evidence, f"share of {evidence.claim['measure']}", words, effect)


@kind("snapshots", **PROTOCOL, ours=SETS, theirs=SETS)
def quality_time(evidence: Evidence) -> Measured:
    """Effect: KID of `theirs` - KID of `ours`, at the longest time both trained; phases in order."""
    claim, sides, kids, notes = evidence.claim, {}, {}, []
    for role in ("ours", "theirs"):  # the snapshots of all phases, by their seconds of training
        read = [(row, point) for row in claim[role] for point in evidence.read("snapshots", row).value("points")]
        sides[role] = sorted(read, key=lambda pair: pair[1]["total_seconds"])
    moment = min(points[-1][1]["total_seconds"] for points in sides.values())
    readings = {("both", "seconds of training"): moment}
    for role, points in sides.items():
        row, point = next((pair for pair in points[::-1] if pair[1]["total_seconds"] <= moment), (None, {}))
        if row is claim[role][-1] and point["kid"] is not None:
            noise = generator("time", claim["dataset"], role, evidence.seed).standard_normal(DRAWS)
            kids[role] = point["kid"] + point["kid_standard_error"] * np.concatenate([[0], noise])
            trained = f"{evidence.label(row)} after {point['fraction']:.0%} of its training"
            readings |= {(trained, "KID"): point["kid"], (trained, "seconds"): point["total_seconds"]}
        else:
            models = " then ".join(evidence.label(row["model"]) for row in claim[role])
            missing = "had no snapshot of its last phase, or none with finite samples,"
            notes.append(f"seed {evidence.seed}: {models} {missing} by {moment:.0f} s, so there is nothing to compare")
            kids[role] = np.full(1 + DRAWS, np.nan)
    words = "KID of theirs minus KID of ours, each by its latest snapshot within the longest time that both trained"
    how, of = "normal, from the standard errors of both KIDs", scale(claim, claim["images"])
    return Measured((kids["theirs"] - kids["ours"])[None], "KID", words, of, how, readings=readings, notes=tuple(notes))


def measured(evidence: Evidence, unit: str, words: str, *effects: np.ndarray) -> Measured:
    """What a claim on sample sets measured, from its effects, [1 + DRAWS] each; FIDs etc. are for information."""
    claim, measure = evidence.claim, evidence.claim.get("measure", "kid")
    readings = {
        (evidence.label(row), word): metrics.number(key)
        for row, metrics in zip(rows_of(claim), evidence.results("metrics"), strict=True)
        for key, word in (("fid", "FID"), (measure, "KID" if measure == "kid" else measure))
    }
    how = f"bootstrap over {'the real images' if measure == 'recall' else 'images'}, {DRAWS} draws"
    count = min(LIMIT, claim["images"])
    return Measured(np.stack(effects), unit, words, scale(claim, count), how, count, readings)


def scale(claim: Claim, count: int) -> str:
    """How many images a claim on samples uses."""
    return f"{count} samples a model, {count} real images, {claim['features']} features"


# --------------------------------------------------------------------------- KID, diversity and recall, resampled


def resampled(evidence: Evidence) -> list[np.ndarray]:
    """The claim's quantity of each of its sample sets: see `draws_of`."""
    return [draws_of(evidence, row, evidence.claim.get("measure", "kid")) for row in rows_of(evidence.claim)]


def draws_of(evidence: Evidence, row: Row, quantity: str) -> np.ndarray:
    """KID, diversity or recall of a sample set, the estimate and its draws: [1 + DRAWS]. Each is computed once.

    The weights of the real images are the same for all sample sets, those of a run the same at each temperature, where
    its latents are the same. For recall the real images alone are resampled: copies among the samples would shrink the
    balls around them to points.
    """
    place = evidence.claim["dataset"], evidence.claim["protocol"]
    run, cache = (*place, row["model"], evidence.seed), evidence.cache
    key, shared = (*run, float(row["temperature"]), quantity), (*place, "reference")
    if key in cache:
        return cache[key]
    samples = evidence.read("features", row, "features").arrays["features"][:LIMIT].astype(np.float64)
    real = evidence.read("reference", row, "features").arrays["features"].astype(np.float64)
    real = evenly_spaced(real, min(LIMIT, len(real)))
    own, theirs = resample(len(samples), *run), resample(len(real), *shared)
    if quantity == "diversity":
        cache[key] = pair_mean(distances(samples, samples), own)
    elif quantity == "recall":
        cache[key] = theirs @ recalled(samples, real) / len(real)
    else:
        if shared not in cache:
            cache[shared] = pair_mean(kernel(real, real), theirs)
        cross = cross_mean(kernel(samples, real), own, theirs)
        cache[key] = pair_mean(kernel(samples, samples), own) + cache[shared] - 2 * cross
    return cache[key]


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """KID's kernel (x.y / F + 1)^3 (Binkowski et al. 2018) of rows [n, F] and [m, F]: [n, m]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances of rows [n, F] and [m, F]: [n, m]; exactly 0 between equal rows."""
    lengths = (x**2).sum(1)[:, None] + (y**2).sum(1)
    squared = lengths - 2 * (x @ y.T)
    return np.sqrt(np.where(squared > 1e-12 * lengths, squared, 0))


def pair_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sum_{i != j} w_i w_j v_ij / sum_{i != j} w_i w_j: the mean over pairs of DIFFERENT images, [B].

    Two copies of one image in a resampling are not a pair: their kernel is that of equal images, and would raise a KID.

    Args:
        values: symmetric, [n, n].
        weights: [B, n]; those that hold one image only give NaN.
    """
    squares = weights**2
    total = np.einsum("bi,bi->b", weights @ values, weights) - squares @ np.diagonal(values)
    return ratio(total, weights.sum(1) ** 2 - squares.sum(1))


def cross_mean(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """sum_{i, j} w_i v_j values_ij / sum_{i, j} w_i v_j, [B], of values [n, m] under weights [B, n] and [B, m]."""
    return np.einsum("bj,bj->b", rows @ values, columns) / (rows.sum(1) * columns.sum(1))


def recalled(samples: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Which real images [m, F] lie in the samples' manifold, the balls to each sample's third neighbour: 0 or 1, [m].

    Samples [n, F], n above 3 (Kynkaanniemi et al. 2019).
    """
    radii = np.partition(distances(samples, samples), NEIGHBOURS, axis=1)[:, NEIGHBOURS]  # the nearest is itself
    return (distances(samples, reference) <= radii[:, None]).any(0).astype(float)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part by part; NaN where the whole is not above 0, as a KID or a recall can be."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
