"""The kinds of claim, a function each from a claim's files under one seed to its effect. No torch when imported.

Samples are judged by KID, resampled in `vaeglow.evaluation.bootstrap`, never by a bootstrapped FID: resampling copies
images, and an FID of copies is biased upward. FIDs are reported too.
"""

from functools import partial
from math import nan
from statistics import geometric_mean

import numpy as np

from vaeglow.config.keys import choice, positive
from vaeglow.evaluation.bootstrap import DRAWS, generator, mean_draws, ratio
from vaeglow.evaluation.timing import CLOCKS, clock_of, ratios, training_time
from vaeglow.reporting.claims import MODEL, Evidence, Measured, kind
from vaeglow.reporting.claims.effects import beside_floor, draws_of, of_images, of_run, of_samples, scale
from vaeglow.reporting.claims.layer import EFFECTS
from vaeglow.reporting.frame import BITS, PROTOCOL, Array, Row, bound_note

SET = {"$ref": "#/$defs/sample_set"}
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
LATENTS = {  # numbers of latents.json: words, unit
    "decoder_information_upper_nats": ("upper estimate of the divergence of p(x_bar|z) from p(x_bar)", "nats"),
    "entropy_image_bits_per_dim": ("entropy of the image given z", "bits/dim"),
}
NOISE = {  # numbers of noise_maps.npz: words, unit
    "error_correlations": ("rank correlation over pixels of s(z) and |error| of {model}", "correlation"),
    "border_contrasts": ("log s(z) of {model} on borders between black and content, minus on black", "ln s"),
}
MODELS = {"$ref": "#/$defs/models", "description": "list of models; several phases count by their mean"}
NETWORKS = {"type": "string", "description": "the preset whose networks are compared"}
NUMBER = positive("the published number")
MEASURES = {
    "type": "array",
    "items": {"enum": ["fid", "kid"]},
    "minItems": 1,
    "uniqueItems": True,
    "default": None,
    "description": "`[fid, kid]`, which it takes if left out, or one of them: what must show the lead",
}
FOR_KID = {**SET, "default": None, "description": "the same for KID, where it has samples of its own"}
APART = positive("test images nearer to a training image (RMS, grey levels) are left out")
VALUE = choice("which value of `latents.json`", *LATENTS)
MAPPED = choice("which value of `noise_maps.npz`", *NOISE)
ACTION = choice("which value of `layer_action.json`", *EFFECTS)
contrast = partial(kind, "draws", "metrics", "floor", **PROTOCOL)  # a kind that compares sample sets
ROUNDS = "timing of {}: {:.3g}, rounds from {:.3g} to {:.3g}"
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
    one, other = draws_of(evidence)
    return of_samples(
        evidence, "share of KID", "by what share of its KID {other} is worse than {one}", 1 - ratio(one, other)
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
    """Effect: share kept by `more` - share kept by `less`; no value of a recall that is below `LEAST` at the start."""
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
    clock = CLOCKS[clock_of(evidence.results("timing")[0].value("device_kind"))]
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


@kind("likelihood", "likelihood_images", better=MODEL, worse=MODEL)
def bits(evidence: Evidence) -> Measured:
    """Effect: bits/dim of `worse` - bits/dim of `better`."""
    return bits_of(evidence, slice(None))


@kind("likelihood", "likelihood_images", "near_copies", better=MODEL, worse=MODEL, apart=APART)
def bits_apart(evidence: Evidence) -> Measured:
    """Effect: the same without test images that are near copies of training images."""
    return bits_of(evidence, evidence.results("near_copies", "distances")[0].arrays["distances"] >= evidence["apart"])


def bits_of(evidence: Evidence, which: slice | Array) -> Measured:
    """Bits/dim of `worse` minus those of `better`, of some of the test images."""
    better_bound, worse_bound = (result.value("bound") for result in evidence.results("likelihood"))
    better, worse = (file.arrays[BITS][which].astype(float) for file in evidence.results("likelihood_images", BITS))
    return of_images(
        evidence,
        worse - better,
        "bits/dim",
        "bits/dim of {worse}, minus those of {better}",
        "test images, paired",
        bound_note(worse_bound, better_bound, evidence.name("worse"), evidence.name("better")),
        readings=evidence.readings("bits/dim", better=better.mean(), worse=worse.mean()),
    )


@kind("metrics", **PROTOCOL, better=SET, value=NUMBER)
def fid_reached(evidence: Evidence) -> Measured:
    """Effect: the published FID - the FID of `better`."""
    [metrics] = evidence.results("metrics")
    return reached(evidence, metrics.number("fid"), "FID", scale(evidence))


@kind("likelihood", better=MODEL, value=NUMBER)
def bits_reached(evidence: Evidence) -> Measured:
    """Effect: the published bits/dim - those of `better`."""
    [likelihood] = evidence.results("likelihood")
    return reached(evidence, likelihood.number("bits_per_dim"), "bits/dim", f"{likelihood.value('images')} test images")


def reached(evidence: Evidence, number: float, unit: str, scale: str) -> Measured:
    """How far a number of one run is below the published one."""
    return of_run(
        evidence["value"] - number,
        unit,
        f"published {unit} ({{value}}), minus that of {{better}}",
        scale,
        readings=evidence.readings(unit, better=number),
    )


@kind("timing", slow=MODELS, fast=MODELS, networks=NETWORKS)
def speed(evidence: Evidence) -> Measured:
    """Effect: time of `slow` / time of `fast` (Table 4).

    Student's t over the log ratios of all timings of these networks, or of one alone over those of its rounds.
    """
    timing = evidence.results("timing")[0]
    times = ratios(
        timing,
        dict.fromkeys(evidence["slow"], len(evidence["fast"])),
        dict.fromkeys(evidence["fast"], len(evidence["slow"])),
    )
    logs = times.logs()
    count = len(logs)
    draws = generator("speed").standard_t(count - 1, DRAWS) * logs.std(ddof=1) / np.sqrt(count)
    notes = []
    for start, rounds in times.by_start.items():
        notes.append(ROUNDS.format(start, geometric_mean(rounds), rounds.min(), rounds.max()))
    notes += [f"timing of {start} does not count: other networks, threads or machine" for start in times.others]
    clock = CLOCKS[clock_of(timing.value("device_kind"))]
    sampled = "timings" if len(times.by_start) > 1 else "rounds of one timing"
    return Measured(
        np.exp(logs.mean() + np.insert(draws, 0, 0))[None],
        "times",
        f"{clock} an epoch of {{slow}}, by those of {{fast}} (mean over phases)",
        f"networks of preset {evidence['networks']}, {timing.value('device')}, {timing.value('threads')} threads",
        f"t over {count} {sampled}",
        notes=notes,
    )


@kind("timing", better=MODEL, worse=MODEL, networks=NETWORKS)
def size(evidence: Evidence) -> Measured:
    """Effect: parameters of `worse` / parameters of `better`."""
    timing = evidence.results("timing")[0]
    better, worse = (timing.value("models", evidence[role], "parameters") for role in ("better", "worse"))
    return Measured(
        np.full((1, 1 + DRAWS), worse / better),
        "times",
        "parameters of {worse}, by those of {better}",
        f"networks of preset {evidence['networks']}",
        "none: counted",
        readings=evidence.readings("parameters", better=better, worse=worse),
    )


@kind("noise_maps", model=MODEL, value=MAPPED)
def noise(evidence: Evidence) -> Measured:
    """Effect: mean over images of what s(z) says of their pixels."""
    [maps] = evidence.results("noise_maps")
    key = evidence["value"]
    words, unit = NOISE[key]
    return of_images(evidence, maps.numbers(key), unit, f"{words}, mean over images", "test images")


@kind("latents", higher=MODEL, lower=MODEL, value=VALUE)
def information(evidence: Evidence) -> Measured:
    """Effect: `value` of `higher` - `value` of `lower`, of what the latent holds."""
    key = evidence["value"]
    what, unit = LATENTS[key]
    results = evidence.results("latents")
    higher, lower = (result.number(key) for result in results)
    return of_run(
        higher - lower,
        unit,
        f"{what}: of {{higher}}, minus of {{lower}}",
        f"{results[-1].value('images')} images",
        readings=evidence.readings(unit, higher=higher, lower=lower),
    )


@kind("layer_action", model=MODEL, value=ACTION)
def layer(evidence: Evidence) -> Measured:
    """Effect: what f does to an image.

    It brings a VAE sample's spectrum nearer to the data's (`sharpness`), keeps what the sample shows (`content`), or
    changes little from one draw to another (`draws`).
    """
    [action] = evidence.results("layer_action")
    keys, effect, unit, words, note = EFFECTS[evidence["value"]]
    numbers = [action.numbers("per_image", key) for key in keys]
    return of_images(evidence, effect(*numbers), unit, words, "latents", note.format(*map(np.mean, numbers)))


@kind("layer_action", better=MODEL, worse=MODEL)
def detail(evidence: Evidence) -> Measured:
    """Effect: how much farther from the data's spectrum the layer's images are with `worse` than with `better`."""
    better, worse = (action.numbers("per_image", "spectrum_error_layer") for action in evidence.results("layer_action"))
    return of_images(
        evidence,
        worse - better,
        "log10 of power",
        "distance of an image's log power spectrum from the data's: with the layer of {worse}, minus of {better}",
        "latents, of the same noise",
        f"means: {worse.mean():.3g} and {better.mean():.3g}",
    )


@kind("interpolation", model=MODEL, space={"$ref": "#/$defs/space"})
def smooth(evidence: Evidence) -> Measured:
    """Effect: the least of: how even the steps are; how far below the ends' distance; how much detail is kept."""
    [path] = evidence.results("interpolation")
    steps = path.numbers("step_distances")
    largest = steps.max(1)
    even = ratio(steps.mean(1), largest)
    near = 1 - ratio(largest, path.numbers("end_distances"))
    kept = mean_draws(path.numbers("detail_kept"), evidence["dataset"])
    lost = mean_draws(path.numbers("detail_lost"), evidence["dataset"])
    share = 1 - abs(1 - ratio(kept, lost))  # too much detail is no better than too little
    count = steps.shape[1]
    two = of_images(
        evidence,
        np.stack([even, near]),
        "ratio",
        "the least of three, {model}: mean step by the largest (1 for even steps); 1 minus the largest step by the "
        "distance of the ends; and detail beyond a cross-fade's, as a share of what a cross-fade loses between the "
        "ends",
        f"pairs of {count} steps",
        f"{even.mean():.3g}, {near.mean():.3g} and {share[0]:.3g}; of a cross-fade 1, {1 - 1 / count:.3g}, 0",
    )
    return two._replace(draws=np.stack([*two.draws, share]))
