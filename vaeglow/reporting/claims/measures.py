"""Claims on likelihood, speed, information and what images look like, each from files that a step wrote. No torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaeglow.reporting.claims import MODEL, Claim, Evidence, Measured, kind
from vaeglow.reporting.claims.statistics import DRAWS, generator, mean_draws
from vaeglow.reporting.frame import bound_note, finite_values
from vaeglow.reporting.tables.timing import CLOCKS, DISAGREE, clock_of, rounds

LATENTS = {  # numbers of latents.json: words, unit
    "decoder_information_upper_nats": ("upper estimate of the divergence of p(x_bar|z) from p(x_bar)", "nats"),
    "entropy_image_bits_per_dim": ("entropy of the image given z", "bits/dim"),
}
BITS = "bits_per_dim_1"  # of likelihood.npz: bits/dim of each test image at K = 1
REFERENCE = {"type": "string", "default": None}
REFERENCE["description"] = "the VAE whose `linear_reference.json` is named as evidence"
MODELS = {"$ref": "#/$defs/models", "description": "list of models; several phases count by their mean"}
NETWORKS = {"type": "string", "description": "the preset whose networks are timed"}
VALUE = {"enum": list(LATENTS), "description": "which value of `latents.json`"}
ACTION = {"enum": ["sharpness", "content"], "description": "which value of `layer_action.json`"}


def mean(values: np.ndarray, claim: Claim, unit: str, words: str, of: str, *notes: str, **more: Any) -> Measured:
    """The mean of one number per image (or pair), [n], resampled alike wherever the images are the same."""
    how = f"bootstrap over {'pairs' if of.startswith('pairs') else 'images'}, {DRAWS} draws"
    draws, count = mean_draws(values, claim["dataset"])[None], len(values)
    return Measured(draws, unit, words, f"{count} {of}", how, count, notes=notes, **more)


@kind("likelihood", "likelihood_images", better=MODEL, worse=MODEL, reference_model=REFERENCE)
def bits(evidence: Evidence) -> Measured:
    """Effect: bits/dim of `worse` - bits/dim of `better`."""
    better, worse = [result.value("bound") for result in evidence.results("likelihood")]
    mine, theirs = [result.arrays[BITS].astype(float) for result in evidence.results("likelihood_images", BITS)]
    names = [evidence.label(evidence.claim[role]) for role in ("better", "worse")]
    readings = {(name, "bits/dim"): float(one.mean()) for name, one in zip(names, (mine, theirs), strict=True)}
    notes = filter(None, [bound_note(worse, better, *names[::-1])])
    words, of = "bits/dim of {worse}, minus those of {better}", "test images, paired"
    return mean(theirs - mine, evidence.claim, "bits/dim", words, of, *notes, readings=readings)


@kind("timing", slow=MODELS, fast=MODELS, networks=NETWORKS)
def speed(evidence: Evidence) -> Measured:
    """Effect: time of `slow` / time of `fast` (Table 4).

    Student's t over the log ratios of rounds. There is no ratio where those of two rounds, or on a CPU the medians of
    both clocks' ratios, differ by more than `DISAGREE` times.
    """
    claim, result = evidence.claim, evidence.results("timing")[0]
    clock, how, doubt = clock_of(result.value("device_kind")), "t over rounds of timed windows", ""
    found, by_clock = (
        rounds(result, claim["slow"], one) / rounds(result, claim["fast"], one) for one in (clock, "seconds")
    )
    logs, medians = np.log(found), [np.median(found), np.median(by_clock)]
    draws = generator("speed").standard_t(len(logs) - 1, DRAWS) * logs.std(ddof=1) / np.sqrt(len(logs))
    effects = np.exp(logs.mean() + np.concatenate([[0], draws]))[None]
    if found.max() > DISAGREE * found.min():
        doubt = f"ratios of rounds go from {found.min():.3g} to {found.max():.3g}"
    elif max(medians) > DISAGREE * min(medians):
        doubt = f"the median ratio is {medians[0]:.3g} in {CLOCKS[clock]} and {medians[1]:.3g} in {CLOCKS['seconds']}"
    if doubt:
        effects, how = effects[:, :1], "none: rounds disagree"
        doubt = f"the machine was too busy for a ratio: {doubt}; delete {result.path} and time again on a quieter one"
    of = f"networks of preset {claim['networks']}, {len(found)} rounds, {result.value('device')}, "
    of += f"{result.value('threads')} threads, an epoch of {result.value('epoch_images')} images"
    words = CLOCKS[clock] + " an epoch of {slow}, by those of {fast} (mean over phases of equal epochs)"
    readings = {
        (evidence.label(model), f"{name} an epoch"): float(
            np.median(rounds(result, [model], key) * result.value("epoch_images"))
        )
        for model in (*claim["slow"], *claim["fast"])
        for key, name in CLOCKS.items()
    }
    return Measured(effects, "times", words, of, how, readings=readings, notes=(doubt,) if doubt else ())


@kind("noise_maps", model=MODEL)
def noise(evidence: Evidence) -> Measured:
    """Effect: mean over images of the rank correlation of s(z) and the error."""
    (result,) = evidence.results("noise_maps")
    values = finite_values(result, "error_correlations")
    words = "rank correlation over pixels of s(z) and |error| of {model}, mean over images"
    return mean(values, evidence.claim, "correlation", words, "test images")


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

    It brings a VAE sample's spectrum nearer to the data's (`sharpness`), or keeps what the sample shows (`content`): by
    pixels, as texture, which the layer adds to every image, changes all Inception features alike.
    """
    (result,) = evidence.results("layer_action")

    def values(key: str) -> np.ndarray:
        return finite_values(result, "per_image", key)

    if evidence.claim["value"] == "content":
        found, by_features, unit = values("content_kept_pixels"), values("content_kept").mean(), "share of images"
        words = "share of the layer's images whose nearest VAE image, pixel by pixel, is their own ({model})"
        note = (
            f"by chance it would be {1 / len(found):.4g}; by Inception's features it is {by_features:.2f}. "
            "Pixel by pixel, noise that has nothing to do with the image would keep its content, too: this asks that "
            "nothing is lost, not that what is added makes sense"
        )
    else:
        plain, noisy, after = (values(f"spectrum_error_{stage}") for stage in ("vae", "vae_noisy", "layer"))
        found, unit = np.minimum(plain, noisy) - after, "log10 of power"
        words = (
            "distance of an image's log power spectrum from the data's: of the VAE's mean or, where that is nearer, "
            "of that mean with the layer's noise and no layer; minus of the layer's image ({model})"
        )
        note = f"means: VAE's mean {plain.mean():.3g}, with noise {noisy.mean():.3g}, layer {after.mean():.3g}"
    return mean(found, evidence.claim, unit, words, "latents", note)


@kind("interpolation", model=MODEL, space={"$ref": "#/$defs/space"})
def smooth(evidence: Evidence) -> Measured:
    """Effect: mean step / largest step of an interpolation, in pixels."""
    (result,) = evidence.results("interpolation")
    steps = finite_values(result, "step_distances")
    found = np.array([pair.mean() / pair.max() if pair.max() > 0 else np.nan for pair in steps])
    words = "mean step of an interpolation by its largest, in pixels, {model}: 1 for even steps"
    note = f"a path that is one jump has {1 / len(steps[0]):.2g}"
    return mean(found, evidence.claim, "ratio", words, f"pairs of {len(steps[0])} steps", note)
