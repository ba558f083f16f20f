"""The kinds of claim on samples and their quality, as in `kinds`, which declares the others.

Samples are judged by KID, resampled in `vaeglow.evaluation.bootstrap`, never by a bootstrapped FID: resampling copies
images, and an FID of copies is biased upward. FIDs are reported too.
"""

from functools import partial
from math import nan

import numpy as np

from vaeglow.config.keys import choice, positive
from vaeglow.evaluation.bootstrap import DRAWS, generator, ratio
from vaeglow.evaluation.timing import clock_words, training_time
from vaeglow.reporting.claims import MODEL, SET, Evidence, Measured, kind
from vaeglow.reporting.claims.effects import beside_floor, draws_of, of_run, of_samples, scale
from vaeglow.reporting.frame import PROTOCOL, Array, Row

SETS = {"$ref": "#/$defs/sample_sets"}
FACTOR = positive("multiplies the KID of `worse`", default=1)
MARGIN = positive("the claim holds if the whole interval lies below it, and does not if it lies above")
BEST = {
    "temperature": {"$ref": "#/$defs/temperature", "description": "claimed best"},
    "others": {"$ref": "#/$defs/temperatures", "description": "compared with it"},
}
TWO = {
    "more": MODEL,
    "less": MODEL,
    "temperatures": {"$ref": "#/$defs/temperatures", "minItems": 2, "maxItems": 2, "description": "from, to"},
}
MEASURE = choice("`diversity` or `recall`", "diversity", "recall")
MEASURES = {
    "type": "array",
    "items": {"enum": ["fid", "kid"]},
    "minItems": 1,
    "uniqueItems": True,
    "default": None,
    "description": "`[fid, kid]`, which it takes if left out, or one of them: what must show the lead",
}
FOR_KID = {**SET, "default": None, "description": "the same for KID, where it has samples of its own"}
contrast = partial(kind, "draws", "metrics", "floor", **PROTOCOL)  # a kind that compares sample sets
LEAST = {"recall": 0.05}  # `kept`: of less, a handful of images decides what share is kept


@contrast(better=SET, worse=SET, factor=FACTOR)
def kid(evidence: Evidence) -> Measured:
    """Effect: factor x KID of `worse` - KID of `better`."""
    better, worse = draws_of(evidence)
    factor = evidence.spec.get("factor", 1)
    return of_samples(
        evidence,
        "KID",
        ("" if factor == 1 else f"{factor} times the ") + "KID of {worse}, minus KID of {better}",
        factor * worse - better,
    )


@contrast(one=SET, other=SET, margin=MARGIN)
def kid_same(evidence: Evidence) -> Measured:
    """Effect: 1 - KID of `one` / KID of `other`."""
    first, second = draws_of(evidence)
    return of_samples(
        evidence, "share of KID", "by what share of its KID {other} is worse than {one}", 1 - ratio(first, second)
    )


@contrast(model=MODEL, **BEST)
def kid_best(evidence: Evidence) -> Measured:
    """Effect: least KID at `others` - KID at `temperature`."""
    best, *others = draws_of(evidence)
    temperatures = ", ".join(str(float(temperature)) for temperature in evidence["others"])
    return of_samples(
        evidence,
        "KID",
        f"least KID of {{model}} at T = {temperatures}, minus its KID at T = {{temperature}}",
        *(other - best for other in others),
    )


@contrast(**TWO)
def kid_gain(evidence: Evidence) -> Measured:
    """Effect: fall of KID of `more` - fall of KID of `less`."""
    more, more_last, less, less_last = draws_of(evidence)
    return of_samples(
        evidence,
        "KID",
        "how much KID falls from T = {temperatures[0]} to {temperatures[1]}: fall of {more}, minus fall of {less}",
        (more - more_last) - (less - less_last),
    )


