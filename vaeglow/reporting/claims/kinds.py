"""The kinds of claim, a function each from a claim's files under one seed to its effect. No torch when imported.

Samples are judged by KID, resampled in `vaeglow.evaluation.bootstrap`, never by a bootstrapped FID: resampling copies
images, and an FID of copies is biased upward. FIDs are reported too.
"""

import dataclasses
import functools
import math
from statistics import geometric_mean
from typing import Any

import numpy as np

from vaeglow.evaluation.bootstrap import DRAWS, LIMIT, generator, mean_draws, ratio
from vaeglow.reporting.claims import MODEL, Claim, Evidence, Measured, kind, rows_of
from vaeglow.reporting.frame import BITS, bound_note, finite_values
from vaeglow.reporting.tables.timing import CLOCKS, clock_of, log_ratios, pooled, training_time

SET, SETS = {"$ref": "#/$defs/sample_set"}, {"$ref": "#/$defs/sample_sets"}
PROTOCOL = {"protocol": {"$ref": "#/$defs/protocol_name", "default": None}}
ABOVE_0 = {"type": "number", "exclusiveMinimum": 0}
BELOW = "the claim holds if the whole interval lies below it, and does not if it lies above"
ONE, SOME = {"$ref": "#/$defs/temperature"}, {"$ref": "#/$defs/temperatures"}
BEST = {"temperature": {**ONE, "description": "claimed best"}, "others": {**SOME, "description": "compared with it"}}
TWO = {"more": MODEL, "less": MODEL}
TWO["temperatures"] = {**SOME, "minItems": 2, "maxItems": 2, "description": "from, to"}
MEASURE = {"enum": ["diversity", "recall"], "description": "`diversity` or `recall`"}
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
NUMBER = {**ABOVE_0, "description": "the published number"}
MEASURES = {
    "type": "array",
    "items": {"enum": ["fid", "kid"]},
    "minItems": 1,
    "uniqueItems": True,
    "default": None,
    "description": "`[fid, kid]`, which it takes if left out, or one of them: what must show the lead",
}
FOR_KID = {**SET, "default": None, "description": "the same for KID, where it has samples of its own"}
APART = {**ABOVE_0, "description": "test images nearer to a training image (RMS, grey levels) are left out"}
VALUE = {"enum": list(LATENTS), "description": "which value of `latents.json`"}
MAPPED = {"enum": list(NOISE), "description": "which value of `noise_maps.npz`"}
ACTION = {"enum": ["sharpness", "content", "draws"], "description": "which value of `layer_action.json`"}
contrast = functools.partial(kind, "draws", "metrics", "floor", **PROTOCOL)  # a kind that compares sample sets
LEAST = {"recall": 0.05}  # `kept`: of less, a handful of images decides what share is kept
FLOOR = "a Gaussian fitted to the training pixels"


@contrast(better=SET, worse=SET, factor={**ABOVE_0, "default": 1, "description": "multiplies the KID of `worse`"})
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
    """Effect: share kept by `more` - share kept by `less`; no value of a recall that is below `LEAST` at the start."""
    least = LEAST.get(evidence.claim["measure"], 0)
    more, more_last, less, less_last = resampled(evidence)
    more, less = (np.where(start >= least, start, 0) for start in (more, less))
    words = "{measure} at T = {temperatures[1]} as a share of that at T = {temperatures[0]}"
    words += f", which is {least:g} or more" * bool(least) + ": of {more}, minus of {less}"
    effect = ratio(more_last, more) - ratio(less_last, less)
    return measured(evidence, f"share of {evidence.claim['measure']}", words, effect)


@kind("snapshot_metrics", "config", "training", "timing", **PROTOCOL, ours=SETS, theirs=SETS)
def quality_time(evidence: Evidence) -> Measured:
    """Effect: KID of `theirs` - KID of `ours`, at the longest time both trained, by steps timed in turns."""
    claim, kids, notes, curves = evidence.claim, {}, [], {}
    for role in ("ours", "theirs"):  # snapshots of the last phase
        last = claim[role][-1]
        config, training, timing = (evidence.read(what, last) for what in ("config", "training", "timing"))
        before, epoch = training_time(config, training, timing)
        points = evidence.read("snapshot_metrics", last).value("points")
        curves[role] = [{**point, "seconds": before + point["epoch"] * epoch} for point in points]
    moment = min(points[-1]["seconds"] for points in curves.values())
    readings = {("both", f"training, {CLOCKS[clock_of(timing.value('device_kind'))]}"): moment}
    for role, points in curves.items():
        known = [point for point in points if point["kid"] is not None]
        keys = ("seconds", "kid", "kid_standard_error")
        seconds, *values = [[point[key] for point in known] or [math.inf] for key in keys]
        if not seconds[0] <= moment <= seconds[-1]:
            models = " then ".join(evidence.label(row["model"]) for row in claim[role])
            missing = "had no snapshot of its last phase, or no finite samples, so there is nothing to compare"
            notes.append(f"seed {evidence.seed}: at {moment:.0f} s {models} {missing}")
        noise = generator("time", claim["dataset"], role, evidence.seed).standard_normal(DRAWS)
        kid, error = (np.interp(moment, seconds, one, left=math.nan, right=math.nan) for one in values)
        kids[role] = kid + error * np.concatenate([[0], noise])
        if np.isfinite(kid):
            readings[evidence.label(claim[role][-1]), "KID"] = float(kid)
    words = "KID of theirs minus KID of ours at the longest time that both trained, on lines between their snapshots"
    how, of = "normal, from the standard errors of both KIDs", scale(claim, claim["images"])
    return Measured((kids["theirs"] - kids["ours"])[None], "KID", words, of, how, readings=readings, notes=tuple(notes))


