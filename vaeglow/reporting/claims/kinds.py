"""The kinds of claim, a function each from a claim's files under one seed to its effect. No torch when imported.

Those on samples are in `sample_kinds`.
"""

from statistics import geometric_mean

import numpy as np

from vaeglow.config.keys import choice, positive
from vaeglow.evaluation.bootstrap import DRAWS, mean_draws, ratio
from vaeglow.evaluation.timing import clock_words, log_ratios, ratios
from vaeglow.reporting.claims import MODEL, SET, Evidence, Measured, kind
from vaeglow.reporting.claims.effects import of_images, of_run, scale
from vaeglow.reporting.claims.sample_kinds import *  # noqa: F403 - kinds are what this module has, in order
from vaeglow.reporting.frame import BITS, PROTOCOL, Array, bound_note

LATENTS = {  # numbers of latents.json: words, unit
    "decoder_information_upper_nats": ("upper estimate of the divergence of p(x_bar|z) from p(x_bar)", "nats"),
    "entropy_image_bits_per_dim": ("entropy of the image given z", "bits/dim"),
}
NOISE = {  # numbers of noise_maps.npz: words, unit
    "error_correlations": ("rank correlation over pixels of s(z) and |error| of {model}", "correlation"),
    "border_contrasts": ("log s(z) of {model} on borders between black and content, minus on black", "ln s"),
}
# Of layer_action.json: the numbers of each image that an effect is made of, how, its unit, its words, and a note with
# their means.
EFFECTS = {
    # How much nearer the data's spectrum the layer's image is than the VAE's.
    "sharpness": (
        ("spectrum_error_vae", "spectrum_error_vae_noisy", "spectrum_error_layer"),
        lambda plain, noisy, after: np.minimum(plain, noisy) - after,
        "log10 of power",
        "distance of an image's log power spectrum from the data's: of the VAE's mean or, where that is nearer, "
        "of that mean with the layer's noise and no layer; minus of the layer's image ({model})",
        "means: VAE's mean {:.3g}, with noise {:.3g}, layer {:.3g}",
    ),
    # How much more the layer's image is like its own VAE image than controls are; and nearest to its own.
    "content": (
        ("similarity", "similarity_noise", "similarity_other", "content_kept"),
        lambda own, noisy, other, nearest: np.stack([own - np.maximum(noisy, other), nearest - 0.5]),
        "SSIM or share",
        "the lesser of two, {model}: structural similarity of the layer's image with its own VAE image, minus that "
        "of the more similar of two controls, the VAE's image moved as far by noise or by what the layer does to "
        "another image; and the share of the layer's images that are nearest to their own VAE image, minus 1/2",
        "similarity {:.3g}, by noise {:.3g}, by another's change {:.3g}; nearest to its own: {:.3g}",
    ),
    # How much nearer two draws from one latent are than the images of two latents.
    "draws": (
        ("draw_pixel_distance", "between_pixel_distance"),
        lambda draws, between: 1 - ratio(draws, between),
        "share of distance",
        "1 minus the distance of two draws from one latent by that of images of two latents, {model}",
        "RMS distances, grey levels: {:.3g} and {:.3g}",
    ),
}
MODELS = {"$ref": "#/$defs/models", "description": "list of models; several phases count by their mean"}
NETWORKS = {"type": "string", "description": "the preset whose networks are compared"}
NUMBER = positive("the published number")
APART = positive("test images nearer to a training image (RMS, grey levels) are left out")
VALUE = choice("which value of `latents.json`", *LATENTS)
MAPPED = choice("which value of `noise_maps.npz`", *NOISE)
ACTION = choice("which value of `layer_action.json`", *EFFECTS)
ROUNDS = "timing of {}: {:.3g}, rounds from {:.3g} to {:.3g}"


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


def reached(evidence: Evidence, number: float, unit: str, measured_on: str) -> Measured:
    """How far a number of one run is below the published one."""
    return of_run(
        evidence["value"] - number,
        unit,
        f"published {unit} ({{value}}), minus that of {{better}}",
        measured_on,
        readings=evidence.readings(unit, better=number),
    )


@kind("timing", slow=MODELS, fast=MODELS, networks=NETWORKS)
def speed(evidence: Evidence) -> Measured:
    """Effect: time of `slow` / time of `fast` (Table 4).

    Student's t over the log ratios of all timings of these networks, or of one alone over those of its rounds.
    """
    from scipy import stats

    timing = evidence.results("timing")[0]
    times, others = ratios(
        timing,
        dict.fromkeys(evidence["slow"], len(evidence["fast"])),
        dict.fromkeys(evidence["fast"], len(evidence["slow"])),
    )
    logs = log_ratios(times)
    count = len(logs)
    quantiles = stats.t.ppf((np.arange(DRAWS) + 0.5) / DRAWS, count - 1)
    draws = quantiles * logs.std(ddof=1) / np.sqrt(count)
    notes = []
    for start, rounds in times.items():
        notes.append(ROUNDS.format(start, geometric_mean(rounds), rounds.min(), rounds.max()))
    notes += [f"timing of {start} does not count: other networks, threads or machine" for start in others]
    sampled = "timings" if len(times) > 1 else "rounds of one timing"
    return Measured(
        np.exp(logs.mean() + np.insert(draws, 0, 0))[None],
        "times",
        f"{clock_words(timing)} an epoch of {{slow}}, by those of {{fast}} (mean over phases)",
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