@contrast(measure=MEASURE, **TWO)
def kept(evidence: Evidence) -> Measured:
    """Effect: share kept by `more` - share kept by `less`; a recall below .05 at the start has no value."""
    measure = evidence["measure"]
    least = LEAST.get(measure, 0)
    more, more_last, less, less_last = draws_of(evidence)
    enough = f", which is {least:g} or more" if least else ""
    words = "{measure} at T = {temperatures[1]} as a share of that at T = {temperatures[0]}"
    words += f"{enough}: of {{more}}, minus of {{less}}"
    return of_samples(
        evidence,
        f"share of {measure}",
        words,
        ratio(more_last, np.where(more >= least, more, 0)) - ratio(less_last, np.where(less >= least, less, 0)),
    )


@kind("snapshot_metrics", "config", "training", "timing", **PROTOCOL, ours=SETS, theirs=SETS)
def quality_time(evidence: Evidence) -> Measured:
    """Effect: KID of `theirs` - KID of `ours`, at the longest time both trained, by steps timed in turns."""
    [seed] = evidence["seeds"]
    curves = {role: snapshots(evidence, evidence[role][-1]) for role in ("ours", "theirs")}  # of the last phase
    moment = min(curve[0, -1] for curve in curves.values())
    clock = clock_words(evidence.results("timing")[0])
    readings = {("both", f"training, {clock}"): moment}
    notes = []
    kids = {}
    for role, curve in curves.items():
        times, means, errors = curve[:, np.isfinite(curve[1])]
        kid = error = nan
        if times.size and times[0] <= moment <= times[-1]:
            kid = np.interp(moment, times, means)
            error = np.interp(moment, times, errors)
            readings[evidence.label(evidence[role][-1]), "KID"] = kid
        else:
            models = " then ".join(evidence.label({"model": row["model"]}) for row in evidence[role])
            notes.append(
                f"seed {seed}: at {moment:.0f} s {models} had no snapshot of its last phase, or no finite samples, "
                "so there is nothing to compare"
            )
        kids[role] = kid + error * np.insert(
            generator("time", evidence["dataset"], role, seed).standard_normal(DRAWS), 0, 0
        )
    return Measured(
        kids["theirs"][None] - kids["ours"],
        "KID",
        "KID of theirs minus KID of ours at the longest time that both trained, on lines between their snapshots",
        scale(evidence),
        "normal, from the standard errors of both KIDs",
        readings=readings,
        notes=notes,
    )


def snapshots(evidence: Evidence, row: Row) -> Array:
    """Seconds of training, KID (NaN where samples overflowed) and its standard error at each snapshot: [3, n]."""
    before, epoch = training_time(*(evidence.read(what, row) for what in ("config", "training", "timing")))
    return np.array(
        [
            (before + point["epoch"] * epoch, point["kid"], point["kid_standard_error"])
            for point in evidence.read("snapshot_metrics", row).value("points")
        ],
        dtype=float,
    ).T


@kind("metrics", "floor", **PROTOCOL, better=SET, worse=SET, better_kid=FOR_KID, worse_kid=FOR_KID, measures=MEASURES)
def fid_and_kid(evidence: Evidence) -> Measured:
    """Effects: FID and KID of `worse` - those of `better`, over all images; no bootstrap, so seeds alone judge."""
    claim = evidence.spec
    leads = {"fid": 0.0, "kid": 0.0}
    readings = {}
    for measure in leads:
        for role, sign in (("better", -1), ("worse", 1)):
            samples = claim.get(f"{role}_{measure}", claim[role])
            number = evidence.read("metrics", samples).number(measure)
            readings[evidence.label(samples), measure.upper()] = number
            leads[measure] += sign * number
    first, *others = claim.get("measures", leads)
    return of_run(
        leads[first],
        first.upper(),
        f"{first.upper()} of {{worse}}, minus that of {{better}}",
        scale(evidence),
        beside={measure.upper(): leads[measure] for measure in others},
        **beside_floor(evidence, readings),
    )