def resampled(evidence: Evidence) -> list[np.ndarray]:
    """The claim's quantity of each of its sample sets, the estimate and its draws: [1 + DRAWS]."""
    quantity = evidence.claim.get("measure", "kid")
    return [result.arrays[quantity].astype(float) for result in evidence.results("draws", quantity)]


def measured(evidence: Evidence, unit: str, words: str, *effects: np.ndarray) -> Measured:
    """What a claim on sample sets measured, from its effects, [1 + DRAWS] each; FIDs etc. are for information."""
    claim, measure = evidence.claim, evidence.claim.get("measure", "kid")
    readings = {
        (evidence.label(row), word): metrics.number(key)
        for row, metrics in zip(rows_of(claim), evidence.results("metrics"), strict=True)
        for key, word in (("fid", "FID"), (measure, "KID" if measure == "kid" else measure))
    }
    lead = above_floor(evidence, readings)
    how = f"bootstrap over {'the real images' if measure == 'recall' else 'images'}, {DRAWS} draws"
    count = min(LIMIT, claim["images"])
    return Measured(np.stack(effects), unit, words, scale(claim, count), how, count, readings, lead=lead)


def above_floor(evidence: Evidence, readings: dict[tuple[str, str], float]) -> float:
    """By how much KID the best of the claim's samples beats the floor, whose numbers are added to the readings."""
    floor = evidence.results("floor")[0]
    readings |= {(FLOOR, word): floor.number(word.lower()) for word in ("FID", "KID")}
    return floor.number("kid") - min(metrics.number("kid") for metrics in evidence.results("metrics"))


def scale(claim: Claim, count: int) -> str:
    """How many images a claim on samples uses."""
    return f"{count} samples a model, {count} real images, {claim['features']} features"


@kind("metrics", "floor", **PROTOCOL, better=SET, worse=SET, better_kid=FOR_KID, worse_kid=FOR_KID, measures=MEASURES)
def fid_and_kid(evidence: Evidence) -> Measured:
    """Effects: FID and KID of `worse` - those of `better`, over all images; no bootstrap, so seeds alone judge."""
    claim, leads, readings = evidence.claim, {}, {}
    for measure in ("fid", "kid"):
        better, worse = (claim.get(f"{role}_{measure}", claim[role]) for role in ("better", "worse"))
        numbers = {evidence.label(one): evidence.read("metrics", one).number(measure) for one in (better, worse)}
        leads[measure] = numbers[evidence.label(worse)] - numbers[evidence.label(better)]
        readings |= {(label, measure.upper()): number for label, number in numbers.items()}
    first, *others = claim.get("measures", list(leads))
    beside = {measure.upper(): leads[measure] for measure in others}
    words = f"{first.upper()} of {{worse}}, minus that of {{better}}"
    of = scale(claim, claim["images"])
    how = "none: one number a run"
    lead = above_floor(evidence, readings)
    effect = np.array([[leads[first]]])
    return Measured(effect, first.upper(), words, of, how, beside=beside, readings=readings, lead=lead)


@kind("likelihood", "likelihood_images", better=MODEL, worse=MODEL)
def bits(evidence: Evidence) -> Measured:
    """Effect: bits/dim of `worse` - bits/dim of `better`."""
    return bits_of(evidence, slice(None))


@kind("likelihood", "likelihood_images", "near_copies", better=MODEL, worse=MODEL, apart=APART)
def bits_apart(evidence: Evidence) -> Measured:
    """Effect: the same without test images that are near copies of training images."""
    distances = evidence.results("near_copies", "distances")[0].arrays["distances"]
    return bits_of(evidence, distances >= evidence.claim["apart"])


def bits_of(evidence: Evidence, which: slice | np.ndarray) -> Measured:
    """Bits/dim of `worse` minus those of `better`, of some of the test images."""
    better, worse = [result.value("bound") for result in evidence.results("likelihood")]
    mine, theirs = [result.arrays[BITS][which].astype(float) for result in evidence.results("likelihood_images", BITS)]
    names = [evidence.label(evidence.claim[role]) for role in ("better", "worse")]
    readings = {(name, "bits/dim"): float(one.mean()) for name, one in zip(names, (mine, theirs), strict=True)}
    notes = filter(None, [bound_note(worse, better, *names[::-1])])
    words, of = "bits/dim of {worse}, minus those of {better}", "test images, paired"
    return mean(theirs - mine, evidence.claim, "bits/dim", words, of, *notes, readings=readings)


@kind("metrics", **PROTOCOL, better=SET, value=NUMBER)
def fid_reached(evidence: Evidence) -> Measured:
    """Effect: the published FID - the FID of `better`."""
    (result,), claim = evidence.results("metrics"), evidence.claim
    return reached(evidence, result.number("fid"), "FID", scale(claim, claim["images"]))


@kind("likelihood", better=MODEL, value=NUMBER)
def bits_reached(evidence: Evidence) -> Measured:
    """Effect: the published bits/dim - those of `better`."""
    (result,) = evidence.results("likelihood")
    return reached(evidence, result.number("bits_per_dim"), "bits/dim", f"{result.value('images')} test images")


def reached(evidence: Evidence, number: float, unit: str, of: str) -> Measured:
    """How far a number of one run is below the published one."""
    readings = {(evidence.label(evidence.claim["better"]), unit): number}
    effect, words = evidence.claim["value"] - number, f"published {unit} ({{value}}), minus that of {{better}}"
    return Measured(np.array([[effect]]), unit, words, of, "none: one number a run", readings=readings)


@kind("timing", slow=MODELS, fast=MODELS, networks=NETWORKS)
def speed(evidence: Evidence) -> Measured:
    """Effect: time of `slow` / time of `fast` (Table 4).

    Student's t over the log ratios of all timings of these networks, or of one alone over those of its rounds.
    """
    claim, result = evidence.claim, evidence.results("timing")[0]
    slow, fast = claim["slow"], claim["fast"]
    counted, others = pooled(result, dict.fromkeys(slow, len(fast)), dict.fromkeys(fast, len(slow)))
    logs = log_ratios(counted)
    draws = generator("speed").standard_t(len(logs) - 1, DRAWS) * logs.std(ddof=1) / np.sqrt(len(logs))
    effects = np.exp(logs.mean() + np.concatenate([[0], draws]))[None]
    how = f"t over {len(logs)} " + ("timings" if len(counted) > 1 else "rounds of one timing")
    numbers = "timing of {}: {:.3g}, rounds from {:.3g} to {:.3g}"
    notes = [numbers.format(start, geometric_mean(one), one.min(), one.max()) for start, one in counted.items()]
    notes += [f"timing of {start} does not count: other networks, threads or machine" for start in others]
    of = f"networks of preset {claim['networks']}, {result.value('device')}, {result.value('threads')} threads"
    words = CLOCKS[clock_of(result.value("device_kind"))] + " an epoch of {slow}, by those of {fast} (mean over phases)"
    return Measured(effects, "times", words, of, how, notes=tuple(notes))


@kind("timing", better=MODEL, worse=MODEL, networks=NETWORKS)
def size(evidence: Evidence) -> Measured:
    """Effect: parameters of `worse` / parameters of `better`."""
    claim, result = evidence.claim, evidence.results("timing")[0]
    better, worse = (result.value("models", claim[role], "parameters") for role in ("better", "worse"))
    readings = {(evidence.label(claim["better"]), "parameters"): better}
    readings |= {(evidence.label(claim["worse"]), "parameters"): worse}
    words, of = "parameters of {worse}, by those of {better}", f"networks of preset {claim['networks']}"
    return Measured(np.full((1, 1 + DRAWS), worse / better), "times", words, of, "none: counted", readings=readings)


@kind("noise_maps", model=MODEL, value=MAPPED)
def noise(evidence: Evidence) -> Measured:
    """Effect: mean over images of what s(z) says of their pixels."""
    (result,), key = evidence.results("noise_maps"), evidence.claim["value"]
    words, unit = NOISE[key]
    return mean(finite_values(result, key), evidence.claim, unit, words + ", mean over images", "test images")


@kind("latents", higher=MODEL, lower=MODEL, value=VALUE)
def information(evidence: Evidence) -> Measured:
    """Effect: `value` of `higher` - `value` of `lower`, of what the latent holds."""
    key, results = evidence.claim["value"], evidence.results("latents")
    (what, unit), (higher, lower) = LATENTS[key], [result.number(key) for result in results]
    readings = {(evidence.label(result.value("model")), unit): result.number(key) for result in results}
    words, scale = what + ": of {higher}, minus of {lower}", f"{results[-1].value('images')} images"
    return Measured(np.array([[higher - lower]]), unit, words, scale, "none: one number a run", readings=readings)


@kind("layer_action", model=MODEL, value=ACTION)
def layer(evidence: Evidence) -> Measured:
    """Effect: what f does to an image.

    It brings a VAE sample's spectrum nearer to the data's (`sharpness`), keeps what the sample shows (`content`), or
    changes little from one draw to another (`draws`).
    """
    (result,) = evidence.results("layer_action")

    def values(key: str) -> np.ndarray:
        return finite_values(result, "per_image", key)

    if evidence.claim["value"] == "content":
        own, *controls = (values(f"similarity{of}") for of in ("", "_noise", "_other"))
        found, unit = np.stack([own - np.maximum(*controls), values("content_kept") - 0.5]), "SSIM or share"
        words = (
            "the lesser of two, {model}: structural similarity of the layer's image with its own VAE image, minus that "
            "of the more similar of two controls, the VAE's image moved as far by noise or by what the layer does to "
            "another image; and the share of the layer's images that are nearest to their own VAE image, minus 1/2"
        )
        means = [one.mean() for one in (own, *controls)]
        note = "similarity {:.3g}, by noise {:.3g}, by another's change {:.3g}".format(*means)
        note += f"; nearest to its own: {values('content_kept').mean():.3g}"
    elif evidence.claim["value"] == "draws":
        draws, between = (values(f"{of}_pixel_distance") for of in ("draw", "between"))
        found, unit = 1 - ratio(draws, between), "share of distance"
        words = "1 minus the distance of two draws from one latent by that of images of two latents, {model}"
        note = f"RMS distances, grey levels: {draws.mean():.3g} and {between.mean():.3g}"
    else:
        plain, noisy, after = (values(f"spectrum_error_{stage}") for stage in ("vae", "vae_noisy", "layer"))
        found, unit = np.minimum(plain, noisy) - after, "log10 of power"
        words = (
            "distance of an image's log power spectrum from the data's: of the VAE's mean or, where that is nearer, "
            "of that mean with the layer's noise and no layer; minus of the layer's image ({model})"
        )
        note = f"means: VAE's mean {plain.mean():.3g}, with noise {noisy.mean():.3g}, layer {after.mean():.3g}"
    return mean(found, evidence.claim, unit, words, "latents", note)


@kind("layer_action", better=MODEL, worse=MODEL)
def detail(evidence: Evidence) -> Measured:
    """Effect: how much farther from the data's spectrum the layer's images are with `worse` than with `better`."""
    results = evidence.results("layer_action")
    better, worse = (finite_values(result, "per_image", "spectrum_error_layer") for result in results)
    words = "distance of an image's log power spectrum from the data's: with the layer of {worse}, minus of {better}"
    note = f"means: {worse.mean():.3g} and {better.mean():.3g}"
    return mean(worse - better, evidence.claim, "log10 of power", words, "latents, of the same noise", note)


@kind("interpolation", model=MODEL, space={"$ref": "#/$defs/space"})
def smooth(evidence: Evidence) -> Measured:
    """Effect: the least of: how even the steps are; how far below the ends' distance; how much detail is kept."""
    (result,), key = evidence.results("interpolation"), evidence.claim["dataset"]
    steps, ends = (finite_values(result, f"{of}_distances") for of in ("step", "end"))
    kept, lost = (mean_draws(finite_values(result, f"detail_{of}"), key) for of in ("kept", "lost"))
    words = (
        "the least of three, {model}: mean step by the largest (1 for even steps); 1 minus the largest step by the "
        "distance of the ends; and detail beyond a cross-fade's, as a share of what a cross-fade loses between the ends"
    )
    even, near = ratio(steps.mean(1), steps.max(1)), 1 - ratio(steps.max(1), ends)
    share = 1 - abs(1 - ratio(kept, lost))  # too much detail is no better than too little
    note = f"{even.mean():.3g}, {near.mean():.3g} and {share[0]:.3g}; of a cross-fade 1, {1 - 1 / len(steps[0]):.3g}, 0"
    found = mean(np.stack([even, near]), evidence.claim, "ratio", words, f"pairs of {len(steps[0])} steps", note)
    return dataclasses.replace(found, draws=np.stack([*found.draws, share]))


def mean(values: np.ndarray, claim: Claim, unit: str, words: str, of: str, *notes: str, **more: Any) -> Measured:
    """The mean of one number per image (or pair), [n], or of each of J, [J, n]; the same images are resampled alike."""
    how = f"bootstrap over {'pairs' if of.startswith('pairs') else 'images'}, {DRAWS} draws"
    draws = np.stack([mean_draws(one, claim["dataset"]) for one in np.atleast_2d(values)])
    count = values.shape[-1]
    return Measured(draws, unit, words, f"{count} {of}", how, count, notes=notes, **more)
